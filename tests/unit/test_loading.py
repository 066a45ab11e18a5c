from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Optional

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import (
    AssetAddress,
    HiveLayout,
    MemoryStore,
    ObjectNotFoundError,
    ObjectRef,
    OpAddress,
    PartitionError,
    PartitionStream,
)
from dagster_buckets.address import Address
from dagster_buckets.chain import Chain, Link
from dagster_buckets.loading import Loaded, load
from dagster_buckets.objects import Body
from dagster_buckets.requests import LoadRequest, Options, Target, WriteRequest
from dagster_buckets.stores.base import Answered, check_key
from dagster_buckets.values import ValueStore
from dagster_buckets.writing import write

OnMissing = Literal["error", "skip", "none"]
FRAMES = dict[str, pa.Table]


class Recorder(MemoryStore):
    """A memory store that writes down what it is asked."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.requests: list[str] = []

    def get(self, key: str) -> Any:
        self.requests.append(f"get {key}")
        return super().get(key)

    def peek(self, key: str, size: int) -> Any:
        self.requests.append(f"peek {key}")
        return super().peek(key, size)

    def head(self, key: str) -> Any:
        self.requests.append(f"head {key}")
        return super().head(key)

    def scan(self, prefix: str = "") -> Any:
        self.requests.append(f"scan {prefix}")
        return super().scan(prefix)


class Prefetcher(Recorder):
    """The same, and it can be asked without anybody who waits."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: list[str] = []

    def prefetch(self, key: str, then: Callable[[Answered], None]) -> None:
        self.asked.append(check_key(key))

        def read() -> None:
            # The request is that of `get`, which may raise.
            found = ThreadPoolExecutor(1).submit(self.get, key)
            complete = found.exception() is None
            then(Answered(found.result, complete))

        threading.Thread(target=read).start()


@pytest.fixture(params=[Recorder, Prefetcher])
def store(request: pytest.FixtureRequest) -> Recorder:
    made: Recorder = request.param(secrets.token_hex(4))
    return made


@pytest.fixture
def values(store: Recorder) -> ValueStore:
    return ValueStore(store, HiveLayout(), max_concurrency=4)


def address(key: str) -> AssetAddress:
    return AssetAddress.of(["a"], key)


def plant(values: ValueStore, **items: Any) -> None:
    for key, item in items.items():
        values.write(address(key), item)


def get(
    values: ValueStore,
    annotation: Any,
    *keys: str,
    on_missing: OnMissing = "error",
    producer: Any = None,
    log: Any = None,
    **options: Any,
) -> Loaded:
    request = LoadRequest(
        tuple(Target(key, address(key)) for key in keys),
        partitioned=True,
        annotation=annotation,
        producer_annotation=producer,
        options=Options(**options),
    )
    return load(
        Chain((Link(values),)),
        request,
        default_on_missing=on_missing,
        log=log or (lambda _: None),
    )


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "none", "one", "two"),
    [
        (None, None, 1, {"x": 1, "y": 2}),
        (Any, None, 1, {"x": 1, "y": 2}),
        (dict[str, int], {}, {"x": 1}, {"x": 1, "y": 2}),
        (dict[str, Any], {}, {"x": 1}, {"x": 1, "y": 2}),
        (list[int], [], [1], [1, 2]),
        (int, None, 1, PartitionError),
        (Optional[int], None, 1, PartitionError),  # noqa: UP045
        (int | None, None, 1, PartitionError),
        (dict[str, int] | None, {}, {"x": 1}, {"x": 1, "y": 2}),
        (str | int, None, 1, {"x": 1, "y": 2}),
    ],
    ids=str,
)
def test_values(values: ValueStore, annotation: Any, none: Any, one: Any, two: Any) -> None:
    plant(values, x=1, y=2)
    assert get(values, annotation).value == none
    assert get(values, annotation, "x").value == one
    if two is PartitionError:
        with pytest.raises(PartitionError, match="2 partitions in format 'json' cannot be one int"):
            get(values, annotation, "x", "y")
        return
    assert get(values, annotation, "x", "y").value == two
    reverse = get(values, annotation, "y", "x").value
    assert list(reverse) == ["y", "x"] if isinstance(two, dict) else reverse == [2, 1]


@pytest.mark.parametrize("annotation", [PartitionStream, PartitionStream[int]], ids=str)
def test_streams(values: ValueStore, store: Recorder, annotation: Any) -> None:
    plant(values, x=1, y=2)
    assert list(get(values, annotation).value) == []
    assert list(get(values, annotation, "x").value) == [("x", 1)]
    store.requests.clear()
    stream = get(values, annotation, "y", "x", format="json").value
    assert isinstance(stream, PartitionStream)
    assert store.requests == []
    assert stream.partition_keys == ("y", "x")
    assert list(stream) == [("y", 2), ("x", 1)]
    assert sorted(store.requests) == [f"get a/partition={key}/data.json" for key in "xy"]


