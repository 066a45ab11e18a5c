from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import ConfigurationError, DecodeError, UnsupportedTypeError
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.parquet_plans import ranges_of
from dagster_buckets.formats.projection import Projection
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.objects import Body, Header, ObjectInfo
from dagster_buckets.plugins import get_format, names, option_owners
from dagster_buckets.references import ObjectRef
from dagster_buckets.testing.formats import payload_of
from dagster_buckets.testing.scans import CountingStore
from dagster_buckets.values import ValueStore
from hypothesis import given, settings
from hypothesis import strategies as st

A = AssetAddress.of(["wide"])
ROWS = 300_000
NOISE = np.random.default_rng(3)
#: Over 16 MiB, below which scans fetch all: columns of 1.7 MB, which do not compress.
COLUMNS: dict[str, Any] = {
    "k": np.arange(ROWS),
    **{f"c{i}": NOISE.random(ROWS) for i in range(10)},
    "text.with.dots": [f"row {i}" for i in range(ROWS)],
}
BIG = pa.table(COLUMNS)
SMALL = BIG.slice(0, 1000)
CLASSES: list[type] = [
    pa.Table, pa.RecordBatch, pd.DataFrame, pl.DataFrame, np.ndarray, pa.RecordBatchReader,
    pl.LazyFrame, ds.Dataset, duckdb.DuckDBPyRelation,
]  # fmt: skip
LAZY = CLASSES[6:]
FILTERS: dict[str, Callable[[int, int], Any]] = {
    "tuples": lambda low, high: [("k", ">=", low), ("k", "<", high)],
    "lists": lambda low, high: [[("k", "in", list(range(low, high)))]],
    "Arrow": lambda low, high: (pc.field("k") >= low) & (pc.field("k") < high),
    "Polars": lambda low, high: pl.col("k").is_between(low, high - 1),
}


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def values(store: CountingStore) -> ValueStore:
    return ValueStore(store, HiveLayout())


@cache
def encoded(size: str) -> bytes:
    """The large table as Parquet, in three groups of rows, or the small one."""
    table = BIG if size == "large" else SMALL
    return bytes(ParquetFormat(row_group_size=70_000).encode(table).joined())


def write(values: ValueStore, table: pa.Table) -> ObjectInfo:
    """Store one of the two tables as a write would, without encoding it again."""
    body = Body.of(encoded("large" if table is BIG else "small"))
    return values.store.put("wide/data.parquet", body, header=Header(format="parquet"))


def table_of(value: Any) -> Any:
    """The table that a loaded value is, or scans."""
    if isinstance(value, np.ndarray):
        columns: dict[str, Any] = {f"f{i}": value[:, i] for i in range(value.shape[1])}
        return pa.table(columns)
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pa.RecordBatchReader):
        return value.read_all()
    if isinstance(value, ds.Dataset):
        return value.to_table()
    if isinstance(value, duckdb.DuckDBPyRelation):
        return value.to_arrow_table()
    if isinstance(value, pd.DataFrame):
        return pa.Table.from_pandas(value, preserve_index=False)
    return pa.table(value)


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("table", [BIG, SMALL], ids=["large", "small"])
def test_the_columns_and_rows_that_are_asked_for(
    values: ValueStore, store: CountingStore, table: pa.Table, cls: type, filters: str
) -> None:
    info = write(values, table)
    low, high = (150_000, 150_100) if table is BIG else (500, 600)
    wanted = FILTERS[filters](low, high)
    projected = values.having({"columns": ["c3", "c1"], "filters": wanted})
    store.read.clear()
    store.bytes = 0
    if filters == "Polars" and cls in (ds.Dataset, duckdb.DuckDBPyRelation):
        with pytest.raises(UnsupportedTypeError, match="no filters of Polars"):
            projected.read(A, cls)
        return
    found = projected.read(A, cls)
    if cls in (pl.LazyFrame, duckdb.DuckDBPyRelation, ds.Dataset):
        assert isinstance(found, cls)
    result = table_of(found)
    expected = table.select(["c3", "c1"]).slice(low, high - low)
    assert result.num_columns == 2
    assert result.column(0).to_pylist() == expected.column(0).to_pylist()
    assert result.column(1).to_pylist() == expected.column(1).to_pylist()
    if cls is not np.ndarray:
        assert result.column_names == ["c3", "c1"]
    if table is BIG:
        # Of one group of three, three columns of twelve; and the footers.
        assert store.bytes < info.size / 5
    else:
        assert store.bytes <= 2 * info.size


