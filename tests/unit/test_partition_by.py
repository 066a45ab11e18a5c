"""Values in parts that are split by columns: how they are written, and what reads them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from dagster_buckets import (
    AssetAddress,
    ConfigurationError,
    DecodeError,
    EncodeError,
    HiveLayout,
    MemoryStore,
    StoreUnavailableError,
    ValueStore,
    bucket_options,
)
from dagster_buckets.cli.garbage import unnamed_parts
from dagster_buckets.cli.inventory import inventory
from dagster_buckets.cli.source import Source
from dagster_buckets.formats import rolling
from dagster_buckets.formats.rolling import MOST_KEYS, split
from dagster_buckets.manifests import Manifest
from dagster_buckets.testing.strategies import hostile_text
from hypothesis import given
from hypothesis import strategies as st

from tests.failing_store import FailingStore
from tests.lazy_store import ReadingStore

ADDRESS = AssetAddress.of(["sales"])
FOLDER = "sales/data.parts/"
COUNTRIES = ["de", "fr", None, "it"]
DAYS = [date(2024, 1, 1), date(2024, 1, 2)]
KINDS = ["parquet", "arrow"]


def sales(count: int = 400) -> pa.Table:
    """Each country comes in turn; the columns that split are neither the first nor together."""
    return pa.table(
        {
            "n": range(count),
            "country": pa.array([COUNTRIES[n % 4] for n in range(count)]),
            "text": [f"row {n}" for n in range(count)],
            "day": pa.array([DAYS[n % 3 == 0] for n in range(count)], pa.date32()),
        }
    )


def values_in(store: MemoryStore, by: Any = "country", **options: Any) -> ValueStore:
    return ValueStore(store, HiveLayout()).having({"partition_by": by, **options})


def written(store: MemoryStore, value: Any, by: Any = "country", **options: Any) -> ValueStore:
    values = values_in(store, by, **options)
    values.write(ADDRESS, value, format_name=options.get("format_name", "parquet"))
    return values


def manifest_in(store: MemoryStore, kind: str = "parquet") -> Manifest:
    return Manifest.of(store.get(f"sales/data.{kind}.manifest"))


def rows(found: Any) -> list[dict[str, Any]]:
    """The rows of whatever was loaded, by number."""
    if isinstance(found, dd.DataFrame):
        found = found.compute(scheduler="synchronous")
    if isinstance(found, pl.LazyFrame):
        found = found.collect()
    if isinstance(found, pd.DataFrame):
        found = pa.Table.from_pandas(found, preserve_index=False)
    if isinstance(found, pl.DataFrame | duckdb.DuckDBPyRelation):
        found = pa.table(found.to_arrow() if isinstance(found, pl.DataFrame) else found.arrow())
    if isinstance(found, ds.Dataset):
        found = found.to_table()
    if isinstance(found, pa.RecordBatchReader):
        found = found.read_all()
    return sorted(found.to_pylist(), key=str)


# -- what is written ---------------------------------------------------------------------------


def test_parts_lie_in_folders_of_their_values() -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store, ["country", "day"])
    stored = values.write(ADDRESS, sales(), format_name="parquet")

    manifest = manifest_in(store)
    folders = [part.name.rpartition("/")[0] for part in manifest.parts]
    assert folders[:2] == ["country=de/day=2024-01-02", "country=fr/day=2024-01-01"]
    assert "country=__HIVE_DEFAULT_PARTITION__/day=2024-01-02" in folders
    assert len(folders) == 8 == stored.description.parts
    assert all("/part-" in part.name for part in manifest.parts)
    first = manifest.parts[0]
    assert first.partition == {"country": "de", "day": "2024-01-02"}
    assert set(first.statistics) == {"n", "text"}
    assert {info.key for info in store.scan(FOLDER)} == {FOLDER + p.name for p in manifest.parts}
    assert stored.description.rows == 400


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_is_what_was_written_in_the_order_of_the_values(kind: str) -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store, part_size=600)
    values.write(ADDRESS, sales(), format_name=kind)
    assert len(manifest_in(store, kind).parts) > 8
    found = values.read(ADDRESS, format_name=kind)
    assert found.schema == sales().schema
    order = [n for turn in range(4) for n in range(turn, 400, 4)]
    assert found.equals(sales().take(order))
    # What comes in that order already keeps it.
    values.write(ADDRESS, found, format_name=kind)
    assert values.read(ADDRESS, format_name=kind).equals(found)


CLASSES = [
    pd.DataFrame,
    pl.DataFrame,
    pa.Table,
    pa.RecordBatchReader,
    pl.LazyFrame,
    ds.Dataset,
    duckdb.DuckDBPyRelation,
    dd.DataFrame,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_all_who_take_it(cls: type, kind: str) -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store)
    values.write(ADDRESS, sales(), format_name=kind)
    whole = ValueStore(MemoryStore(secrets.token_hex(4)), HiveLayout())
    whole.write(ADDRESS, sales(), format_name=kind)

    def both(options: Mapping[str, Any]) -> tuple[Any, Any]:
        chosen = {"partition_by": "country", **options}
        return (
            rows(values.having(chosen).read(ADDRESS, cls, format_name=kind)),
            rows(whole.having(options).read(ADDRESS, cls, format_name=kind)),
        )

    found, wanted = both({})
    assert len(found) == 400
    assert found == wanted
    found, wanted = both({"columns": ["country"]})
    assert found == wanted
    assert set(found[0]) == {"country"}
    found, wanted = both({"filters": [("country", "=", "fr")], "columns": ["n", "country"]})
    assert len(found) == 100
    assert found == wanted
    found, wanted = both({"filters": [("country", "in", ["fr", "it"]), ("n", "<", 40)]})
    assert len(found) == 20
    assert found == wanted
    found, wanted = both({"filters": pc.field("country").is_null()})
    assert len(found) == 100
    assert found == wanted


VALUES: list[tuple[str, Any]] = [
    ("text", pa.array(["a", "b", None, "a/b", "", "__HIVE_DEFAULT_PARTITION__", "x" * 300])),
    ("large text", pa.array(["a", "é=%", None, "a"], pa.large_string())),
    ("small", pa.array([1, -128, None, 1], pa.int8())),
    ("large", pa.array([2**64 - 1, 2**63, 0, None], pa.uint64())),
    ("flag", pa.array([True, False, None, True])),
    ("day", pa.array([date(1, 1, 1), date(9999, 12, 31), None], pa.date32())),
    ("nothing", pa.nulls(2)),
    ("coded", pa.array(["a", "b", None, "a"]).dictionary_encode()),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(VALUES)), ids=[name for name, _ in VALUES])
def test_types_and_values_are_kept(number: int, kind: str) -> None:
    column = VALUES[number][1]
    table = pa.table({"n": range(len(column)), "by": column})
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store, "by")
    values.write(ADDRESS, table, format_name=kind)
    found = values.read(ADDRESS, format_name=kind)
    assert found.schema == table.schema
    assert found.sort_by("n")["by"].to_pylist() == column.to_pylist()
    scanned = values.read(ADDRESS, ds.Dataset, format_name=kind)
    lazy = values.read(ADDRESS, pl.LazyFrame, format_name=kind)
    for value in dict.fromkeys(column.to_pylist()):
        wanted = [n for n, other in enumerate(column.to_pylist()) if other == value]
        plain = getattr(column.type, "value_type", column.type)
        told = pc.field("by").is_null()
        told = told if value is None else pc.field("by") == pa.scalar(value, plain)
        assert scanned.to_table(filter=told)["n"].to_pylist() == wanted
        same = pl.col("by").is_null() if value is None else pl.col("by") == value
        assert lazy.filter(same).collect()["n"].to_list() == wanted
    # A value has a folder of its own, whatever is in it.
    folders = {part.name.rpartition("/")[0] for part in manifest_in(store, kind).parts}
    assert len(folders) == len(set(column.to_pylist()))
    assert all(folder.count("/") == 0 for folder in folders)


def test_frames_with_an_index_and_categories() -> None:
    frame = pd.DataFrame(
        {"n": range(6), "by": pd.Categorical(["b", "a", "b", None, "a", "b"], ["c", "b", "a"])},
        index=pd.Index([f"i{n}" for n in range(6)], name="at"),
    )
    values = written(MemoryStore(secrets.token_hex(4)), frame, "by")
    found = values.read(ADDRESS, format_name="parquet").sort_index()
    pd.testing.assert_frame_equal(found, frame, check_categorical=False)
    assert (
        list(found["by"].dtype.categories) == ["b", "a"] or found["by"].dtype == frame["by"].dtype
    )
    # By the index, too.
    values = written(MemoryStore(secrets.token_hex(4)), frame, "at")
    assert values.read(ADDRESS, format_name="parquet")["n"].to_list() == list(range(6))


def test_an_enum_of_polars_is_ordered_by_its_categories() -> None:
    kind = pl.Enum(["small", "large"])
    frame = pl.DataFrame({"n": range(4), "size": pl.Series(["large", "small"] * 2, dtype=kind)})
    values = written(MemoryStore(secrets.token_hex(4)), frame, "size")
    found = values.read(ADDRESS, pl.LazyFrame, format_name="parquet")
    assert found.filter(pl.col("size") > "small").collect()["n"].to_list() == [0, 2]
    assert values.read(ADDRESS, format_name="parquet").schema == frame.schema


def test_no_rows_are_one_part() -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = written(store, sales(0))
    assert len(manifest_in(store).parts) == 1
    assert values.read(ADDRESS, format_name="parquet").equals(sales(0))
    assert values.read(ADDRESS, pl.LazyFrame, format_name="parquet").collect().shape == (0, 4)


@given(
    st.lists(
        st.lists(st.tuples(st.none() | hostile_text(), st.none() | st.booleans())), max_size=5
    ),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_every_row_is_in_a_part_of_its_values(
    batches: list[list[tuple[Any, Any]]], size: int, room: int
) -> None:
    number = iter(range(10_000))
    kinds = {"n": pa.int64(), "a": pa.string(), "b": pa.bool_()}
    schema = pa.schema([pa.field(name, kind) for name, kind in kinds.items()])
    made = [
        pa.RecordBatch.from_pylist([{"n": next(number), "a": a, "b": b} for a, b in batch], schema)
        for batch in batches
    ]
    wanted: dict[Any, list[int]] = {}
    for batch in made:
        for row in batch.to_pylist():
            wanted.setdefault((row["a"], row["b"]), []).append(row["n"])
    found: dict[Any, list[Any]] = {}
    places: dict[Any, int] = {}
    for part in split(made, ["a", "b"], size, room=room):
        for batch in part.batches:
            assert {(row["a"], row["b"]) for row in batch.to_pylist()} == {part.key}
            found.setdefault(part.key, []).extend(batch["n"].to_pylist())
        places[part.key] = part.place
        assert part.batches or not wanted
    assert found == wanted
    if wanted:
        assert [key for key, _ in sorted(places.items(), key=lambda item: item[1])] == list(wanted)


@given(st.lists(hostile_text(), min_size=1, max_size=4, unique=True), st.data())
def test_no_column_or_value_leads_out_of_its_folder(names: list[str], data: st.DataObject) -> None:
    texts = st.lists(st.none() | hostile_text(), min_size=3, max_size=3)
    table = pa.table({name: pa.array(data.draw(texts), pa.string()) for name in names})
    table = table.append_column("".join(names) + "n", pa.array([0, 1, 2]))
    store = MemoryStore(secrets.token_hex(4))
    values = written(store, table, names)
    manifest = manifest_in(store)
    keys = {FOLDER + part.name for part in manifest.parts}
    assert keys == {info.key for info in store.scan(FOLDER)}
    combinations = {tuple(row[name] for name in names) for row in table.to_pylist()}
    assert len({key.rpartition("/")[0] for key in keys}) == len(combinations)
    (entry,) = inventory(Source(ValueStore(store, HiveLayout())))
    assert {info.key for info in entry.parts} == keys
    found = values.read(ADDRESS, format_name="parquet")
    assert rows(found) == rows(table)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", [[], "", ["a", "a"], 1, [1], {"a": 1}, list("abcdefghi")], ids=str)
def test_what_cannot_be_the_name_of_columns(by: Any) -> None:
    said = "has no column ''" if by == "" else "partition_by cannot be"
    with pytest.raises((ConfigurationError, EncodeError), match=said):
        written(MemoryStore(secrets.token_hex(4)), sales(), by)


def test_options_are_checked_where_they_are_written() -> None:
    assert bucket_options(format="parquet", partition_by=("a", "b")) == {
        "dagster_buckets/format": "parquet",
        "dagster_buckets/partition_by": ["a", "b"],
    }
    bucket_options(partition_by="a")
    with pytest.raises(ConfigurationError, match="partition_by cannot be"):
        bucket_options(partition_by=["a", "a"])
    with pytest.raises(ConfigurationError, match="cannot lie in parts"):
        bucket_options(format="json", partition_by="a")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, 2.5]),
        pa.array([1, 2], pa.timestamp("us")),
        pa.array([1, 2], pa.date64()),
        pa.array([b"a", b"b"]),
        pa.array([[1], [2]]),
        pa.array([1, 2], pa.decimal128(10)),
        pa.array([1, 2]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_types_that_cannot_tell_parts_apart(column: Any) -> None:
    store = MemoryStore(secrets.token_hex(4))
    with pytest.raises(EncodeError, match="'by', which partition_by names, is") as failed:
        written(store, pa.table({"by": column}), "by")
    assert "texts, integers, booleans or dates" in str(failed.value.hint)
    assert list(store.scan()) == []


def test_a_column_that_is_not_there() -> None:
    store = MemoryStore(secrets.token_hex(4))
    with pytest.raises(EncodeError, match="no column 'nation', which partition_by names"):
        written(store, sales().to_reader(), ["country", "nation"])
    assert list(store.scan()) == []


def test_a_date_that_has_no_text() -> None:
    store = MemoryStore(secrets.token_hex(4))
    with pytest.raises(EncodeError, match="a date that has no text"):
        written(store, pa.table({"by": pa.array([10_000_000], pa.date32())}), "by")
    assert list(store.scan()) == []


@pytest.mark.parametrize("chunk", [100, None])
def test_too_many_values(chunk: int | None) -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = written(store, sales())
    before = {info.key for info in store.scan()}
    table = pa.table({"country": [str(n) for n in range(MOST_KEYS)]})
    values.write(ADDRESS.of(["most"]), table, format_name="parquet")
    more = pa.concat_tables([table, pa.table({"country": ["one more"]})])
    with pytest.raises(EncodeError, match="more than 1,024 combinations") as failed:
        values.write(ADDRESS, more.to_reader(chunk) if chunk else more, format_name="parquet")
    assert "fewer values" in str(failed.value.hint)
    assert {info.key for info in store.scan("sales/")} == before
    assert values.read(ADDRESS, format_name="parquet").num_rows == 400


# -- streams -----------------------------------------------------------------------------------


def test_what_waits_is_bounded() -> None:
    """However many parts are open, and however large they may become."""
    room, most = 256 * 1024, 0
    before = pa.total_allocated_bytes()
    rows = []
    batches = (pa.record_batch({"by": pa.array(np.arange(8192) % 100)}) for _ in range(64))
    for part in split(batches, ["by"], room // 2, room=room):
        most = max(most, pa.total_allocated_bytes() - before)
        rows.append(sum(batch.num_rows for batch in part.batches))
        del part
    # 4 MiB came.
    assert sum(rows) == 64 * 8192
    assert most < 3 * room
    # None was given much earlier than it had to be.
    assert len(rows) < 2 * 4 * 1024**2 // (room // 100)


def test_no_more_than_what_waits_is_held() -> None:
    """A row that waits does not hold the batch that it came in, nor others that came with it."""
    before, most = pa.total_allocated_bytes(), 0
    zeros = pa.array([0] * 16_383)
    # Joined, so that it is in Arrow's own memory, which is what is counted.
    batches = (
        pa.record_batch({"by": pa.concat_arrays([pa.array([number]), zeros])})
        for number in range(1, 200)
    )
    for part in split(batches, ["by"], 128 * 1024, room=512 * 1024):
        most = max(most, pa.total_allocated_bytes() - before)
        del part
    # Each batch has 128 KiB, and one row of each waits to the end.
    assert most < 1024**2


def test_a_stream_is_split_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "_STEP", 1024)
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store, part_size=2048)
    asked = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal asked
        for batch in sales(4000).to_batches(max_chunksize=100):
            asked += 1
            if asked == 30:
                assert len(list(store.scan(FOLDER))) > 8
            yield batch

    reader = pa.RecordBatchReader.from_batches(sales().schema, batches())
    stored = values.write(ADDRESS, reader, format_name="parquet")
    assert stored.description.rows == 4000
    found = values.read(ADDRESS, pa.Table, format_name="parquet")
    assert found["n"].to_pylist() == [n for turn in range(4) for n in range(turn, 4000, 4)]


@pytest.mark.parametrize("left", [0, 1, 3, 4])
def test_a_store_that_fails_leaves_the_old_value(left: int) -> None:
    store = FailingStore(secrets.token_hex(4))
    values = written(store, sales())
    before = {info.key for info in store.scan()}
    store.left = left
    with pytest.raises(StoreUnavailableError):
        values.write(ADDRESS, sales(800), format_name="parquet")
    store.left = None
    if left < 4:
        assert {info.key for info in store.scan()} == before
    assert values.read(ADDRESS, format_name="parquet").num_rows == 400


# -- what is read ------------------------------------------------------------------------------


def asked_in(store: ReadingStore) -> set[str]:
    """The folders of the parts that were asked for, in whatever way."""
    keys = {key for key in (*store.gets, *store.opens) if key.startswith(FOLDER)}
    return {key.removeprefix(FOLDER).rpartition("/")[0] for key in keys}


def forget(store: ReadingStore) -> None:
    store.gets.clear()
    store.opens.clear()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_filters_leave_out_parts_without_a_request(cls: type, kind: str) -> None:
    store = ReadingStore()
    values = values_in(store, ["country", "day"])
    values.write(ADDRESS, sales(), format_name=kind)
    filters = [("country", "in", ["de", "it"]), ("day", "=", DAYS[1])]
    forget(store)
    some = values_in(store, ["country", "day"], filters=filters)
    found = rows(some.read(ADDRESS, cls, format_name=kind))
    assert {row["country"] for row in found} == {"de", "it"}
    assert asked_in(store) == {"country=de/day=2024-01-02", "country=it/day=2024-01-02"}
    # Of nothing one part may tell the columns.
    forget(store)
    none = values_in(store, ["country", "day"], filters=[("country", "=", "nowhere")])
    assert rows(none.read(ADDRESS, cls, format_name=kind)) == []
    assert len(asked_in(store)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_leaves_out_parts_without_a_request(kind: str) -> None:
    store = ReadingStore()
    values = values_in(store, ["country", "day"])
    values.write(ADDRESS, sales(), format_name=kind)
    forget(store)
    dataset = values.read(ADDRESS, ds.Dataset, format_name=kind)
    lazy = values.read(ADDRESS, pl.LazyFrame, format_name=kind)
    relation = values.read(ADDRESS, duckdb.DuckDBPyRelation, format_name=kind)
    assert asked_in(store) == set()

    france = {"country=fr/day=2024-01-01", "country=fr/day=2024-01-02"}
    assert dataset.to_table(filter=ds.field("country") == "fr").num_rows == 100
    assert asked_in(store) == france
    forget(store)
    assert dataset.to_table(filter=ds.field("country") != "fr").num_rows == 200
    assert asked_in(store) & france == set()
    forget(store)
    assert lazy.filter(pl.col("country").str.starts_with("f")).collect().height == 100
    assert asked_in(store) == france
    forget(store)
    assert lazy.filter(pl.col("country").is_in(["fr"]), pl.col("n") < 10).collect().height == 3
    assert asked_in(store) == france
    forget(store)
    assert len(relation.filter("country = 'fr'")) == 100
    assert asked_in(store) == france


def test_filters_that_do_not_fit_are_refused_as_of_one_object() -> None:
    store = MemoryStore(secrets.token_hex(4))
    written(store, sales())
    for filters in ([("country", "=", 5)], [("nation", "=", "de")]):
        with pytest.raises(DecodeError, match=r"the filters .* do not fit .*data.parts/country"):
            values_in(store, filters=filters).read(ADDRESS, pa.Table, format_name="parquet")


def test_partition_columns_of_the_asset_beside_those_of_the_value() -> None:
    store = MemoryStore(secrets.token_hex(4))
    values = values_in(store)
    from dagster_buckets.reading import Reader

    for month in ("m1", "m2"):
        address = AssetAddress.of(["monthly"], month)
        values.write(address, sales(), format_name="parquet")
    reader = Reader(pl.LazyFrame, columns=True, joins=True)
    located = values.locate(
        [AssetAddress.of(["monthly"], month) for month in ("m1", "m2")], format_name="parquet"
    )
    found = reader.joined([reader.piece(place) for place in located if place])
    some = found.filter(pl.col("partition") == "m2", pl.col("country") == "it").collect()
    assert (some.height, some.columns[-1]) == (100, "partition")


def test_what_dask_writes() -> None:
    store = MemoryStore(secrets.token_hex(4))
    frame = dd.from_pandas(sales().to_pandas(), npartitions=3)
    with dask.config.set(scheduler="synchronous"):
        stored = written(store, frame)
        manifest = manifest_in(store)
        assert len(manifest.parts) == 12
        assert [part.partition["country"] for part in manifest.parts][::3] == COUNTRIES
        found = stored.read(ADDRESS, pd.DataFrame, format_name="parquet")
        assert found["n"].to_list() == [n for turn in range(4) for n in range(turn, 400, 4)]
        with pytest.raises(EncodeError, match="partition_by names"):
            written(MemoryStore(secrets.token_hex(4)), frame, "nation")


# -- what is listed and swept ------------------------------------------------------------------


def test_what_is_replaced_is_swept() -> None:
    store = MemoryStore(secrets.token_hex(4))
    written(store, sales())
    old = {info.key for info in store.scan(FOLDER)}
    written(store, sales(80))
    source = Source(ValueStore(store, HiveLayout()))
    entries = inventory(source)
    (entry,) = entries
    assert (entry.format, len(entry.parts)) == ("parquet", 8)
    later = datetime.now(UTC) + timedelta(days=2)
    swept = unnamed_parts(store, entries, timedelta(days=1), later)
    assert {info.key for info in swept} == old