def test_a_stream_holds_no_value_while_the_next_one_is_made(store: Recorder) -> None:
    values = ValueStore(store, HiveLayout(), max_concurrency=1)
    alive: list[weakref.ref[pa.Table]] = []
    held: list[int] = []

    def hold() -> None:
        held.append(sum(ref() is not None for ref in alive))

    def tables() -> Iterator[tuple[str, pa.Table]]:
        for key in "uvwxyz":
            hold()
            table = pa.table({"n": [1]})
            alive.append(weakref.ref(table))
            yield key, table
            del table

    targets = tuple(Target(key, address(key)) for key in "uvwxyz")
    request = WriteRequest(targets, over_many=True, annotation=PartitionStream, options=Options())
    stream = PartitionStream(tables())
    write(values, request, stream, default_format="arrow", record=lambda *_: None)
    assert held == [0] * 6
    alive.clear()
    held.clear()
    real = store.get

    def get_and_hold(key: str) -> Any:
        hold()
        return real(key)

    store.get = get_and_hold  # type: ignore[method-assign]
    for _, table in get(values, PartitionStream[pa.Table], *"uvwxyz").value:
        alive.append(weakref.ref(table))
        del table
    assert held == [0] * 6


@pytest.mark.parametrize("cls", [pa.Table, pd.DataFrame, pl.DataFrame])
def test_frames(values: ValueStore, cls: Any) -> None:
    plant(values, x=pa.table({"n": [1]}), y=pl.DataFrame({"n": [2]}))
    for keys, rows in (((), 0), (("x",), 1), (("x", "y"), 2)):
        frame: Any = get(values, cls, *keys).value
        assert type(frame) is cls
        assert len(frame) == rows
    assert get(values, cls | None).value is None
    parts = get(values, dict[str, cls], "x", "y").value
    assert [type(part) for part in parts.values()] == [cls, cls]


def test_values_that_are_none(values: ValueStore) -> None:
    values.write(address("x"), None, format_name="json")
    values.write(address("y"), 2)
    assert get(values, dict[str, Any], "x", "y").value == {"x": None, "y": 2}
    assert list(get(values, PartitionStream[Any], "x", "y").value) == [("x", None), ("y", 2)]
    assert get(values, int | None, "x").value is None
    assert get(values, dict[str, int | None], "x", "y").missing == ()


def test_frames_that_are_none_are_left_out(values: ValueStore) -> None:
    values.write(address("x"), None, format_name="parquet")
    values.write(address("y"), pa.table({"n": [2]}))
    assert get(values, pa.Table, "x", "y").value.to_pydict() == {"n": [2]}
    assert get(values, pa.Table, "x", "x").value is None
    assert get(values, FRAMES, "x", "y").value["x"] is None


def test_different_formats_do_not_join(values: ValueStore) -> None:
    plant(values, x={"n": 1}, y=pa.table({"n": [2]}))
    with pytest.raises(PartitionError, match="different formats: json, parquet") as caught:
        get(values, pa.Table, "x", "y")
    assert "asset 'a'" in str(caught.value)
    both = get(values, dict[str, Any], "x", "y").value
    assert both["x"] == {"n": 1}


def test_what_cannot_be_one_value_is_refused_before_it_is_read(
    values: ValueStore, store: Recorder
) -> None:
    plant(values, x=pa.table({"n": [1]}), y=pa.table({"n": [2]}))
    store.requests.clear()
    with pytest.raises(PartitionError, match="cannot be one bytes") as caught:
        get(values, bytes, "x", "y")
    assert "dict[str, bytes]" in str(caught.value)
    assert store.requests == ["scan a/partition="]


# -- asked for ahead ---------------------------------------------------------------------------------


@pytest.fixture
def ahead() -> Prefetcher:
    return Prefetcher(secrets.token_hex(4))