@pytest.mark.parametrize("cls", [pa.Table, pd.DataFrame, pl.DataFrame], ids=lambda c: c.__name__)
def test_one_small_object_is_one_request(
    values: ValueStore, store: CountingStore, cls: type
) -> None:
    write(values, SMALL)
    store.read.clear()
    values.having({"columns": ["c1"]}).read(A, cls, format_name="parquet")
    assert len(store.read) == 1


def test_a_large_object_is_few_requests(values: ValueStore, store: CountingStore) -> None:
    write(values, BIG)
    # Its end, and what is wanted of it; of what we read ourselves the footer comes twice.
    for cls in (pa.Table, pl.DataFrame, pa.RecordBatchReader, pl.LazyFrame, ds.Dataset):
        store.read.clear()
        options = {"columns": ["c1"], "filters": [("k", "<", 10)]}
        table_of(values.having(options).read(A, cls, format_name="parquet"))
        assert len(store.read) == (3 if cls in {pl.LazyFrame, ds.Dataset} else 4), cls


@pytest.mark.parametrize("cls", [pa.Table, pl.LazyFrame, ds.Dataset], ids=lambda c: c.__name__)
def test_only_columns_or_only_filters(values: ValueStore, cls: type) -> None:
    write(values, BIG)
    only = table_of(values.having({"columns": ["text.with.dots"]}).read(A, cls))
    assert only.shape == (ROWS, 1)
    assert only.column(0)[7].as_py() == "row 7"
    rows = table_of(values.having({"filters": [("c3", "<", 2.0), ("k", "==", 7)]}).read(A, cls))
    assert rows.column("text.with.dots").to_pylist() == ["row 7"]
    assert rows.num_columns == BIG.num_columns


@pytest.mark.parametrize("cls", [pa.Table, pl.DataFrame, pd.DataFrame, pl.LazyFrame, ds.Dataset])
@pytest.mark.parametrize("filters", ["tuples", "Arrow"])
def test_partitions_are_joined_of_what_is_asked_for(
    values: ValueStore, cls: type, filters: str
) -> None:
    from dagster_buckets.chain import Chain, Link
    from dagster_buckets.loading import load
    from dagster_buckets.requests import LoadRequest, Options, Target

    keys = ["a", "b", "c"]
    for number, key in enumerate(keys):
        part = BIG.slice(number * 70_000, 70_000) if number else BIG.slice(0, 1000)
        values.write(AssetAddress.of(["p"], key), part)
    options = Options(
        partition_columns=True,
        format_options={"columns": ["k"], "filters": FILTERS[filters](950, 70_050)},
    )
    targets = tuple(Target(key, AssetAddress.of(["p"], key)) for key in keys)
    asked = LoadRequest(targets, True, cls, None, options)  # noqa: FBT003
    found = load(Chain((Link(values),)), asked, default_on_missing="error", log=lambda _: None)
    rows = table_of(found.value).to_pylist()
    assert [row["k"] for row in rows] == [*range(950, 1000), *range(70_000, 70_050)]
    assert [set(row) for row in rows[:1]] == [{"k", "partition"}]
    assert [row["partition"] for row in rows] == ["a"] * 50 + ["b"] * 50


