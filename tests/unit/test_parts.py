"""Values in parts: what is written, what is read, and what is left when something goes wrong."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import (
    AssetAddress,
    Body,
    ConfigurationError,
    DecodeError,
    HiveLayout,
    IntegrityError,
    LegacyLayout,
    MemoryStore,
    ObjectNotFoundError,
    OpAddress,
    StoreUnavailableError,
    UnsupportedTypeError,
    ValueStore,
)
from dagster_buckets.cli.garbage import unnamed_parts
from dagster_buckets.cli.inventory import inventory
from dagster_buckets.cli.source import Source
from dagster_buckets.formats.part_statistics import statistics_of
from dagster_buckets.manifests import Manifest
from dagster_buckets.parts import whose
from hypothesis import given
from hypothesis import strategies as st

from tests.failing_store import FailingStore

ADDRESS = AssetAddress.of(["shop", "orders"], "d1")
KEY = "shop/orders/partition=d1/data.parquet.manifest"
FOLDER = "shop/orders/partition=d1/data.parts/"


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(secrets.token_hex(4))


@pytest.fixture
def values(store: FailingStore) -> ValueStore:
    return ValueStore(store, HiveLayout()).having({"part_size": 800})


def parts_in(store: MemoryStore) -> list[str]:
    return [info.key for info in store.scan(FOLDER)]


def numbers(count: int) -> pa.Table:
    return pa.table({"n": range(count), "text": [f"row {n}" for n in range(count)]})


def manifest_in(store: MemoryStore, key: str = KEY) -> Manifest:
    return Manifest.of(store.get(key))


# -- round trips -------------------------------------------------------------------------------

VALUES: list[Callable[[], Any]] = [
    lambda: numbers(250),
    lambda: numbers(1),
    lambda: numbers(0),
    lambda: pa.record_batch({"n": [1, 2]}),
    lambda: pd.DataFrame({"n": range(250)}, index=[f"i{n}" for n in range(250)]),
    lambda: pl.DataFrame({"n": range(250), "s": ["é"] * 250}),
    lambda: pa.table({"n": pa.array([None, 1], pa.int8()), "l": [[1], []]}),
]


@pytest.mark.parametrize("format_name", ["parquet", "arrow"])
@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_value_comes_back_as_it_would_from_one_object(
    values: ValueStore, format_name: str, number: int
) -> None:
    value = VALUES[number]()
    other = ADDRESS.of(["shop", "whole"])
    whole = ValueStore(values.store, HiveLayout())
    whole.write(other, value, format_name=format_name)

    stored = values.write(ADDRESS, value, format_name=format_name)

    assert stored.format == format_name
    assert stored.info.key == f"{KEY.removesuffix('parquet.manifest')}{format_name}.manifest"
    found = values.read(ADDRESS, format_name=format_name)
    wanted = whole.read(other, format_name=format_name)
    assert type(found) is type(wanted)
    assert found.equals(wanted)
    # A listing leads to it, too, whatever is set there.
    assert whole.read(ADDRESS).equals(wanted)
    assert whole.read(ADDRESS, pa.Table).num_rows == len(value)


@pytest.mark.parametrize(
    "value",
    [
        lambda: numbers(500).to_reader(max_chunksize=7),
        lambda: pl.LazyFrame({"n": range(500)}),
        lambda: ds.dataset(numbers(500)),
        lambda: duckdb.sql("SELECT unnest(range(500)) AS n"),
    ],
)
def test_streams_roll_over(
    values: ValueStore, store: FailingStore, value: Callable[[], Any]
) -> None:
    stored = values.write(ADDRESS, value(), format_name="parquet")
    assert stored.description.rows == 500
    assert stored.description.parts == len(parts_in(store)) > 3
    assert values.read(ADDRESS, pa.Table)["n"].to_pylist() == list(range(500))


@pytest.mark.parametrize("format_name", ["parquet", "arrow"])
def test_scans_and_streams(values: ValueStore, format_name: str) -> None:
    values.write(ADDRESS, numbers(250), format_name=format_name)

    def read(cls: type) -> Any:
        return values.read(ADDRESS, cls, format_name=format_name)

    assert read(pl.LazyFrame).select("n").collect()["n"].to_list() == list(range(250))
    assert read(ds.Dataset).to_table(filter=ds.field("n") >= 248)["n"].to_pylist() == [248, 249]
    relation = read(duckdb.DuckDBPyRelation)
    assert relation.aggregate("sum(n)").fetchall() == [(sum(range(250)),)]
    batches = list(read(pa.RecordBatchReader))
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(250))


class Reads(MemoryStore):
    """A memory store that notes what is read."""

    seen: ClassVar[list[str]] = []

    def get(self, key: str) -> Any:
        self.seen.append(key)
        return super().get(key)

    def read_range(self, version: Any, start: int, stop: int) -> Any:
        self.seen.append(version.key)
        return super().read_range(version, start, stop)


@pytest.mark.parametrize("cls", [pl.LazyFrame, ds.Dataset, duckdb.DuckDBPyRelation])
def test_a_scan_leaves_out_what_the_statistics_exclude(cls: type) -> None:
    store = Reads(secrets.token_hex(4))
    values = ValueStore(store, HiveLayout()).having({"part_size": 80_000})
    table = pa.table(
        {
            "n": range(40_000),
            "maybe": [None if n % 2 else n for n in range(40_000)],
            "at": pa.array(range(40_000), pa.timestamp("s")),
        }
    )
    values.write(ADDRESS, table, format_name="parquet")
    found = values.read(ADDRESS, cls, format_name="parquet")
    parts = parts_in(store)
    assert len(parts) > 8

    for column, wanted in (
        ("n", 39_998),
        ("maybe", 39_998),
        ("at", datetime.fromtimestamp(39_998, UTC).replace(tzinfo=None)),
    ):
        if cls is duckdb.DuckDBPyRelation and column == "at":
            continue  # DuckDB compares these itself
        store.seen.clear()
        if isinstance(found, pl.LazyFrame):
            rows = found.filter(pl.col(column) == wanted).collect().height
        elif isinstance(found, ds.Dataset):
            rows = found.to_table(filter=ds.field(column) == pa.scalar(wanted)).num_rows
        else:
            rows = len(
                found.filter(duckdb.ColumnExpression(column) == duckdb.ConstantExpression(wanted))
            )
        assert rows == 1
        assert set(store.seen) == {parts[-1]}
    if isinstance(found, pl.LazyFrame):
        n = pl.col("n")
        for predicate in (n.is_in([39_997, 39_998]), (n == 39_998) | (n > 39_998)):
            store.seen.clear()
            assert found.filter(predicate).collect().height == 2
            assert set(store.seen) == {parts[-1]}
    # Nothing is left out that can have such rows.
    if isinstance(found, ds.Dataset):
        assert found.to_table(filter=ds.field("maybe").is_null()).num_rows == 20_000
        assert found.to_table(filter=~(ds.field("n") > 5)).num_rows == 6


def test_columns_and_filters(values: ValueStore) -> None:
    values.write(ADDRESS, numbers(250), format_name="parquet")
    some = values.having({"columns": ["text"], "filters": [("n", ">=", 249)]})
    assert some.read(ADDRESS, format_name="auto").to_pydict() == {"text": ["row 249"]}


def test_none_is_a_value(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, None, format_name="parquet")
    assert values.read(ADDRESS, format_name="parquet") is None
    assert parts_in(store) == []


def test_what_is_no_table_is_refused(values: ValueStore, store: FailingStore) -> None:
    with pytest.raises(UnsupportedTypeError, match="writes frames"):
        values.write(ADDRESS, {"a": 1}, format_name="parquet")
    for name, value in (("json", {"a": 1}), ("csv", numbers(1)), ("text", "a")):
        with pytest.raises(ConfigurationError, match="cannot lie in parts"):
            values.write(ADDRESS, value, format_name=name)
    assert list(store.scan()) == []


@pytest.mark.parametrize("size", [0, -1, "1 GiB", True, 1.5])
def test_sizes_that_cannot_be(store: FailingStore, size: Any) -> None:
    values = ValueStore(store, HiveLayout()).having({"part_size": size})
    with pytest.raises(ConfigurationError, match="part_size cannot be"):
        values.write(ADDRESS, numbers(1), format_name="parquet")


def test_layouts_without_room(store: FailingStore) -> None:
    values = ValueStore(store, LegacyLayout("s3")).having({"part_size": 800})
    with pytest.raises(ConfigurationError, match="no room for the parts"):
        values.write(ADDRESS, numbers(1), format_name="parquet")
    assert list(store.scan()) == []


def test_a_layout_that_takes_a_nested_part_for_a_value(store: FailingStore) -> None:
    class Takes(HiveLayout):
        def parse(self, key: str) -> Any:
            taken = key.endswith("data.parts/a=b/a=b/part-0.x")
            return (ADDRESS, "x") if taken else super().parse(key)

    values = ValueStore(store, Takes("takes")).having({"part_size": 800})
    with pytest.raises(ConfigurationError, match="'takes' has no room for the parts"):
        values.write(ADDRESS, numbers(1), format_name="parquet")


@given(st.lists(st.integers(1, 400), max_size=6), st.integers(1, 4000))
def test_parts_are_as_large_as_they_may_be(sizes: list[int], part_size: int) -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = ValueStore(store, HiveLayout()).having({"part_size": part_size})
    batches = [pa.record_batch({"n": pa.array(range(size), pa.int64())}) for size in sizes]
    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches)

    values.write(ADDRESS, reader, format_name="arrow")

    manifest = manifest_in(store, KEY.replace("parquet", "arrow"))
    rows = [part.rows for part in manifest.parts]
    assert sum(rows) == sum(sizes)
    each = max(1, part_size // 8)
    assert all(count <= each for count in rows)
    assert all(count == each for count in rows[:-1])
    found = values.read(ADDRESS, pa.Table, format_name="arrow")["n"].to_pylist()
    assert found == [n for size in sizes for n in range(size)]


def test_of_a_stream_two_parts_are_in_memory(store: FailingStore) -> None:
    """One that is sent, and one that is filled."""
    mib, rows = 1024 * 1024, 8 * 1024
    values = ValueStore(store, HiveLayout()).having({"part_size": mib})
    schema = pa.schema([("n", pa.int64())])
    before, seen = pa.total_allocated_bytes(), []

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(5 * mib // (8 * rows)):
            memory = pa.allocate_buffer(8 * rows)
            numbers = pa.Array.from_buffers(pa.int64(), rows, [None, memory])
            seen.append(pa.total_allocated_bytes() - before)
            yield pa.record_batch({"n": numbers})

    values.write(ADDRESS, pa.RecordBatchReader.from_batches(schema, batches()), format_name="arrow")
    assert len(manifest_in(store, KEY.replace("parquet", "arrow")).parts) == 5
    # And the batch that was made last, which the generator still holds.
    assert 2 * mib <= max(seen) <= 2.2 * mib


# -- the manifest ------------------------------------------------------------------------------


def test_the_manifest_names_every_part(values: ValueStore, store: FailingStore) -> None:
    stored = values.write(ADDRESS, numbers(250), format_name="parquet")
    document = json.loads(bytes(store.get(KEY).data))
    assert document["dagster_buckets_manifest"] == 1
    assert (document["format"], document["rows"]) == ("parquet", 250)
    assert [FOLDER + part["name"] for part in document["parts"]] == parts_in(store)
    assert document["size"] == stored.description.parts_size
    for part in document["parts"]:
        info = store.head(FOLDER + part["name"])
        assert info.header is not None
        assert (part["size"], part["digest"]) == (info.size, info.header.digest)
    first = document["parts"][0]
    assert first["statistics"]["n"] == {"nulls": 0, "min": 0, "max": first["rows"] - 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: b"{", "not a readable manifest"),
        (lambda found: b"[]", "not a readable manifest"),
        (lambda found: b"{}", "not a readable manifest"),
        (lambda found: {**found, "dagster_buckets_manifest": 2}, "of version 2"),
        (lambda found: {**found, "schema": "AAAA"}, "not a readable manifest"),
        (
            lambda found: {**found, "parts": [{**found["parts"][0], "name": "../x"}]},
            "leads elsewhere",
        ),
        (
            lambda found: {**found, "parts": [{**found["parts"][0], "name": "/x"}]},
            "leads elsewhere",
        ),
    ],
)
def test_manifests_that_are_none(
    values: ValueStore, store: FailingStore, change: Callable[[Any], Any], said: str
) -> None:
    values.write(ADDRESS, numbers(10), format_name="parquet")
    made = change(json.loads(bytes(store.get(KEY).data)))
    store.put(KEY, Body.of(made if isinstance(made, bytes) else json.dumps(made).encode()))
    with pytest.raises(DecodeError, match=said):
        values.read(ADDRESS, format_name="parquet")


def test_what_is_not_known_yet_is_ignored(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, numbers(10), format_name="parquet")
    made = json.loads(bytes(store.get(KEY).data))
    made["written_by"] = "a later version"
    made["parts"][0]["sorted_by"] = ["n"]
    store.put(KEY, Body.of(json.dumps(made).encode()))
    assert values.read(ADDRESS, format_name="parquet").num_rows == 10


def test_statistics_of_every_type() -> None:
    table = pa.table(
        {
            "float": [1.5, None, -2.0],
            "nan": [1.0, float("nan"), 2.0],
            "infinite": [1.0, float("inf"), 2.0],
            "flag": [True, False, None],
            "text": ["b", "a", None],
            "long": ["x" * 100, "a", "b"],
            "day": pa.array([1, 2, 3], pa.date32()),
            "at": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
            "nothing": pa.array([None, None, None], pa.int64()),
            "list": [[1], [2], None],
            "bytes": [b"a", b"b", None],
        }
    )
    assert statistics_of(table) == {
        "float": {"nulls": 1, "min": -2.0, "max": 1.5},
        "nan": {"nulls": 0},
        "infinite": {"nulls": 0},
        "flag": {"nulls": 1, "min": False, "max": True},
        "text": {"nulls": 1, "min": "a", "max": "b"},
        "long": {"nulls": 0},
        "day": {"nulls": 0, "min": "1970-01-02", "max": "1970-01-04"},
        "at": {
            "nulls": 1, "min": "1970-01-01 00:00:00.000001Z", "max": "1970-01-01 00:00:00.000002Z",
        },
        "nothing": {"nulls": 3},
        "list": {"nulls": 1},
        "bytes": {"nulls": 1},
    }  # fmt: skip


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("left", range(6))
def test_a_store_that_fails_leaves_the_old_value(
    values: ValueStore, store: FailingStore, left: int
) -> None:
    values.write(ADDRESS, numbers(100), format_name="parquet")
    before = parts_in(store)
    store.left = left
    with pytest.raises(StoreUnavailableError):
        values.write(ADDRESS, numbers(200), format_name="parquet")
    store.left = None
    assert values.read(ADDRESS, format_name="parquet").num_rows == 100
    left_over = set(parts_in(store)) - set(before)
    # Those of a manifest that failed are as unknown as those of a killed writer.
    written = len(manifest_in(store).parts)
    assert not left_over or left >= written


def test_a_stream_that_breaks_leaves_the_old_value(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, numbers(100), format_name="parquet")
    before = parts_in(store)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from numbers(90).to_batches()
        msg = "the source broke"
        raise RuntimeError(msg)

    reader = pa.RecordBatchReader.from_batches(numbers(0).schema, batches())
    with pytest.raises(RuntimeError, match="the source broke"):
        values.write(ADDRESS, reader, format_name="parquet")
    assert parts_in(store) == before
    assert values.read(ADDRESS, format_name="parquet").num_rows == 100


def test_who_has_the_old_manifest_finds_its_parts(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, numbers(100), format_name="parquet")
    (located,) = values.locate([ADDRESS], format_name="parquet")
    assert located is not None
    from dagster_buckets.reading import Reader

    reader = Reader(pa.Table)
    piece = reader.piece(located)
    values.write(ADDRESS, numbers(5), format_name="parquet")
    assert reader.value(piece).num_rows == 100
    assert values.read(ADDRESS, format_name="parquet").num_rows == 5


@pytest.mark.parametrize("as_type", [None, pa.Table, pl.LazyFrame, pa.RecordBatchReader])
def test_a_part_that_is_not_there(
    values: ValueStore, store: FailingStore, as_type: type | None
) -> None:
    values.write(ADDRESS, numbers(250), format_name="parquet")
    store.delete([parts_in(store)[1]])
    with pytest.raises((ObjectNotFoundError, OSError, pl.exceptions.PolarsError)) as failed:
        all_of(values.read(ADDRESS, as_type, format_name="parquet"))
    assert "data.parts" in str(failed.value)


def all_of(found: Any) -> Any:
    return found.collect() if isinstance(found, pl.LazyFrame) else found.read_all()


def test_a_part_that_is_another_one(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, numbers(250), format_name="parquet")
    first, second, *_ = parts_in(store)
    store.put(first, Body.of(store.get(second).data))
    with pytest.raises(IntegrityError, match="its manifest says"):
        values.read(ADDRESS, format_name="parquet")


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        AssetAddress.of(["a"]),
        AssetAddress.of(["a.parts", "data.parts"], "x/y"),
        OpAddress("run", "step", "result", "mapped"),
    ],
)
def test_a_part_tells_whose_it_is(address: Any) -> None:
    layout = HiveLayout()
    stem = layout.stem(address)
    for folder in ("", "country=de/", "country=.parts/", "a=data.parts/b=x.parts/"):
        key = f"{stem}parts/{folder}part-0f-00000.parquet"
        assert layout.parse(key) is None
        assert whose(layout, key) == (address, None)
    assert whose(layout, layout.key(address, "parquet")) == (address, "parquet")
    assert whose(layout, "of/others.txt") is None


def test_no_asset_has_such_a_folder() -> None:
    layout = HiveLayout()
    for path in (["a", "data.parts"], ["a", "data", "parts"], ["data.parts", "part-0"]):
        assert "data.parts/" not in layout.key(AssetAddress.of(path), "parquet")


# -- what is listed and swept ------------------------------------------------------------------


def test_what_is_listed_and_swept(values: ValueStore, store: FailingStore) -> None:
    values.write(ADDRESS, numbers(100), format_name="parquet")
    old = set(parts_in(store))
    values.write(ADDRESS, numbers(250), format_name="parquet")
    store.put("gone/data.parts/part-0-00000.parquet", Body.of(b"left by a killed writer"))
    source = Source(ValueStore(store, HiveLayout()))

    entries = inventory(source)

    (value,) = [entry for entry in entries if entry.address == ADDRESS]
    assert value.format == "parquet"
    assert len(value.parts) == len(parts_in(store))
    assert value.size == sum(info.size for info in store.scan(KEY[:30]))
    now = datetime.now(UTC)
    assert unnamed_parts(store, entries, timedelta(hours=1), now) == []
    swept = unnamed_parts(store, entries, timedelta(hours=1), now + timedelta(hours=2))
    assert {info.key for info in swept} == {*old, "gone/data.parts/part-0-00000.parquet"}


def test_what_was_replaced_just_now_may_still_be_read(
    values: ValueStore, store: FailingStore
) -> None:
    """However long ago its parts were written."""
    values.write(ADDRESS, numbers(100), format_name="parquet")
    (entry,) = inventory(Source(ValueStore(store, HiveLayout())))
    long_ago = datetime.now(UTC) - timedelta(days=3)
    stale = replace(entry.parts[0], key=f"{FOLDER}part-old-00000.parquet", modified=long_ago)
    entries = [replace(entry, parts=(*entry.parts, stale))]
    assert unnamed_parts(store, entries, timedelta(hours=1)) == []
    later = datetime.now(UTC) + timedelta(hours=2)
    assert unnamed_parts(store, entries, timedelta(hours=1), later) == [stale]