@pytest.mark.parametrize(
    ("annotation", "keys", "asked", "read"),
    [
        (FRAMES, "xy", 2, ["get", "get"]),
        (pa.Table, "xy", 2, ["get", "get"]),
        (pa.Table, "x", 0, ["get"]),
        (dict[str, pl.LazyFrame], "xy", 0, ["peek", "peek"]),
        (dict[str, ObjectRef], "xy", 0, ["head", "head"]),
        (dict[str, pa.RecordBatchReader], "xy", 0, ["peek", "peek"]),
    ],
    ids=str,
)
def test_whole_objects_of_many_are_asked_for_ahead(
    ahead: Prefetcher, annotation: Any, keys: str, asked: int, read: list[str]
) -> None:
    values = ValueStore(ahead, HiveLayout())
    for key in keys:
        values.write(address(key), pa.table({"n": [1]}), format_name="arrow")
    ahead.requests.clear()
    get(values, annotation, *keys, format="arrow")
    assert [request.partition(" ")[0] for request in ahead.requests] == read
    assert len(ahead.asked) == asked


def test_manifests_are_not_asked_for_ahead(ahead: Prefetcher) -> None:
    values = ValueStore(ahead, HiveLayout()).having({"part_size": 80})
    table = pa.table({"n": range(1000)})
    plant(values, x=table, y=table)
    assert get(values, FRAMES, "x", "y").value == {"x": table, "y": table}
    assert ahead.asked == []


def test_what_was_said_to_be_missing_is_asked_for_once_more(ahead: Prefetcher) -> None:
    values = ValueStore(ahead, HiveLayout())
    plant(values, x=1, y=2)
    real, said = ahead.get, set[str]()

    def forgetful(key: str) -> Any:
        if key not in said:
            said.add(key)
            raise ObjectNotFoundError(key)
        return real(key)

    ahead.get = forgetful  # type: ignore[method-assign]
    begun = time.monotonic()
    assert get(values, dict[str, int], "x", "y", format="json").value == {"x": 1, "y": 2}
    # At once, because the store has it.
    assert time.monotonic() - begun < 1.5
    assert sorted(ahead.asked) == [f"a/partition={key}/data.json" for key in "xy"]


class Moved(HiveLayout):
    """Values were written elsewhere once."""

    def old_stems(self, address: Address) -> tuple[str, ...]:
        return (f"old/{self.stem(address)}",)


def test_where_values_lay_once_is_looked_at_next(ahead: Prefetcher) -> None:
    values = ValueStore(ahead, HiveLayout())
    plant(values, x=1, y=2)
    ahead.put("old/a/partition=x/data.json", Body.of(b"3"))
    ahead.delete(["a/partition=x/data.json"])
    moved = ValueStore(ahead, Moved())
    ahead.requests.clear()
    assert get(moved, dict[str, int], "x", "y", format="json").value == {"x": 3, "y": 2}
    assert sorted(ahead.requests) == [
        "get a/partition=x/data.json",
        "get a/partition=y/data.json",
        "get old/a/partition=x/data.json",
    ]


# -- references ------------------------------------------------------------------------------------


def test_references_read_nothing(values: ValueStore, store: Recorder) -> None:
    plant(values, x="one", y="two")
    store.requests.clear()
    ref = get(values, ObjectRef, "x", format="text").value
    assert store.requests == ["head a/partition=x/data.txt"]
    assert (ref.size, ref.uri) == (3, store.uri("a/partition=x/data.txt"))
    assert ref.open().read() == b"one"
    refs = get(values, dict[str, ObjectRef], "x", "y").value
    assert [refs[key].open().read() for key in ("x", "y")] == [b"one", b"two"]
    assert [ref.size for ref in get(values, list[ObjectRef], "x", "y").value] == [3, 3]
    streamed = dict(get(values, PartitionStream[ObjectRef], "x", "y").value)
    assert streamed == refs
    with pytest.raises(PartitionError, match=r"cannot be one ObjectRef") as caught:
        get(values, ObjectRef, "x", "y")
    assert "dict[str, ObjectRef]" in str(caught.value)
    assert get(values, Optional[ObjectRef], "z").value is None  # noqa: UP045
    with pytest.raises(ObjectNotFoundError):
        get(values, ObjectRef, "z")


# -- lazy ------------------------------------------------------------------------------------------


def test_scans_read_nothing_of_the_values(values: ValueStore, store: Recorder) -> None:
    plant(values, x=pa.table({"n": [1]}), y=pa.table({"n": [2]}))
    lazy = get(values, pl.LazyFrame, "x", "y").value
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect()["n"].to_list() == [1, 2]
    assert lazy.filter(pl.col("n") > 1).collect()["n"].to_list() == [2]
    plant(values, x=pa.table({"n": [5]}))
    # What is read now is not what was loaded.
    with pytest.raises(Exception, match="written again"):
        lazy.collect()
    one = get(values, pl.LazyFrame, "y").value
    assert one.collect()["n"].to_list() == [2]
    each = get(values, dict[str, pl.LazyFrame], "x", "y").value
    assert [part.collect()["n"].to_list() for part in each.values()] == [[5], [2]]