def test_the_index_of_pandas_is_kept(values: ValueStore) -> None:
    frame = pd.DataFrame(
        {"a": [1, 2, 3], "b": [4, 5, 6]}, index=pd.Index(["x", "y", "z"], name="key")
    )
    values.write(A, frame)
    projected = values.having({"columns": ["b"], "filters": [("a", ">", 1)]})
    pd.testing.assert_frame_equal(projected.read(A), frame.loc[["y", "z"], ["b"]])
    assert projected.read(A, pl.DataFrame).columns == ["b"]
    assert projected.read(A, pa.Table).column_names == ["b"]


@pytest.mark.parametrize("cls", [pa.Table, pa.RecordBatchReader, *LAZY], ids=lambda c: c.__name__)
@pytest.mark.parametrize("table", [BIG, SMALL], ids=["large", "small"])
def test_a_column_that_is_not_there(values: ValueStore, table: pa.Table, cls: type) -> None:
    write(values, table)
    with pytest.raises(DecodeError, match="no column 'nope'") as caught:
        table_of(values.having({"columns": ["c1", "nope"]}).read(A, cls))
    assert "c2" in str(caught.value.hint)
    assert "memory://" in str(caught.value)


@pytest.mark.parametrize("filters", [[("nope", ">", 1)], [("k", ">", "text")], pl.col("nope") > 1])
@pytest.mark.parametrize("table", [BIG, SMALL], ids=["large", "small"])
def test_filters_that_do_not_fit(values: ValueStore, table: pa.Table, filters: Any) -> None:
    write(values, table)
    for cls in (pa.Table, pa.RecordBatchReader):
        with pytest.raises(DecodeError, match="do not fit") as caught:
            table_of(values.having({"filters": filters}).read(A, cls))
        assert "memory://" in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize(
    "filters", ["k > 1", [], [()], [("k", ">")], [("k", "~", 1)], [[]], {"k": 1}, 5, [1]], ids=str
)
def test_filters_that_are_none(filters: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ParquetFormat(filters=filters)
    assert caught.value.hint


def test_formats_of_tables_have_both_options() -> None:
    from dagster_buckets.formats.base import SupportsConcat
    from dagster_buckets.formats.tables import TableFormat

    tables = [n for n in names("formats") if isinstance(get_format(n), TableFormat)]
    assert set(tables) <= set(option_owners("columns")) & set(option_owners("filters"))
    assert all(isinstance(get_format(n), SupportsConcat) for n in tables)


numbers = st.none() | st.integers(-3, 3)
terms = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from(["=", "!=", "<", ">", "<=", ">="]), st.integers(-3, 3)
) | st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["in", "not in"]), st.lists(st.integers(-3, 3), min_size=1))  # fmt: skip


def holds(term: tuple[str, str, Any], row: dict[str, Any]) -> bool:
    name, operator, value = term
    found = row[name]
    if operator in ("in", "not in"):
        # As Arrow has it: a null is in no list.
        return (found in value) is (operator == "in")
    if found is None:
        return False
    compared: dict[str, bool] = {
        "=": found == value, "!=": found != value, "<": found < value,
        ">": found > value, "<=": found <= value, ">=": found >= value,
    }  # fmt: skip
    return compared[operator]


@settings(max_examples=150)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": numbers, "b": numbers}), max_size=20),
    groups=st.lists(st.lists(terms, min_size=1, max_size=3), min_size=1, max_size=2),
)
def test_filters_mean_what_they_say(rows: list[dict[str, Any]], groups: Any) -> None:
    table = pa.Table.from_pylist(rows, schema=pa.schema({"a": pa.int64(), "b": pa.int64()}))
    expected = [row for row in rows if any(all(holds(t, row) for t in terms) for terms in groups)]
    assert Projection(None, groups).of(table, "u").to_pylist() == expected
    if len(groups) == 1:
        assert Projection(None, groups[0]).of(table, "u").to_pylist() == expected


