from __future__ import annotations

import os
import random
import stat
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets import MemoryIOManager
from dagster_buckets.errors import ConfigurationError, ObjectNotFoundError
from dagster_buckets.objects import Body, Header, ObjectInfo, Payload
from dagster_buckets.stores.cache_folder import CacheFolder
from dagster_buckets.stores.cached import CachedStore
from dagster_buckets.stores.memory import MemoryStore

KB = 1000


class Counting(MemoryStore):
    """Counts what moves."""

    def __init__(self) -> None:
        super().__init__(uuid.uuid4().hex)
        self.asked = self.moved = 0

    def get(self, key: str) -> Payload:
        payload = super().get(key)
        self.asked += 1
        self.moved += payload.info.size
        return payload

    def get_if_changed(self, key: str, known: ObjectInfo) -> Payload | None:
        if super().head(key).etag == known.etag:
            self.asked += 1
            return None
        return self.get(key)


@pytest.fixture
def inner() -> Counting:
    return Counting()


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    return CacheFolder(tmp_path / "cache", 1000 * KB)


@pytest.fixture
def store(inner: Counting, folder: CacheFolder) -> CachedStore:
    return CachedStore(inner, folder)


def files(folder: CacheFolder) -> list[Path]:
    return [path for path in folder.path.rglob("*") if path.is_file()]


def test_what_has_not_changed_does_not_move_again(inner: Counting, store: CachedStore) -> None:
    store.put("x", Body.of(b"12345"), header=Header(format="bytes"))
    first, second = store.get("x"), store.get("x")
    assert bytes(first.data) == bytes(second.data) == b"12345"
    assert second.info == first.info
    assert (inner.asked, inner.moved, store.hits) == (2, 5, 1)


def test_what_has_changed_is_fetched(inner: Counting, store: CachedStore) -> None:
    store.put("x", Body.of(b"old"))
    store.get("x")
    inner.put("x", Body.of(b"newer"))
    assert bytes(store.get("x").data) == b"newer"
    assert bytes(store.get("x").data) == b"newer"
    assert (inner.moved, store.hits) == (8, 1)
    inner.delete(["x"])
    with pytest.raises(ObjectNotFoundError):
        store.get("x")


def test_two_stores_of_one_folder_do_not_mix(folder: CacheFolder) -> None:
    stores = [CachedStore(Counting(), folder) for _ in range(2)]
    for number, store in enumerate(stores):
        store.put("x", Body.of(b"%d" % number))
        store.get("x")
    assert [bytes(store.get("x").data) for store in stores] == [b"0", b"1"]
    assert [store.hits for store in stores] == [1, 1]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_costs_a_request(
    inner: Counting, store: CachedStore, folder: CacheFolder, damage: str
) -> None:
    data = random.Random(1).randbytes(10 * KB)  # noqa: S311 - repeatable, not secret
    store.put("x", Body.of(data))
    store.get("x")
    (path,) = files(folder)
    kept = path.read_bytes()
    for place in (3, 6, 40, 200, len(kept) - 1) if damage == "flip" else (0,):
        broken = bytearray(kept)
        broken[place] ^= 1
        path.write_bytes(
            {"flip": bytes(broken), "cut": kept[:-1], "empty": b"", "other": b"x" * 99}[damage]
        )
        assert bytes(store.get("x").data) == data
    assert store.hits == 0
    assert bytes(store.get("x").data) == data
    assert store.hits == 1


def test_the_folder_is_bounded_and_what_was_used_last_stays(
    store: CachedStore, folder: CacheFolder
) -> None:
    for number in range(30):
        store.put(f"{number}", Body.of(bytes(100 * KB)))
        store.get(f"{number}")
        store.get("0")
        time.sleep(0.002)
        assert sum(path.stat().st_size for path in files(folder)) <= 1000 * KB * (1 + 1 / 16) + 1
    hits = store.hits
    store.get("0")
    store.get("29")
    assert store.hits == hits + 2
    store.get("1")
    assert store.hits == hits + 2


def test_what_is_too_large_is_not_kept(store: CachedStore, folder: CacheFolder) -> None:
    store.put("x", Body.of(bytes(300 * KB)))
    store.get("x")
    assert files(folder) == [] if folder.path.exists() else True
    assert store.hits == 0


def test_files_are_of_this_user_alone(store: CachedStore, folder: CacheFolder) -> None:
    store.put("x", Body.of(b"1"))
    store.get("x")
    for path in [folder.path, *folder.path.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_into_which_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    with pytest.raises(ConfigurationError, match="others may write"):
        CacheFolder(shared, KB)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="is no folder"):
        CacheFolder(tmp_path / "file", KB)


def test_a_folder_that_cannot_be_written_costs_nothing_else(
    inner: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = CachedStore(inner, CacheFolder(tmp_path / "file", 100 * KB))
    (tmp_path / "file").write_text("in the way")
    store.put("x", Body.of(b"1"))
    assert [bytes(store.get("x").data) for _ in range(2)] == [b"1", b"1"]
    assert "is not kept in" in caplog.text


def test_abandoned_drafts_are_swept(store: CachedStore, folder: CacheFolder) -> None:
    store.put("x", Body.of(b"1"))
    store.get("x")
    (kept,) = files(folder)
    old, young = (kept.with_name(f"{kept.name}.{word}.tmp~") for word in ("old", "young"))
    for draft in (old, young):
        draft.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    folder._added = float("inf")
    store.put("y", Body.of(b"2"))
    store.get("y")
    assert not old.exists()
    assert young.exists()


def test_many_threads_and_folders_at_once(inner: Counting, tmp_path: Path) -> None:
    stores = [CachedStore(inner, CacheFolder(tmp_path / "cache", 200 * KB)) for _ in range(4)]
    for number in range(20):
        inner.put(f"{number}", Body.of(b"%d" % number * 5 * KB))
    gate = threading.Barrier(16)

    def work(own: int) -> None:
        rng = random.Random(own)  # noqa: S311 - repeatable, not secret
        gate.wait()
        for _ in range(100):
            number = rng.randrange(20)
            assert bytes(stores[own % 4].get(f"{number}").data) == b"%d" % number * 5 * KB

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert sum(store.hits for store in stores) > 100


def test_a_manager_has_one(tmp_path: Path) -> None:
    manager = MemoryIOManager(cache=str(tmp_path / "cache"), cache_max_bytes=10**6)
    store: Any = manager.values.store
    assert isinstance(store, CachedStore)
    assert store.folder.max_bytes == 10**6


def test_stores_that_cannot_tell_are_refused(folder: CacheFolder) -> None:
    class Plain:
        """Nothing that a cache could ask."""

    with pytest.raises(ConfigurationError, match="nothing to gain by a cache of Plain"):
        CachedStore(Plain(), folder)  # type: ignore[arg-type]