def test_scans_leave_none_out(values: ValueStore) -> None:
    values.write(address("x"), None, format_name="parquet")
    plant(values, y=pa.table({"n": [2]}))
    assert get(values, pl.LazyFrame, "x", "y").value.collect()["n"].to_list() == [2]
    assert get(values, pl.LazyFrame, "x").value is None


def test_scans_name_what_is_missing(values: ValueStore) -> None:
    plant(values, y=pa.table({"n": [2]}))
    with pytest.raises(PartitionError, match="2 of 3 partitions could not be read"):
        get(values, pl.LazyFrame, "x", "y", "z", format="parquet")
    loaded = get(values, pl.LazyFrame, "x", "y", format="parquet", on_missing="skip")
    assert loaded.missing == ("x",)
    assert loaded.value.collect()["n"].to_list() == [2]


def test_nothing_to_scan(values: ValueStore) -> None:
    assert get(values, pl.LazyFrame).value.collect().shape == (0, 0)


def test_batches_come_one_partition_after_another(values: ValueStore, store: Recorder) -> None:
    plant(values, x=pa.table({"n": [1]}), y=pa.table({"n": [2, 3]}), z=pa.table({"n": [4]}))
    assert get(values, pa.RecordBatchReader, "y").value.read_all()["n"].to_pylist() == [2, 3]
    store.requests.clear()
    reader = get(values, pa.RecordBatchReader, "x", "y", "z", format="parquet").value
    assert isinstance(reader, pa.RecordBatchReader)
    assert len(store.requests) <= 2
    assert reader.read_all()["n"].to_pylist() == [1, 2, 3, 4]
    assert get(values, pa.RecordBatchReader).value.read_all().num_rows == 0


def test_batches_without_what_is_missing(values: ValueStore) -> None:
    plant(values, y=pa.table({"n": [2]}))
    for on_missing in ("skip", "none"):
        loaded = get(values, pa.RecordBatchReader, "x", "y", "z", on_missing=on_missing)
        assert loaded.value.read_all()["n"].to_pylist() == [2]
        assert loaded.missing == ("x", "z")
    with pytest.raises(ObjectNotFoundError, match="partition 'z'"):
        get(values, pa.RecordBatchReader, "y", "z").value.read_all()


# -- partition columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [pa.Table, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_partition_columns(values: ValueStore, cls: type) -> None:
    plant(values, x=pa.table({"n": [1, 2]}), y=pa.table({"n": [3]}))

    def rows(found: Any) -> list[Any]:
        found = found.collect() if isinstance(found, pl.LazyFrame) else found
        return list(found["partition"].to_pylist() if cls is pa.Table else found["partition"])

    assert rows(get(values, cls, "x", "y", partition_columns=True).value) == ["x", "x", "y"]
    assert rows(get(values, cls, "y", partition_columns=True).value) == ["y"]
    each = get(values, dict[str, cls], "x", "y", partition_columns=True).value  # type: ignore[valid-type]
    assert [rows(part) for part in each.values()] == [["x", "x"], ["y"]]


def test_partition_columns_of_batches(values: ValueStore) -> None:
    plant(values, x=pa.table({"n": [1, 2]}), y=pa.table({"n": [3]}))
    reader = get(values, pa.RecordBatchReader, "x", "y", partition_columns=True).value
    assert reader.read_all()["partition"].to_pylist() == ["x", "x", "y"]


@pytest.mark.parametrize("annotation", [None, dict[str, Any], list[int], int], ids=str)
def test_partition_columns_need_a_frame(values: ValueStore, annotation: Any) -> None:
    plant(values, x=1)
    with pytest.raises(PartitionError, match="not annotated as a frame"):
        get(values, annotation, "x", partition_columns=True)