def test_filters_of_polars_choose_columns_as_polars_does() -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"], "a1": [3.0, 2.0, 1.0]})
    expressions = {
        "twice": (pl.col("a") > 1) & (pl.col("a") < 3),
        "by a pattern": pl.all_horizontal(pl.col("^a.*$") >= 2) & (pl.col("b") == "y"),
        "none": pl.lit(1) == 1,
        "no row": pl.lit(1) == 2,
        "rows": pl.int_range(pl.len()) == 1,
    }
    for name, expression in expressions.items():
        expected = pl.DataFrame(table).filter(expression).to_dict(as_series=False)
        format_ = ParquetFormat(filters=expression)
        payload = payload_of(format_.encode(table))
        assert format_.decode(payload, pa.Table).to_pydict() == expected, name


def test_nan_in_a_list_is_found_wherever_it_stands() -> None:
    table = pa.table({"f": [1.0, float("nan"), 2.0]})
    for values in ([1.0, float("nan")], [float("nan"), 1.0], [2.0, float("nan"), 1.0]):
        found = Projection(None, [("f", "in", values)]).of(table, "u")
        assert found.num_rows == len(values)


def test_numbers_that_arrow_has_no_type_for() -> None:
    with pytest.raises(ConfigurationError, match="too large"):
        Projection(None, [("n", "<", 2**70)]).of(pa.table({"n": [1]}), "u")


def test_a_projection_names_a_column() -> None:
    with pytest.raises(ConfigurationError, match="names none"):
        ParquetFormat(columns=[])


@pytest.mark.parametrize("cls", [pa.Table, pl.DataFrame, pd.DataFrame])
def test_a_column_that_is_asked_for_twice_comes_once(cls: type) -> None:
    format_ = ParquetFormat(columns=["b", "a", "b"])
    payload = payload_of(format_.encode(pa.table({"a": [1], "b": [2], "c": [3]})))
    joined = format_.concat([format_.part(payload)] * 2, cls, [{"day": "1"}, {"day": "2"}])
    assert table_of(joined).to_pydict() == {"b": [2, 2], "a": [1, 1], "day": ["1", "2"]}


def test_columns_of_one_name_that_others_wrote() -> None:
    lists: Any = pa.array([[1], [2]])
    table = pa.Table.from_arrays([pa.array([1, 2]), lists], names=["a", "a"])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    payload = payload_of(Body.of(sink.getvalue()))
    assert ParquetFormat().decode(payload, pa.Table).equals(table)
    with pytest.raises(DecodeError, match="several columns 'a'"):
        ParquetFormat(columns=["a"]).decode(payload, pa.Table)


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@pytest.mark.parametrize("cls", LAZY[1:], ids=lambda cls: cls.__name__)
def test_scans_refuse_filters_that_do_not_fit_at_once(name: str, cls: type) -> None:
    format_: Any = ParquetFormat if name == "parquet" else type(get_format(name))
    store = CountingStore()
    ref = ObjectRef(store.put("a", format_().encode(pa.table({"a": [1]}))), store)
    for filters in ([("a", ">", "x")], [("b", "=", 1)]):
        with pytest.raises(DecodeError, match="do not fit"):
            format_(filters=filters).scan([ref], cls)


def test_ranges_are_those_of_whole_columns_and_no_others() -> None:
    numbers: Any = NOISE.random(1000)
    nested = pa.StructArray.from_arrays([numbers, numbers], names=["x", "y"])
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": nested, "ab": numbers, "b": numbers}), sink, use_dictionary=False)
    footer = pq.read_metadata(sink)
    group = footer.row_group(0)
    columns = [group.column(number) for number in range(4)]
    starts = [column.data_page_offset for column in columns]
    # Older writers leave gaps between columns, for a copy of what the footer says of each.
    ends = [column.data_page_offset + column.total_compressed_size for column in columns]
    assert ranges_of(footer, [0], ["a"]) == [(starts[0], ends[1])]
    assert ranges_of(footer, [0], ["ab"]) == [(starts[2], ends[2])]
    assert ranges_of(footer, [0], None) == [(starts[0], ends[3])]
    assert ranges_of(footer, [], None) == []
