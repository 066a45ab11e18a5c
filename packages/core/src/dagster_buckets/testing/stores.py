"""What every store must do: subclass :class:`StoreConformance` and give it a store."""

from __future__ import annotations

import pickle
import secrets
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from dagster_buckets.errors import (
    IntegrityError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from dagster_buckets.handover import for_arrow
from dagster_buckets.objects import Body, Header, digest_of
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.access import SupportsAccess
from dagster_buckets.stores.base import (
    Answered,
    ObjectStore,
    SupportsPrefetch,
    SupportsRevalidation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RawObjects", "StoreConformance"]

KIB = 1024
MIB = 1024 * KIB

HOSTILE_KEYS = [
    "", "/", "/absolute", "folder/", "a//b", ".", "..", "../escape", "a/../b", "a/./b", "a/..",
    "line\nbreak", "nul\0byte", "del\x7f", "surrogate\ud800", "x" * 1025, "é" * 513,
]  # fmt: skip

GOOD_KEYS = [
    "data.txt", "a/b/c/data.parquet", "a b/data.txt", "a=b/c%2Fd/data.txt", "100%/data.txt",
    "%/data.txt", "%2e%2e/data.txt", "é/日本/data.txt", "plus+and&amp;?#.txt", "a:b/c'd\"e.txt",
    "back\\slash.txt", "~tilde/x~y.txt", ".runs/1/data.txt", "..a/b../data.txt", "day=2024-01-01-00%3A00/x.txt",
]  # fmt: skip


class RawObjects(ABC):
    """Access to the same bucket that bypasses the store under test. Keys include the prefix."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of an object."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Store an object the way another tool would, without our header."""

    @abstractmethod
    def keys(self) -> list[str]:
        """All keys of the bucket, whoever wrote them."""

    @abstractmethod
    def damage(self, key: str, data: bytes) -> None:
        """Exchange the bytes of an object and keep what the store has written beside it."""


class StoreConformance:
    """The promises of :class:`~dagster_buckets.stores.base.ObjectStore`, each a test.

    Give two fixtures, ``store`` (empty, with the prefix ``base/prefix``) and ``raw``. A promise
    that a store cannot keep is overridden with a strict ``xfail`` that says why.
    """

    #: Larger than one request of this store carries, so that multipart ways are covered.
    large = 17 * MIB + 123

    @pytest.fixture
    def store(self) -> ObjectStore:
        """The store under test, empty, with the prefix ``base/prefix``."""
        raise NotImplementedError

    @pytest.fixture
    def raw(self) -> RawObjects:
        """The same bucket, past the store."""
        raise NotImplementedError

    # -- reading and writing -------------------------------------------------------------------

    def test_is_a_store(self, store: ObjectStore) -> None:
        assert isinstance(store, ObjectStore)

    @pytest.mark.parametrize("data", [b"", b"x", b"\0" * 100, secrets.token_bytes(100 * KIB)])
    def test_put_then_get(self, store: ObjectStore, raw: RawObjects, data: bytes) -> None:
        written = store.put("folder/data.bin", Body.of(data))
        payload = store.get("folder/data.bin")
        assert bytes(payload.data) == data
        assert payload.info.size == written.size == len(data)
        assert raw.read("base/prefix/folder/data.bin") == data

    def test_large_object(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(self.large)
        written = store.put("large.bin", Body.of(data))
        assert written.size == self.large
        payload = store.get("large.bin")
        assert payload.info.size == self.large
        assert digest_of([payload.data]) == digest_of([data])

    def test_several_buffers_of_every_kind(self, store: ObjectStore) -> None:
        store.put("x", Body.of(b"one", bytearray(b"two"), memoryview(b"three")))
        assert bytes(store.get("x").data) == b"onetwothree"
        assert store.head("x").size == len(b"onetwothree")

    def test_no_buffers_are_an_empty_object(self, store: ObjectStore) -> None:
        store.put("x", Body.of())
        assert bytes(store.get("x").data) == b""

    @pytest.mark.parametrize("chunks", [0, 1, 40])
    def test_stream(self, store: ObjectStore, chunks: int) -> None:
        parts = [secrets.token_bytes(MIB) for _ in range(chunks)]
        store.put("stream.bin", Body(iter(parts)))
        payload = store.get("stream.bin")
        assert payload.info.size == chunks * MIB
        assert digest_of([payload.data]) == digest_of(parts)

    def test_a_stream_may_read_from_the_store_that_it_is_written_to(
        self, store: ObjectStore
    ) -> None:
        data = secrets.token_bytes(MIB)
        store.put("source", Body.of(data))

        def pieces() -> Iterator[bytes]:
            for _ in range(20):
                with store.open("source") as file:
                    yield file.read()
                yield bytes(store.get("source").data)

        store.put("copy", Body(pieces()))
        assert digest_of([store.get("copy").data]) == digest_of([data] * 40)

    def test_overwrite(self, store: ObjectStore) -> None:
        first = store.put("x", Body.of(b"first"))
        second = store.put("x", Body.of(b"second, longer"))
        assert first.etag != second.etag
        assert bytes(store.get("x").data) == b"second, longer"

    def test_failing_stream_leaves_the_old_object(
        self, store: ObjectStore, raw: RawObjects
    ) -> None:
        def breaks() -> Iterator[bytes]:
            yield secrets.token_bytes(self.large)
            msg = "the generator broke"
            raise RuntimeError(msg)

        store.put("x", Body.of(b"old"))
        with pytest.raises(RuntimeError, match="the generator broke"):
            store.put("x", Body(breaks()))
        assert bytes(store.get("x").data) == b"old"
        with pytest.raises(RuntimeError, match="the generator broke"):
            store.put("new", Body(breaks()))
        with pytest.raises(ObjectNotFoundError):
            store.get("new")
        assert raw.keys() == ["base/prefix/x"]

    def test_a_version_without_an_etag_is_the_one_that_is_there(self, store: ObjectStore) -> None:
        written = store.put("x", Body.of(b"0123456789"))
        anyone = replace(written, etag="")
        assert bytes(store.read_range(anyone, 2, 5)) == b"234"
        with store.open("x", anyone) as file:
            assert file.read() == b"0123456789"
        store.put("x", Body.of(b"abcdefghij"))
        assert bytes(store.read_range(anyone, 2, 5)) == b"cde"

    # -- what is known about an object ---------------------------------------------------------

    def test_put_get_and_head_agree(self, store: ObjectStore) -> None:
        before = datetime.now(UTC) - timedelta(minutes=2)
        written = store.put("a/x.bin", Body.of(b"12345"), header=Header(format="bytes"))
        for info in (written, store.head("a/x.bin"), store.get("a/x.bin").info):
            assert info.key == "a/x.bin"
            assert info.uri == store.uri("a/x.bin")
            assert info.size == 5
            assert info.etag == written.etag != ""
            assert before < info.modified < datetime.now(UTC) + timedelta(minutes=2)

    def test_header_round_trip(self, store: ObjectStore) -> None:
        written = store.put("x", Body.of(b"12345"), header=Header(format="bytes"))
        assert written.header is not None
        assert written.header.digest == digest_of([b"12345"])
        for info in (store.head("x"), store.get("x").info):
            assert info.header == written.header
            assert info.header.format == "bytes"
            assert info.header.size == 5

    def test_each_write_has_its_own_id(self, store: ObjectStore) -> None:
        infos = [store.put("x", Body.of(b"same")) for _ in range(2)]
        ids = {info.header.write_id for info in infos if info.header}
        assert len(ids) == 2

    def test_etag_changes_with_the_bytes(self, store: ObjectStore) -> None:
        etags = {store.put("x", Body.of(data)).etag for data in (b"1", b"2", b"33")}
        assert len(etags) == 3

    def test_uri_ends_with_prefix_and_key(self, store: ObjectStore) -> None:
        scheme, separator, rest = store.uri("a/b.txt").partition("://")
        assert scheme
        assert separator
        assert rest.endswith("/base/prefix/a/b.txt")

    # -- objects of others, and damage ---------------------------------------------------------

    def test_reads_what_others_wrote(self, store: ObjectStore, raw: RawObjects) -> None:
        raw.write("base/prefix/foreign.bin", b"not ours")
        payload = store.get("foreign.bin")
        assert bytes(payload.data) == b"not ours"
        assert payload.info.header is None
        assert store.head("foreign.bin").header is None
        for size in (5, 100):
            payload = store.peek("foreign.bin", size)
            assert bytes(payload.data) == b"not ours"[-size:]
            assert payload.info.header is None

    def test_reads_an_empty_object_of_others(self, store: ObjectStore, raw: RawObjects) -> None:
        raw.write("base/prefix/empty.bin", b"")
        assert bytes(store.get("empty.bin").data) == b""
        assert bytes(store.peek("empty.bin", 10).data) == b""

    @pytest.mark.parametrize("damaged", [b"0123456788", b"012345678"], ids=["flipped", "cut"])
    def test_damage_is_found(self, store: ObjectStore, raw: RawObjects, damaged: bytes) -> None:
        store.put("x", Body.of(b"0123456789"))
        raw.damage("base/prefix/x", damaged)
        for read in (store.get, lambda key: store.peek(key, 10), lambda key: store.peek(key, MIB)):
            with pytest.raises(IntegrityError) as caught:
                read("x")
            assert store.uri("x") in str(caught.value)
        # What nobody has read in full, nobody can verify.
        assert bytes(store.peek("x", 8).data) == damaged[-8:]

    # -- the end -------------------------------------------------------------------------------

    @pytest.mark.parametrize("length", [0, 1, 10, 300 * KIB])
    @pytest.mark.parametrize("size", [1, 9, 10, 11, 100 * KIB, 16 * MIB])
    def test_peek(self, store: ObjectStore, length: int, size: int) -> None:
        data = secrets.token_bytes(length)
        store.put("a/x", Body.of(data), header=Header(format="bytes"))
        payload = store.peek("a/x", size)
        assert bytes(payload.data) == data[-size:]
        found, known = payload.info, store.head("a/x")
        assert (found.key, found.uri, found.size) == (known.key, known.uri, length)
        assert found.etag == known.etag
        assert found.header == known.header
        assert found.header is not None
        assert abs(found.modified - known.modified) < timedelta(seconds=2)

    def test_peek_at_a_large_object(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(self.large)
        store.put("x", Body.of(data))
        payload = store.peek("x", 16 * MIB)
        assert payload.info.size == self.large
        assert digest_of([payload.data]) == digest_of([memoryview(data)[-16 * MIB :]])

    # -- ranged reading ------------------------------------------------------------------------

    def test_open_reads_ranges(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(300 * KIB)
        store.put("x", Body.of(data))
        with store.open("x") as file:
            assert file.seekable()
            assert file.readable()
            assert file.read(10) == data[:10]
            file.seek(-20, 2)
            assert file.tell() == len(data) - 20
            assert file.read() == data[-20:]
            file.seek(100 * KIB)
            assert file.read(50 * KIB) == data[100 * KIB : 150 * KIB]
            assert file.seek(0, 2) == len(data)
            assert file.read(1) == b""
            file.seek(0)
            assert file.read() == data

    def test_open_empty_object(self, store: ObjectStore) -> None:
        store.put("x", Body.of(b""))
        with store.open("x") as file:
            assert file.read() == b""
        with store.open("x", store.head("x")) as file:
            assert file.read() == b""

    def test_open_the_version_that_is_known(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(300 * KIB)
        written = store.put("x", Body.of(data))
        (listed,) = store.scan()
        peeked, got = store.peek("x", 10).info, store.get("x").info
        for version in (written, listed, peeked, got, store.head("x")):
            with store.open("x", version) as file:
                assert file.read(10) == data[:10]
                file.seek(-20, 2)
                assert file.read() == data[-20:]
            for start, stop in (
                (0, 0),
                (0, 1),
                (5, 100_000),
                (0, len(data)),
                (len(data), len(data)),
            ):
                assert bytes(store.read_range(version, start, stop)) == data[start:stop]

    def test_a_large_range(self, store: ObjectStore) -> None:
        data = secrets.token_bytes(self.large)
        written = store.put("x", Body.of(data))
        found = store.read_range(written, 7, self.large - 3)
        assert digest_of([found]) == digest_of([memoryview(data)[7:-3]])

    @pytest.mark.parametrize("new", [b"9876543210", b"", b"short", b"long" * 100_000])
    def test_open_a_version_that_was_written_over(self, store: ObjectStore, new: bytes) -> None:
        old = store.put("x", Body.of(b"0123456789"))
        store.put("x", Body.of(new))
        with (
            pytest.raises(StoreUnavailableError, match="written again") as caught,
            store.open("x", old) as file,
        ):
            file.read()
        assert store.uri("x") in str(caught.value)
        with pytest.raises(StoreUnavailableError, match="written again"):
            store.read_range(old, 2, 8)

    def test_open_a_version_that_was_deleted(self, store: ObjectStore) -> None:
        old = store.put("x", Body.of(b"0123456789"))
        store.delete(["x"])
        with pytest.raises((ObjectNotFoundError, StoreUnavailableError)):
            store.read_range(old, 2, 8)
        with (
            pytest.raises((ObjectNotFoundError, StoreUnavailableError)) as caught,
            store.open("x", old) as file,
        ):
            file.read()
        assert store.uri("x") in str(caught.value)

    @pytest.mark.parametrize("known", [True, False])
    def test_a_reader_never_mixes_versions(self, store: ObjectStore, *, known: bool) -> None:
        old = store.put("x", Body.of(b"a" * (3 * MIB)))
        with store.open("x", old if known else None) as file:
            assert file.read(10) == b"a" * 10
            store.put("x", Body.of(b"b" * (3 * MIB)))
            file.seek(2 * MIB)
            # A store may keep what a reader has opened.
            with suppress(StoreUnavailableError):
                assert file.read(10) == b"a" * 10

    # -- missing -------------------------------------------------------------------------------

    @pytest.mark.parametrize("method", ["get", "peek", "head", "open"])
    def test_missing(self, store: ObjectStore, method: str) -> None:
        store.put("x2", Body.of(b"a longer name must not count"))
        store.put("x/y", Body.of(b"nor must a folder"))
        with pytest.raises(ObjectNotFoundError) as caught:
            getattr(store, method)("x", *([10] if method == "peek" else []))
        assert isinstance(caught.value, FileNotFoundError)
        assert store.uri("x") in str(caught.value)

    def test_exists(self, store: ObjectStore) -> None:
        store.put("x2", Body.of(b"a longer name must not count"))
        store.put("x/y", Body.of(b"nor must a folder"))
        assert [store.exists(key) for key in ("x", "x2", "x/y")] == [False, True, True]
        store.delete(["x2"])
        assert not store.exists("x2")
        with pytest.raises(InvalidKeyError):
            store.exists("../x")

    @pytest.mark.parametrize("size", [0, 5, 17 * MIB], ids=["empty", "small", "large"])
    def test_what_is_known_is_not_sent_again(self, store: ObjectStore, size: int) -> None:
        """Of stores that can tell; the others have no cache."""
        if not isinstance(store, SupportsRevalidation):
            return
        old, new = b"1" * size, b"2" * (size + 1)
        store.put("x", Body.of(old))
        known = store.get("x").info
        assert store.get_if_changed("x", known) is None
        store.put("x", Body.of(new), header=Header(format="bytes"))
        fresh = store.get_if_changed("x", known)
        assert fresh is not None
        assert bytes(fresh.data) == new
        assert fresh.info == store.get("x").info
        assert fresh.info.header is not None
        assert fresh.info.header.format == "bytes"
        assert store.get_if_changed("x", fresh.info) is None
        store.delete(["x"])
        with pytest.raises(ObjectNotFoundError):
            store.get_if_changed("x", fresh.info)

    def test_reading_without_waiting(self, store: ObjectStore, raw: RawObjects) -> None:
        """Of stores that can; it gives what ``get`` gives."""
        if not isinstance(store, SupportsPrefetch):
            return
        store.put("x", Body.of(b"0123456789"), header=Header(format="bytes"))
        store.put("damaged", Body.of(b"0123456789"))
        raw.damage("base/prefix/damaged", b"0123456788")
        keys = ["x", "empty", "large", "absent", "damaged"]
        store.put("empty", Body.of())
        store.put("large", Body.of(b"5" * (17 * MIB)))
        answers: SimpleQueue[tuple[str, Answered]] = SimpleQueue()
        for key in keys:
            store.prefetch(key, lambda found, key=key: answers.put((key, found)))  # type: ignore[misc]
        found = dict(answers.get(timeout=60) for _ in keys)
        for key in keys[:3]:
            assert found[key].complete
            payload, read = found[key].get(), store.get(key)
            assert payload.info == read.info
            assert bytes(payload.data) == bytes(read.data)
        assert not found["absent"].complete
        for key, error in {"absent": ObjectNotFoundError, "damaged": IntegrityError}.items():
            with pytest.raises(error) as caught:
                found[key].get()
            assert store.uri(key) in str(caught.value)
        with pytest.raises(InvalidKeyError):
            store.prefetch("../x", lambda _: None)

    def test_clients_of_other_libraries_read_it(self, store: ObjectStore) -> None:
        """Of stores that say how, by Arrow's client."""
        if not isinstance(store, SupportsAccess):
            return
        ref = ObjectRef(store.put("x/y%2Fz", Body.of(b"hello")), store)
        to = for_arrow(ref)
        with to.options.open_input_file(to.uris[0]) as file:
            assert file.read() == b"hello"
        for name in ("secret", "session_token", "key", "access_token"):
            value = getattr(store.access(), name, None)
            assert not value or value not in repr(store.access())

    # -- conditional writes --------------------------------------------------------------------

    def test_create_only(self, store: ObjectStore) -> None:
        store.put("x", Body.of(b"first"), if_absent=True)
        with pytest.raises(ObjectExistsError):
            store.put("x", Body.of(b"second"), if_absent=True)
        assert bytes(store.get("x").data) == b"first"

    def test_compare_and_swap(self, store: ObjectStore) -> None:
        first = store.put("x", Body.of(b"first"))
        second = store.put("x", Body.of(b"second"), if_match=first.etag)
        with pytest.raises(ObjectExistsError):
            store.put("x", Body.of(b"stale"), if_match=first.etag)
        assert bytes(store.get("x").data) == b"second"
        store.put("x", Body.of(b"third"), if_match=second.etag)
        assert bytes(store.get("x").data) == b"third"

    def test_compare_and_swap_takes_the_etag_of_head_and_scan(self, store: ObjectStore) -> None:
        store.put("x", Body.of(b"first"))
        store.put("x", Body.of(b"second"), if_match=store.head("x").etag)
        (listed,) = store.scan("x")
        store.put("x", Body.of(b"third"), if_match=listed.etag)
        assert bytes(store.get("x").data) == b"third"

    def test_compare_and_swap_over_nothing(self, store: ObjectStore) -> None:
        etag = store.put("other", Body.of(b"x")).etag
        with pytest.raises(ObjectExistsError):
            store.put("x", Body.of(b"new"), if_match=etag)
        with pytest.raises(ObjectNotFoundError):
            store.head("x")

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        def create(number: int) -> int | None:
            try:
                store.put("x", Body.of(b"%d" % number), if_absent=True)
            except ObjectExistsError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [n for n in pool.map(create, range(16)) if n is not None]
        assert len(winners) == 1
        assert bytes(store.get("x").data) == b"%d" % winners[0]

    # -- listing and deleting ------------------------------------------------------------------

    def test_scan(self, store: ObjectStore, raw: RawObjects) -> None:
        raw.write("base/prefixed/not-ours.bin", b"x")
        raw.write("outside.bin", b"x")
        for key in ("b/2.bin", "a/1.bin", "a/1.txt", "a-b/3.bin", "a/sub/4.bin"):
            store.put(key, Body.of(key.encode()))
        assert [info.key for info in store.scan()] == [
            "a-b/3.bin", "a/1.bin", "a/1.txt", "a/sub/4.bin", "b/2.bin",
        ]  # fmt: skip
        assert [info.key for info in store.scan("a/")] == ["a/1.bin", "a/1.txt", "a/sub/4.bin"]
        assert [info.key for info in store.scan("a/1.")] == ["a/1.bin", "a/1.txt"]
        assert next(info.key for info in store.scan("a")) == "a-b/3.bin"
        assert list(store.scan("nothing/here")) == []
        (info,) = store.scan("b/")
        assert (info.size, info.uri) == (7, store.uri("b/2.bin"))

    def test_scan_of_an_empty_store(self, store: ObjectStore) -> None:
        assert list(store.scan()) == []

    def test_scan_beyond_one_page(self, store: ObjectStore, raw: RawObjects) -> None:
        expected = [f"many/{number:04}" for number in range(1003)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: raw.write(f"base/prefix/{key}", b""), expected))
        assert [info.key for info in store.scan("many/")] == expected

    def test_delete(self, store: ObjectStore) -> None:
        for key in ("a", "b", "c/d"):
            store.put(key, Body.of(b"x"))
        store.delete(["a", "c/d", "never-was"])
        assert [info.key for info in store.scan()] == ["b"]
        store.delete([])

    # -- keys ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_hostile_keys_are_refused(self, store: ObjectStore, raw: RawObjects, key: str) -> None:
        with pytest.raises(InvalidKeyError):
            store.put(key, Body.of(b"x"))
        for method in (store.get, store.head, store.open, store.uri):
            with pytest.raises(InvalidKeyError):
                method(key)
        with pytest.raises(InvalidKeyError):
            store.peek(key, 10)
        with pytest.raises(InvalidKeyError):
            store.delete([key])
        assert raw.keys() == []

    @pytest.mark.parametrize("key", GOOD_KEYS)
    def test_unusual_keys_are_kept_as_they_are(
        self, store: ObjectStore, raw: RawObjects, key: str
    ) -> None:
        store.put(key, Body.of(key.encode()))
        assert raw.keys() == [f"base/prefix/{key}"]
        assert bytes(store.get(key).data) == key.encode()
        assert [info.key for info in store.scan()] == [key]
        store.delete([key])
        assert raw.keys() == []

    # -- use -----------------------------------------------------------------------------------

    def test_pickled_store_sees_the_same_objects(self, store: ObjectStore) -> None:
        store.put("x", Body.of(b"value"))
        again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
        assert bytes(again.get("x").data) == b"value"

    def test_many_threads(self, store: ObjectStore) -> None:
        def trip(number: int) -> bool:
            data = b"%d" % number * 1000
            store.put(f"t/{number}", Body.of(data))
            return bytes(store.get(f"t/{number}").data) == data

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(trip, range(100)))