# -- missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "skip", "none"),
    [
        (None, {"x": 1}, {"x": 1, "y": None}),
        (dict[str, int], {"x": 1}, {"x": 1, "y": None}),
        (list[int], [1], [1, None]),
        (PartitionStream[int], [("x", 1)], [("x", 1), ("y", None)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("format_name", ["auto", "json"])
def test_one_of_two_is_missing(
    values: ValueStore, annotation: Any, skip: Any, none: Any, format_name: str
) -> None:
    plant(values, x=1)
    for on_missing, expected in (("skip", skip), ("none", none)):
        loaded = get(values, annotation, "x", "y", on_missing=on_missing, format=format_name)  # type: ignore[arg-type]
        found = list(loaded.value) if annotation is PartitionStream[int] else loaded.value
        assert found == expected
        assert loaded.missing == ("y",)
    with pytest.raises((PartitionError, ObjectNotFoundError), match="partition 'y'"):
        list(get(values, annotation, "x", "y", format=format_name).value)


@pytest.mark.parametrize(
    ("annotation", "skip", "none"),
    [
        (None, None, None),
        (int, None, None),
        (dict[str, int], {}, {"y": None}),
        (list[int], [], [None]),
    ],
    ids=str,
)
def test_the_only_one_is_missing(values: ValueStore, annotation: Any, skip: Any, none: Any) -> None:
    for on_missing, expected in (("skip", skip), ("none", none)):
        loaded = get(values, annotation, "y", on_missing=on_missing)  # type: ignore[arg-type]
        assert loaded == Loaded(expected, ("y",))
    with pytest.raises(ObjectNotFoundError, match="partition 'y'"):
        get(values, annotation, "y")


@pytest.mark.parametrize("annotation", [int | None, dict[str, int] | None, list[int] | None])
def test_an_optional_one_is_none(values: ValueStore, annotation: Any) -> None:
    assert get(values, annotation, "y") == Loaded(None, ("y",))


def test_options_of_the_request_win(values: ValueStore) -> None:
    options: dict[str, Any] = {"on_missing": "error"}
    request = LoadRequest(
        (Target("y", address("y")),),
        partitioned=True,
        annotation=int,
        producer_annotation=None,
        options=Options(on_missing="skip"),
    )
    loaded = load(Chain((Link(values),)), request, default_on_missing="error", log=lambda _: None)
    assert loaded.value is None
    assert options


@pytest.mark.parametrize("on_missing", ["skip", "none"])
def test_one_frame_of_partitions_that_are_all_missing_is_empty(
    values: ValueStore, on_missing: OnMissing
) -> None:
    loaded = get(values, pa.Table, "1", "2", on_missing=on_missing)
    assert isinstance(loaded.value, pa.Table)
    assert loaded.value.num_rows == 0
    assert loaded.missing == ("1", "2")


def test_all_failures_are_named(values: ValueStore, store: Recorder) -> None:
    plant(values, x=1, y=2, z=3)
    for key in ("x", "z"):
        store.put(f"a/partition={key}/data.json", _damaged())
    with pytest.raises(PartitionError) as caught:
        get(values, dict[str, int], "x", "y", "z", "absent")
    assert sorted(caught.value.failures) == ["absent", "x", "z"]
    assert caught.value.succeeded == ("y",)
    for key in ("x", "z"):
        assert store.uri(f"a/partition={key}/data.json") in str(caught.value)


def test_progress_counts_bytes(values: ValueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(values, **{f"k{n}": "x" * 1000 for n in range(30)})
    clock = iter(range(0, 10_000, 11))
    monkeypatch.setattr("dagster_buckets.transfer.time.monotonic", lambda: next(clock))
    lines: list[str] = []
    get(values, dict[str, str], *(f"k{n}" for n in range(30)), log=lines.append)
    assert lines[0].startswith("read 1 of 30 partitions")
    assert lines[-1] == "read 30 of 30 partitions, 0.0 MB"


# -- what the producer said ------------------------------------------------------------------------


@pytest.mark.parametrize("producer", [FRAMES, PartitionStream[pa.Table]], ids=str)
@pytest.mark.parametrize("keys", [("1",), ("1", "2")])
def test_the_format_of_each_is_known_from_the_producer(
    values: ValueStore, store: Recorder, producer: Any, keys: tuple[str, ...]
) -> None:
    plant(values, **{key: pa.table({"n": [int(key)]}) for key in keys})
    store.requests.clear()
    assert list(get(values, FRAMES, *keys, producer=producer).value) == list(keys)
    assert not [request for request in store.requests if request.startswith("scan")]


def test_a_dict_of_the_producer_can_be_one_value_or_many(values: ValueStore) -> None:
    plant(values, x=b"bytes")
    assert get(values, bytes, "x", producer=dict[str, bytes]).value == b"bytes"
    plant(values, x={"a": 1})
    assert get(values, dict, "x", producer=dict[str, int]).value == {"a": 1}


def test_a_stream_needs_partitions(values: ValueStore) -> None:
    for target in (Target(None, AssetAddress.of(["a"])), Target(None, OpAddress("r", "s", "o"))):
        request = LoadRequest((target,), False, PartitionStream[int], None, Options())  # noqa: FBT003
        with pytest.raises(PartitionError, match="has none"):
            load(
                Chain((Link(values),)),
                request,
                default_on_missing="error",
                log=lambda _: None,
            )


def _damaged() -> Any:
    from dagster_buckets.objects import Body

    return Body.of(b"{")
