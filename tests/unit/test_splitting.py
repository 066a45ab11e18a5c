from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import ConfigurationError, PartitionError, UnsupportedTypeError
from dagster_buckets.formats.frames import from_arrow, qualified
from dagster_buckets.splitting import Dimension, SplitBy, Window, dimensions_for, split
from dagster_buckets.splitting.rows import _by_batches, rows_of
from dagster_buckets.testing.formats import assert_same
from dagster_buckets.testing.strategies import hostile_text
from hypothesis import given
from hypothesis import strategies as st

CLASSES = (pd.DataFrame, pl.DataFrame, pa.Table, pa.RecordBatch)
NEW_YORK = ZoneInfo("America/New_York")

#: How one library spells the keys in a column, by the name of the test.
SPELLINGS: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "pandas str": lambda keys: pd.DataFrame({"k": pd.Series(keys, dtype="str")}),
    "pandas object": lambda keys: pd.DataFrame({"k": pd.Series(keys, dtype=object)}),
    "pandas categorical": lambda keys: pd.DataFrame({"k": pd.Series(keys, dtype="category")}),
    "pandas ArrowDtype": lambda keys: pd.DataFrame(
        {"k": pd.Series(keys, dtype=pd.ArrowDtype(pa.string()))}
    ),
    "polars": lambda keys: pl.DataFrame({"k": keys}, schema={"k": pl.String}),
    "polars Categorical": lambda keys: pl.DataFrame({"k": keys}, schema={"k": pl.Categorical}),
    "polars Enum": lambda keys: pl.DataFrame(
        {"k": pl.Series(keys, dtype=pl.Enum(sorted({*keys, "other"})))}
    ),
    **{
        f"Arrow {kind}": partial(lambda kind, keys: pa.table({"k": pa.array(keys, kind)}), kind)
        for kind in (
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.dictionary(pa.int8(), pa.string()),
        )
    },
    "Arrow dictionary of large_string": lambda keys: pa.table(
        {"k": pa.array(keys, pa.large_string()).dictionary_encode()}
    ),
    "Arrow dictionary of each chunk": lambda keys: pa.table(
        [pa.chunked_array([pa.array([key]).dictionary_encode() for key in keys])], names=["k"]
    ),
}


class _OwnType(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.string(), "own")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""


def of(cls: type, columns: Mapping[str, Any]) -> Any:
    return from_arrow(pa.table(dict(columns)), cls, "u")


def single(*keys: str) -> dict[str, dict[str, str]]:
    return {key: {"partition": key} for key in keys}


def by(column: str, windows: Mapping[str, Window] | None = None) -> tuple[Dimension, ...]:
    return (Dimension("partition", column, windows),)


def numbers(parts: Mapping[str, Any]) -> dict[str, list[int]]:
    arrow = (pa.Table, pa.RecordBatch)
    return {
        key: list(part.to_pydict()["n"] if isinstance(part, arrow) else part["n"])
        for key, part in parts.items()
    }


def timestamp(unit: Any, tz: str | None = None) -> Any:
    return pa.timestamp(unit, tz)


def split_values(values: Any, *keys: str, windows: Mapping[str, Window] | None = None) -> Any:
    table = pa.table({"v": values, "n": range(len(values))})
    return numbers(split(table, by("v", windows), single(*keys), allow_empty=True))


# -- the rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_rows_go_to_their_partitions_in_order(cls: type) -> None:
    frame = of(cls, {"k": ["b", "a", "b", "a", "c"], "n": [0, 1, 2, 3, 4], "f": [0.5] * 5})
    parts = split(frame, by("k"), single("a", "c", "b"))
    assert list(parts) == ["a", "c", "b"]
    assert numbers(parts) == {"a": [1, 3], "c": [4], "b": [0, 2]}
    for key, part in parts.items():
        rows = {"k": [key] * len(part), "n": numbers(parts)[key], "f": [0.5] * len(part)}
        assert_same(part, of(cls, rows))


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
@pytest.mark.parametrize("keys", [["a", "a", "b"], ["b", "a", "a"]], ids=["sorted", "not sorted"])
def test_the_frame_is_not_changed(cls: type, keys: list[str]) -> None:
    frame, same = (of(cls, {"k": keys, "n": [0, 1, 2]}) for _ in range(2))
    split(frame, by("k"), single("a", "b"))
    assert_same(frame, same)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_text(name: str) -> None:
    frame = SPELLINGS[name](["b|", "", "é", "", "b|"])
    parts = split(frame, by("k"), single("é", "", "b|", "B|"), allow_empty=True)
    assert [len(part) for part in parts.values()] == [1, 2, 2, 0]
    for part in parts.values():
        assert type(part) is type(frame)
        if isinstance(part, pa.Table):
            assert part.schema.equals(frame.schema)
            part.validate(full=True)
        elif isinstance(part, pl.DataFrame):
            assert part.schema == frame.schema
        else:
            assert part.dtypes.equals(frame.dtypes)


def test_a_dictionary_of_more_text_than_one_array_holds() -> None:
    key = "x" * 1_000_000
    values: Any = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 2200), pa.array([key, "y"]))
    found = split_values(values, key, "y")
    assert [len(rows) for rows in found.values()] == [2200, 2200]


@st.composite
def hostile_keys(draw: st.DrawFn) -> list[str]:
    return draw(st.lists(hostile_text(), min_size=1, max_size=4, unique=True))


@st.composite
def choices(draw: st.DrawFn, *limits: int) -> list[tuple[int, ...]]:
    """Rows: of each dimension the place of a key."""
    return draw(st.lists(st.tuples(*(st.integers(0, limit - 1) for limit in limits)), max_size=12))


@given(data=st.data(), first=hostile_keys(), second=hostile_keys(), cls=st.sampled_from(CLASSES))
def test_every_row_is_in_exactly_its_partition(
    data: st.DataObject, first: list[str], second: list[str], cls: type
) -> None:
    rows = data.draw(choices(len(first), len(second)))
    columns = {
        "k": pa.array([first[i] for i, _ in rows], pa.string()),
        "l": pa.array([second[j] for _, j in rows], pa.string()),
        "n": pa.array(range(len(rows)), pa.int64()),
        "s": pa.array([{"x": [n]} if n % 3 else None for n in range(len(rows))], pa.struct([("x", pa.list_(pa.int8()))])),
    }  # fmt: skip
    frame = of(cls, columns)
    wanted = {
        f"{i},{j}": {"d": a, "e": b} for j, b in enumerate(second) for i, a in enumerate(first)
    }
    parts = split(frame, dimensions_for({"d": "k", "e": "l"}, ["d", "e"]), wanted, allow_empty=True)
    assert list(parts) == list(wanted)
    found = numbers(parts)
    assert found == {
        key: [n for n, (i, j) in enumerate(rows) if key == f"{i},{j}"] for key in wanted
    }
    # The parts in the order of their rows are the frame again.
    order = sorted(range(len(rows)), key=[n for part in found.values() for n in part].__getitem__)
    if isinstance(frame, pd.DataFrame):
        assert_same(pd.concat(list(parts.values())).iloc[order].reset_index(drop=True), frame)
    elif isinstance(frame, pl.DataFrame):
        assert_same(pl.concat(list(parts.values()))[order], frame)
    else:
        tables = [pa.table(part) for part in parts.values()]
        assert_same(pa.concat_tables(tables).take(pa.array(order, pa.int64())), pa.table(frame))


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_chunks_and_metadata(cls: type) -> None:
    fields: list[pa.Field[Any]] = [
        pa.field("k", pa.string(), nullable=False, metadata={"f": "1"}),
        pa.field("n", pa.int8()),
    ]
    schema = pa.schema(fields, metadata={"about": "all"})
    batches = [
        pa.RecordBatch.from_arrays([pa.array(list(keys), pa.string()), pa.array(ns, pa.int8())], schema=schema)
        for keys, ns in [("ba", [1, 2]), ("", []), ("abb", [3, 4, 5])]
    ]  # fmt: skip
    table = pa.Table.from_batches(batches)
    frame: Any = (
        table.combine_chunks().to_batches()[0]
        if cls is pa.RecordBatch
        else from_arrow(table, cls, "u")
    )
    parts = split(frame, by("k"), single("a", "b", "c"), allow_empty=True)
    assert numbers(parts) == {"a": [2, 3], "b": [1, 4, 5], "c": []}
    if cls in (pa.Table, pa.RecordBatch):
        assert all(part.schema.equals(schema, check_metadata=True) for part in parts.values())


def _schema(frame: Any) -> pa.Schema:
    schema: pa.Schema = frame.schema
    return schema


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()])
@pytest.mark.parametrize("cls", [pa.Table, pa.RecordBatch], ids=qualified)
def test_columns_that_arrow_cannot_take_from_as_they_are(cls: type, kind: pa.DataType) -> None:
    texts = ["x", None, "a long one that is stored apart"]
    values = pa.array(
        texts if kind == pa.string_view() else [t and t.encode() for t in texts], kind
    )
    batch: Any = pa.RecordBatch.from_pydict({"v": values, "k": ["b", "a", "b"]})
    parts = split(batch if cls is pa.RecordBatch else pa.table(batch), by("k"), single("a", "b"))
    assert all(isinstance(part, cls) and _schema(part) == batch.schema for part in parts.values())
    assert [part["v"].to_pylist() for part in parts.values()] == [
        [None],
        [values[0].as_py(), values[2].as_py()],
    ]


def test_what_arrow_cannot_take_at_all() -> None:
    runs: Any = pa.RunEndEncodedArray.from_arrays(
        pa.array([2, 3], pa.int32()), pa.array(["x", "y"])
    )
    table = pa.table({"v": runs, "k": ["a", "a", "b"]})
    assert [len(part) for part in split(table, by("k"), single("a", "b")).values()] == [2, 1]
    with pytest.raises(UnsupportedTypeError, match="run_end_encoded") as caught:
        split(table, by("k"), single("b", "a"))
    assert "dict" in str(caught.value.hint)


@given(data=st.data())
def test_more_text_than_one_array_holds(data: st.DataObject) -> None:
    # Nobody wants 2 GiB in a unit test: what is done then is done with little text.
    rows = [place for (place,) in data.draw(choices(4))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    table = pa.table({"n": pa.array(range(len(rows)), pa.int8())}, metadata={"about": "all"})
    chunks = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    parts = _by_batches(pa.concat_tables(chunks), pa.array(rows, pa.int32()), 4)
    assert [part["n"].to_pylist() for part in parts] == [
        [n for n, place in enumerate(rows) if place == part] for part in range(4)
    ]
    assert all(part.schema.equals(table.schema, check_metadata=True) for part in parts)


def test_rows_that_do_not_fit_into_one_array_are_taken_by_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overflow(table: pa.Table, order: Any) -> Any:
        if table.column("k").num_chunks > 1:
            msg = "offset overflow while concatenating arrays"
            raise pa.ArrowInvalid(msg)
        return table.take(order) if order is not None else table

    monkeypatch.setattr("dagster_buckets.splitting.rows._taken", overflow)
    table = pa.concat_tables(
        [pa.table({"k": ["b", "a"], "n": [0, 1]}), pa.table({"k": ["b"], "n": [2]})]
    )
    assert numbers(split(table, by("k"), single("a", "b"))) == {"a": [1], "b": [0, 2]}


class _Stream:
    """A frame of a library that is unknown here."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


def test_what_arrow_can_read_becomes_a_table() -> None:
    table = pa.table({"k": ["b", "a"], "n": [0, 1]})
    for frame in (
        _Stream(table),
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    ):
        parts = split(frame, by("k"), single("a", "b"))
        assert_same(parts["a"], pa.table({"k": ["a"], "n": [1]}))


class _OwnFrame(pd.DataFrame):
    @property
    def _constructor(self) -> Any:
        return _OwnFrame


# What pandas 2.2 says of every subclass.
@pytest.mark.filterwarnings("ignore:Passing a BlockManager")
def test_a_subclass_is_kept() -> None:
    parts = split(_OwnFrame({"k": ["b", "a"]}), by("k"), single("a", "b"))
    assert type(parts["a"]) is _OwnFrame


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [1],
        "text",
        object(),
        pa.array([1]),
        pa.chunked_array([[1]]),
        pd.Series([1]),
        pl.Series([1]),
        pl.LazyFrame({"k": ["a"]}),
        _Stream(pa.chunked_array([[1]])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_frame(value: Any) -> None:
    with pytest.raises(UnsupportedTypeError, match="only a frame is split") as caught:
        split(value, by("k"), single("a"))
    assert qualified(type(value)) in str(caught.value)
    assert "dict[partition_key, value]" in str(caught.value.hint)


# -- the index of pandas ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["w", "x", "y", "z"], name="i"),
        pd.Index([3, 3, 1, 0]),
        pd.Index([0, 1, 2, 3]),
        pd.DatetimeIndex(["2024-01-01", "2024-06-01", "2024-01-01", "2025-01-01"], tz="UTC"),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3), ("d", 4)], names=["l", None]),
    ],
    ids=lambda index: type(index).__name__,
)
@pytest.mark.parametrize("keys", ["baba", "aabb"])
def test_the_index_is_kept(index: pd.Index[Any], keys: str) -> None:
    frame = pd.DataFrame({"k": list(keys), "n": [0, 1, 2, 3]}, index=index)
    parts = split(frame, by("k"), single("a", "b"))
    for key in "ab":
        assert_same(parts[key], frame[frame["k"] == key])
        assert not isinstance(parts[key].index, pd.RangeIndex)


@pytest.mark.parametrize("keys", ["ababcb", "aabbbc"])
def test_rows_that_are_merely_numbered_are_numbered_anew(keys: str) -> None:
    frame = pd.DataFrame({"k": list(keys), "n": range(6)})
    for part in split(frame, by("k"), single("a", "b", "c", "d"), allow_empty=True).values():
        assert_same(
            part, pd.DataFrame({"k": list(part["k"]), "n": list(part["n"])}).astype(frame.dtypes)
        )
        assert isinstance(part.index, pd.RangeIndex)


@pytest.mark.parametrize("index", [pd.RangeIndex(5, 17, 2), pd.RangeIndex(6, name="i")], ids=str)
@pytest.mark.parametrize("keys", ["ababcb", "aabbbc"])
def test_other_numbers_are_kept_alike_in_every_partition(index: pd.RangeIndex, keys: str) -> None:
    # As a RangeIndex they would be a column in the partitions without equal steps only.
    frame = pd.DataFrame({"k": list(keys)}, index=index)
    for key, part in split(frame, by("k"), single("a", "b", "c", "d"), allow_empty=True).items():
        assert not isinstance(part.index, pd.RangeIndex)
        assert part.index.name == index.name
        assert part.index.tolist() == [n for n, k in zip(index, keys, strict=True) if k == key]


def test_a_level_of_the_index_splits_like_a_column() -> None:
    index = pd.MultiIndex.from_tuples([("b", 1), ("a", 2), ("b", 3)], names=["k", "m"])
    frame = pd.DataFrame({"n": [0, 1, 2]}, index=index)
    assert numbers(split(frame, by("k"), single("a", "b"))) == {"a": [1], "b": [0, 2]}
    assert numbers(split(frame, by("m"), single("1", "2", "3"))) == {"1": [0], "2": [1], "3": [2]}
    both = pd.DataFrame({"k": ["a"], "n": [0]}, index=pd.Index(["b"], name="k"))
    assert numbers(split(both, by("k"), single("a"))) == {"a": [0]}


# -- what a value names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()],
    ids=str,
)  # fmt: skip
def test_whole_numbers_name_the_key_that_is_written_so(kind: pa.DataType) -> None:
    keys = ("01", "+1", " 1", "1_0", "1.0", "-0", "٣", "x", "", "9" * 5000, "1", "0", "127", "128")
    found = split_values(pa.array([0, 1, 127, 1], kind), *keys)
    assert {key: rows for key, rows in found.items() if rows} == {"1": [1, 3], "0": [0], "127": [2]}


def test_the_largest_and_smallest_numbers() -> None:
    low, high, above = str(-(2**63)), str(2**63 - 1), str(2**64 - 1)
    signed, unsigned = (
        pa.array([-(2**63), 2**63 - 1]),
        pa.array([2**63 - 1, 2**64 - 1], pa.uint64()),
    )
    keys = (low, high, above, "-1", str(2**64), str(-(2**63) - 1))
    assert [key for key, rows in split_values(signed, *keys).items() if rows] == [low, high]
    assert [key for key, rows in split_values(unsigned, *keys).items() if rows] == [high, above]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_dates_name_the_key_that_is_written_so(kind: pa.DataType) -> None:
    days = [date(2024, 1, 31), date(1900, 1, 1), date(2024, 1, 31), date(1, 1, 1)]
    keys = ("20240131", "2024-W05-3", "2024-1-31", "x", "1900-01-01", "2024-01-31", "0001-01-01")
    found = split_values(pa.array(days, kind), *keys)
    assert {key: rows for key, rows in found.items() if rows} == {
        "1900-01-01": [1],
        "2024-01-31": [0, 2],
        "0001-01-01": [3],
    }


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (pd.Categorical([2024, 2023, 2024]), ("2023", "2024")),
        (pd.Series([2024, 2023, 2024], dtype="Int64"), ("2023", "2024")),
        (pd.Series([date(2024, 1, 1), date(2023, 1, 1), date(2024, 1, 1)]), ("2023-01-01", "2024-01-01")),
        (pd.Series([b"b", b"a", b"b"]).str.decode("ascii"), ("a", "b")),
    ],
    ids=["categories", "nullable", "dates", "text"],
)  # fmt: skip
def test_values_of_pandas(values: Any, keys: tuple[str, ...]) -> None:
    frame = pd.DataFrame({"v": values, "n": [0, 1, 2]})
    assert numbers(split(frame, by("v"), single(*keys))) == {keys[0]: [1], keys[1]: [0, 2]}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True]),
        pa.array([1.0]),
        pa.array([Decimal(1)]),
        pa.array([b"1"]),
        pa.array([["1"]]),
        pa.array([{"1": "1"}]),
        pa.array([datetime(2024, 1, 1)]),  # noqa: DTZ001
        pa.array([timedelta(1)]),
        pa.array([1], pa.time32("s")),
        pa.array([b"1"], pa.binary_view()),
        pa.array([1.0]).dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["1"])),
        pa.ExtensionArray.from_storage(_OwnType(), pa.array(["1"])),
    ],
    ids=lambda values: str(values.type),
)
def test_types_that_cannot_name_a_partition(values: Any) -> None:
    with pytest.raises(PartitionError, match="cannot name the partitions") as caught:
        split(pa.table({"v": values}), by("v"), single("1", "2"))
    assert "'v'" in str(caught.value)
    assert "strings like '1'" in str(caught.value.hint)


@pytest.mark.parametrize(
    "values",
    [["a", 1], [2**70], ["\ud800"], [object()], [1j]],
    ids=["mixed", "large", "surrogate", "object", "complex"],
)
def test_columns_that_arrow_cannot_hold(values: list[Any]) -> None:
    with pytest.raises(PartitionError, match="Arrow cannot hold the column 'v'") as caught:
        split(pd.DataFrame({"v": pd.Series(values, dtype=object)}), by("v"), single("a"))
    assert "astype" in str(caught.value.hint)


def test_a_key_that_no_column_can_hold_has_no_row() -> None:
    assert split_values(["a"], "a", "\ud800") == {"a": [0], "\ud800": []}


# -- time -------------------------------------------------------------------------------------


def hours(zone: tzinfo, first: datetime, count: int) -> dict[str, Window]:
    start = first.astimezone(UTC)
    edges = [(start + timedelta(hours=n)).astimezone(zone) for n in range(count + 1)]
    return {str(n): (edges[n], edges[n + 1]) for n in range(count)}


def days(zone: tzinfo, first: date, count: int) -> dict[str, Window]:
    edges = [
        datetime(first.year, first.month, first.day, tzinfo=zone) + timedelta(n)
        for n in range(count + 1)
    ]
    return {edge.date().isoformat(): (edge, edges[n + 1]) for n, edge in enumerate(edges[:-1])}


def test_a_window_has_its_start_and_not_its_end() -> None:
    windows = days(NEW_YORK, date(2024, 3, 9), 3)
    values = [datetime(2024, 3, 10, 5, tzinfo=UTC), datetime(2024, 3, 11, 3, 59, 59, tzinfo=UTC)]
    values += [datetime(2024, 3, 11, 4, tzinfo=UTC), datetime(2024, 3, 10, 4, 59, 59, tzinfo=UTC)]
    assert split_values(pa.array(values), *windows, windows=windows) == {
        "2024-03-09": [3],
        "2024-03-10": [0, 1],
        "2024-03-11": [2],
    }


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_windows_finer_than_the_unit(unit: str) -> None:
    start = datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    edges = [start + timedelta(milliseconds=600 * n) for n in range(4)]
    windows = {str(n): (edges[n], edges[n + 1]) for n in range(3)}
    found = split_values(pa.array([0, 1], timestamp(unit, "UTC")), *windows, windows=windows)
    assert found == (
        {"0": [0], "1": [], "2": [1]} if unit == "s" else {"0": [0, 1], "1": [], "2": []}
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz", [None, "UTC", "+05:30", "America/New_York"])
@pytest.mark.parametrize("extreme", [-(2**63) + 1, 2**63 - 1])
def test_the_ends_of_time_belong_to_no_window(unit: str, tz: str | None, extreme: int) -> None:
    windows = {"a": (datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC))}
    windows = windows if unit != "ns" else days(NEW_YORK, date(2024, 3, 9), 3)
    with pytest.raises(PartitionError, match=r"other values of 'v'.*: 1 row"):
        split_values(pa.array([extreme], timestamp(unit, tz)), *windows, windows=windows)


def test_a_window_of_centuries_in_nanoseconds() -> None:
    windows = {"a": (datetime(1600, 1, 1, tzinfo=UTC), datetime(1700, 1, 1, tzinfo=UTC))}
    windows |= {"b": (datetime(1700, 1, 1, tzinfo=UTC), datetime(2600, 1, 1, tzinfo=UTC))}
    values = pa.array([-(2**63), 0, 2**63 - 2], pa.timestamp("ns", "UTC"))
    assert split_values(values, *windows, windows=windows) == {"a": [0], "b": [1, 2]}


def test_local_times_are_read_in_the_zone_of_the_partitions() -> None:
    windows = days(NEW_YORK, date(2024, 3, 9), 3)
    values = [datetime(2024, 3, 9, 23, 59), datetime(2024, 3, 10), datetime(2024, 3, 10, 2, 30)]  # noqa: DTZ001
    values += [datetime(2024, 3, 10, 23, 59, 59, 999_999), datetime(2024, 3, 11)]  # noqa: DTZ001
    assert split_values(pa.array(values), *windows, windows=windows) == {
        "2024-03-09": [0],
        "2024-03-10": [1, 2, 3],
        "2024-03-11": [4],
    }


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/Sao_Paulo", "2018-11-04"), ("Africa/Cairo", "2024-04-26"), ("America/Havana", "2024-11-03")],
)  # fmt: skip
def test_midnights_that_do_not_exist_or_are_twice(zone: str, day: str) -> None:
    middle = date.fromisoformat(day)
    windows = days(ZoneInfo(zone), middle - timedelta(1), 3)
    dates = [middle + timedelta(n) for n in (-1, 0, 1)]
    expected = {str(value): [n] for n, value in enumerate(dates)}
    assert split_values(pa.array(dates), *windows, windows=windows) == expected
    times = pa.array(dates).cast(pa.timestamp("us"))
    assert split_values(times, *windows, windows=windows) == expected
    # As the clocks show it, a day without a midnight begins at one o'clock.
    clocks = {
        key: (
            start.astimezone(UTC).astimezone(start.tzinfo),
            end.astimezone(UTC).astimezone(end.tzinfo),
        )
        for key, (start, end) in windows.items()
    }
    assert split_values(pa.array(dates), *clocks, windows=clocks) == expected
    assert split_values(times, *clocks, windows=clocks) == expected


def test_a_local_time_that_is_twice_in_two_partitions_is_refused() -> None:
    windows = hours(NEW_YORK, datetime(2024, 11, 3, 4, tzinfo=UTC), 4)
    times = [datetime(2024, 11, 3, 0, 59), datetime(2024, 11, 3, 2)]  # noqa: DTZ001
    assert split_values(pa.array(times), *windows, windows=windows) == {
        "0": [0], "1": [], "2": [], "3": [1],
    }  # fmt: skip
    for minute in (0, 59):
        twice = [*times, datetime(2024, 11, 3, 1, minute), None]  # noqa: DTZ001
        with pytest.raises(
            PartitionError, match="column 'v' twice, in two partitions of 'partition': 1 row, "
        ) as caught:
            split_values(pa.array(twice), *windows, windows=windows)
        assert f"2024-11-03 01:{minute:02}" in str(caught.value)
        assert "America/New_York" in str(caught.value)
    time = datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK)
    aware = pa.array([time, time.replace(fold=1)])
    assert split_values(aware, *windows, windows=windows) == {"0": [], "1": [0], "2": [1], "3": []}


def test_dates_are_whole_days() -> None:
    month = {"feb": (datetime(2024, 2, 1, tzinfo=NEW_YORK), datetime(2024, 3, 1, tzinfo=NEW_YORK))}
    dates = pa.array([date(2024, 2, 1), date(2024, 2, 29)])
    assert split_values(dates, *month, windows=month) == {"feb": [0, 1]}
    for stray in (date(2024, 1, 31), date(2024, 3, 1)):
        with pytest.raises(PartitionError, match="other values of 'v', read in America/New_York"):
            split_values(pa.array([stray]), *month, windows=month)
    windows = hours(UTC, datetime(2024, 2, 1, tzinfo=UTC), 2)
    for kind in (pa.date32(), pa.date64()):
        with pytest.raises(PartitionError, match="begins or ends within a day") as caught:
            split_values(dates.cast(kind), *windows, windows=windows)
        assert "'0'" in str(caught.value)
        assert "timestamps" in str(caught.value.hint)


def test_keys_name_windows_too() -> None:
    windows = days(UTC, date(2024, 1, 1), 2)
    keys = ["2024-01-02", "2024-01-01"]
    for values in (keys, pa.array(keys).dictionary_encode()):
        found = split_values(values, *windows, windows=windows)
        assert found == {"2024-01-01": [1], "2024-01-02": [0]}
    year = {"2024": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))}
    assert split_values([2024], *year, windows=year) == {"2024": [0]}
    times = pa.array([datetime(2024, 1, 2, 3, tzinfo=UTC)]).dictionary_encode()
    assert split_values(times, *windows, windows=windows) == {"2024-01-01": [], "2024-01-02": [0]}


def test_windows_must_not_overlap() -> None:
    one, two, three = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3))
    for windows in ({"a": (one, three), "b": (two, three)}, {"a": (one, one)}, {"a": (two, one)}):
        with pytest.raises(ConfigurationError, match="windows of time overlap"):
            split_values(pa.array([one]), *windows, windows=windows)


@pytest.mark.parametrize(
    ("zone", "start", "end", "outside", "inside"),
    [
        ("America/New_York", "2024-03-10T07:30Z", "2024-03-10T09:00Z", "2024-03-10T02:29:59", "2024-03-10T02:30"),
        ("Pacific/Apia", "2011-12-31T05:00Z", "2011-12-31T20:00Z", "2011-12-30T18:59:59", "2011-12-30T19:00"),
        ("Pacific/Apia", "2011-12-31T05:00Z", "2011-12-31T20:00Z", "2011-12-31T00:00", "2011-12-31T19:00"),
    ],
)  # fmt: skip
def test_skipped_times_are_read_as_if_nothing_was_skipped(
    zone: str, start: str, end: str, outside: str, inside: str
) -> None:
    # Only the window says where to look for the change, and begins after it.
    instants = [datetime.fromisoformat(text).astimezone(ZoneInfo(zone)) for text in (start, end)]
    windows = {"a": (instants[0], instants[1])}
    values = [datetime.fromisoformat(text) for text in (inside, outside)]
    assert split_values(pa.array(values[:1]), "a", windows=windows) == {"a": [0]}
    with pytest.raises(PartitionError, match="other values of 'v'"):
        split_values(pa.array(values[1:]), "a", windows=windows)


#: With a change of the clocks, and half of its size; some at midnight, one of a whole day.
CHANGES: tuple[tuple[tzinfo, datetime], ...] = (
    (ZoneInfo("America/New_York"), datetime(2024, 3, 10, 7, tzinfo=UTC)),
    (ZoneInfo("America/New_York"), datetime(2024, 11, 3, 6, tzinfo=UTC)),
    (ZoneInfo("Europe/Berlin"), datetime(2024, 10, 27, 1, tzinfo=UTC)),
    (ZoneInfo("America/Sao_Paulo"), datetime(2018, 11, 4, 3, tzinfo=UTC)),
    (ZoneInfo("America/Havana"), datetime(2024, 11, 3, 5, tzinfo=UTC)),
    (ZoneInfo("Australia/Lord_Howe"), datetime(2024, 4, 6, 15, tzinfo=UTC)),
    (ZoneInfo("Pacific/Apia"), datetime(2011, 12, 30, 10, tzinfo=UTC)),
    (ZoneInfo("Africa/Monrovia"), datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC)),
    (UTC, datetime(1970, 1, 1, tzinfo=UTC)),
    (timezone(timedelta(hours=5, minutes=45)), datetime(1969, 12, 31, tzinfo=UTC)),
)


@st.composite
def moments(draw: st.DrawFn, /, around: datetime, **sizes: Any) -> list[datetime]:
    near = st.integers(-15, 15).map(lambda n: around + n * timedelta(minutes=10))
    far = st.integers(-150, 150).map(lambda n: around + n * timedelta(minutes=10))
    seconds = st.integers(-100_000, 100_000).map(lambda n: around + timedelta(seconds=n))
    return draw(st.lists(near | far | seconds, **sizes))


def place(windows: Mapping[str, Window], moment: datetime) -> str | None:
    """The simple way."""
    instants = {k: (a.astimezone(UTC), b.astimezone(UTC)) for k, (a, b) in windows.items()}
    found = [key for key, (start, end) in instants.items() if start <= moment < end]
    return found[0] if found else None


@given(
    data=st.data(),
    change=st.sampled_from(CHANGES),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    naive=st.booleans(),
)
def test_times_as_python_reads_them(
    data: st.DataObject, change: tuple[tzinfo, datetime], unit: str, *, naive: bool
) -> None:
    zone, around = change
    edges = sorted(data.draw(moments(around, min_size=2, max_size=8, unique=True)))
    local = [edge.astimezone(zone) for edge in edges]
    windows = {str(n): pair for n, pair in enumerate(pairwise(local))}
    for gap in data.draw(st.sets(st.sampled_from(sorted(windows)), max_size=len(windows) - 1)):
        del windows[gap]
    drawn = data.draw(moments(around, max_size=12))
    if naive:
        # By clocks that were not changed, which shows skipped times and both of those shown twice.
        before = around.astimezone(zone) - timedelta(2)
        offset = before.utcoffset() or timedelta()
        drawn = [moment + offset for moment in drawn]
        shown = [moment.replace(tzinfo=zone) for moment in drawn]
        earlier = [place(windows, time.astimezone(UTC)) for time in shown]
        second = [time.replace(fold=1).astimezone(UTC) for time in shown]
        ambiguous = [
            late > time.astimezone(UTC) and place(windows, late) != first
            for time, late, first in zip(shown, second, earlier, strict=True)
        ]
        values = pa.array([time.replace(tzinfo=None) for time in shown], timestamp(unit))
        expected = earlier
    else:
        values = pa.array(drawn, timestamp(unit, "UTC"))
        expected = [place(windows, moment) for moment in drawn]
        ambiguous = [False] * len(drawn)
    kept = [n for n, twice in enumerate(ambiguous) if not twice and expected[n] is not None]
    found = split_values(values.take(pa.array(kept, pa.int64())), *windows, windows=windows)
    assert found == {key: [i for i, n in enumerate(kept) if expected[n] == key] for key in windows}
    for n, moment in enumerate(drawn):
        if ambiguous[n]:
            with pytest.raises(PartitionError, match="twice, in two partitions"):
                split_values(values[n : n + 1], *windows, windows=windows)
        elif expected[n] is None:
            with pytest.raises(PartitionError, match="other values of 'v'") as caught:
                split_values(values[n : n + 1], *windows, windows=windows)
            assert str(moment)[:19] in str(caught.value)


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_all_that_is_wrong_is_said_at_once(cls: type) -> None:
    keys = ["a", None, "x", "b", "y", None, "x", "z" * 1000, "'", "é", "w"]
    with pytest.raises(PartitionError) as caught:
        split(of(cls, {"k": keys}), by("k"), single("a", "b", "c", "d"))
    text = str(caught.value)
    assert "null in the column 'k': 2 rows" in text
    assert "other values of 'k': 7 rows, such as 'x', 'y', 'zzz" in text
    assert "'w'" not in text
    assert "missing, because no row belongs there: 'c', 'd'" in text
    assert "dagster_buckets/allow_empty_partitions" in text
    assert "drop these rows" in text
    assert len(text) < 1000


def test_partitions_without_rows_are_named_but_not_all() -> None:
    with pytest.raises(PartitionError, match="'1', '2', '3', '4', '5' and 9,994 more") as caught:
        split(pa.table({"v": [0]}), by("v"), single(*map(str, range(10_000))))
    assert "drop these rows" not in str(caught.value)


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
@pytest.mark.parametrize("kind", [pa.string(), pa.float64(), pa.null()], ids=str)
def test_a_frame_without_rows(cls: type, kind: pa.DataType) -> None:
    # Of whatever type: pandas gives a frame without rows any.
    frame = of(cls, {"k": pa.array([], kind)})
    with pytest.raises(PartitionError, match="'a', 'b'"):
        split(frame, by("k"), single("a", "b"))
    for part in split(frame, by("k"), single("a", "b"), allow_empty=True).values():
        assert_same(part, frame)
    assert split(frame, by("k"), {}) == {}


@pytest.mark.parametrize("values", [[None], pa.array([None]).dictionary_encode(), pa.array(["a", None]).dictionary_encode(), pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([None], pa.string()))], ids=["null", "dictionary of nulls", "dictionary with null", "null in the dictionary"])  # fmt: skip
def test_nulls_belong_nowhere(values: Any) -> None:
    with pytest.raises(PartitionError, match=r"null in the column 'v': 1 row\)"):
        split_values(values, "a")
    with pytest.raises(PartitionError, match="null in the column"):
        split_values(values, "None", "null", "nan", "")
    with pytest.raises(PartitionError, match="null in the column 'v': 1 row"):
        split_values(pa.array([None, 1]), "no number", "1")


def test_nan_of_pandas_is_null() -> None:
    for series in (
        pd.Series(["a", float("nan")], dtype=object),
        pd.Series(["a", pd.NA]),
        pd.Series([pd.NaT]),
    ):
        with pytest.raises(PartitionError, match="null in the column 'v': 1 row"):
            split(pd.DataFrame({"v": series}), by("v", days(UTC, date(2024, 1, 1), 1)), single("2024-01-01"))  # fmt: skip


def test_rows_are_refused_where_there_are_no_partitions() -> None:
    for values, windows in ((["a"], None), ([True], None), ([1], days(UTC, date(2024, 1, 1), 1))):
        with pytest.raises(PartitionError, match=f"'v': 1 row, such as {values[0]!r}"):
            split_values(values, windows=windows)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pa.array([datetime(2023, 12, 31, 23, tzinfo=UTC)]).cast(pa.timestamp("ns", "Asia/Tokyo")), "2023-12-31 23:00:00.000000000Z"),
        (pa.array([datetime(2023, 12, 31, 23)]), "read in UTC: 1 row, such as 2023-12-31 23:00:00"),  # noqa: DTZ001
        (pa.array([1], pa.timestamp("ns")), "1970-01-01 00:00:00.000000001"),
        (pa.array([date(2023, 12, 31)]), "2023-12-31"),
        (pa.array([2**31 - 1], pa.date32()), "<value out of range: 2147483647>"),
        (pa.array([7]), "such as 7"),
        (pa.array(["x"], pa.string_view()), "such as 'x'"),
        (pa.array(["x"]).dictionary_encode(), "such as 'x'"),
    ],
    ids=["aware", "local", "nanoseconds", "date", "far date", "number", "view", "dictionary"],
)  # fmt: skip
def test_strays_are_shown(values: Any, shown: str) -> None:
    windows = days(UTC, date(2024, 1, 1), 1)
    with pytest.raises(PartitionError) as caught:
        split_values(values, *windows, windows=windows)
    assert shown in str(caught.value)


def test_a_combination_that_is_no_partition() -> None:
    table = pa.table({"k": ["a", "b", "b", "c"], "l": [1, 2, 1, 2]})
    wanted = {"1|a": {"d": "a", "e": "1"}, "2|b": {"d": "b", "e": "2"}}
    with pytest.raises(PartitionError) as caught:
        split(table, dimensions_for({"d": "k", "e": "l"}, ["d", "e"]), wanted)
    text = str(caught.value)
    assert "other values of 'k': 1 row, such as 'c'" in text
    assert "other combinations of 'k', 'l': 1 row, such as ('b', 1)" in text
    assert "values of 'l'" not in text


@given(rows=choices(3, 3, 3))
def test_three_dimensions(rows: list[tuple[int, ...]]) -> None:
    names = ["d", "e", "f"]
    wanted = {str(row): dict(zip(names, map(str, row), strict=True)) for row in rows[::2]}
    table = pa.table({name: pa.array([row[n] for row in rows], pa.int8()) for n, name in enumerate(names)})  # fmt: skip
    table = table.append_column("n", pa.array(range(len(rows)), pa.int64()))
    lost = [row for row in rows if str(row) not in wanted]
    if lost:
        with pytest.raises(PartitionError, match=r"other (values|combinations) of .*such as"):
            split(table, dimensions_for(names, names), wanted)
        return
    assert numbers(split(table, dimensions_for(names, names), wanted)) == {
        key: [n for n, row in enumerate(rows) if str(row) == key] for key in wanted
    }


def test_two_partitions_with_the_same_keys() -> None:
    with pytest.raises(ConfigurationError, match="'x', 'y' have the same keys"):
        split(pa.table({"k": ["a"]}), by("k"), {"x": {"partition": "a"}, "y": {"partition": "a"}})


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_a_column_that_is_not_there(cls: type) -> None:
    with pytest.raises(PartitionError, match="has no column 'K'") as caught:
        split(of(cls, {"k": ["a"], "other": [1]}), by("K"), single("a"))
    assert "'k', 'other'" in str(caught.value)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([["a", "b"]], columns=["k", "k"]),
        pa.table([pa.array(["a"]), pa.array(["b"])], names=["k", "k"]),
        pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["k", "k"]),
    ],
    ids=lambda frame: qualified(type(frame)),
)
def test_a_column_that_is_there_twice(frame: Any) -> None:
    with pytest.raises(PartitionError, match="has 2 columns 'k'"):
        split(frame, by("k"), single("a"))


@pytest.mark.parametrize("frame", [pd.DataFrame({1: ["a"]}), pd.DataFrame([["a"]], columns=pd.MultiIndex.from_tuples([("1", "x")])), pa.table({})])  # fmt: skip
def test_odd_columns(frame: Any) -> None:
    with pytest.raises(PartitionError, match="has no column '1'"):
        split(frame, by("1"), single("a"))


# -- the metadata -----------------------------------------------------------------------------


def columns_of(dimensions: Iterable[Dimension]) -> dict[str, str]:
    return {dimension.name: dimension.column for dimension in dimensions}


@pytest.mark.parametrize(
    ("split_by", "names", "expected"),
    [
        ("k", ["partition"], {"partition": "k"}),
        (["k"], ["partition"], {"partition": "k"}),
        (("k",), ["partition"], {"partition": "k"}),
        ({"partition": "k"}, ["partition"], {"partition": "k"}),
        ("", ["partition"], {"partition": ""}),
        (["e", "d"], ["d", "e"], {"d": "d", "e": "e"}),
        ({"e": "l", "d": "k"}, ["d", "e"], {"d": "k", "e": "l"}),
        ({"e": "k", "d": "k"}, ["d", "e"], {"d": "k", "e": "k"}),
    ],
)
def test_dimensions(split_by: SplitBy, names: list[str], expected: dict[str, str]) -> None:
    found = dimensions_for(split_by, names)
    assert columns_of(found) == expected
    assert [dimension.name for dimension in found] == names


def test_dimensions_of_time_have_windows() -> None:
    windows = days(UTC, date(2024, 1, 1), 2)
    found = dimensions_for(["d", "e"], ["d", "e"], {"e": windows})
    assert [dimension.windows for dimension in found] == [None, windows]
    assert [dimension.zone for dimension in found] == [None, UTC]


@pytest.mark.parametrize(
    ("split_by", "names", "said"),
    [
        ("k", ["d", "e"], "unknown: 'k'; missing: 'd', 'e'"),
        ("d", ["d", "e"], "missing: 'e'"),
        (["d"], ["d", "e"], "missing: 'e'"),
        (["d", "e", "f"], ["d", "e"], "unknown: 'f'"),
        (["d", "e", "d"], ["d", "e"], "named twice"),
        (["k", "l"], ["partition"], "unknown: 'k', 'l'; missing: 'partition'"),
        ([], ["partition"], "missing: 'partition'"),
        ({}, ["partition"], "missing: 'partition'"),
        ({"date": "k"}, ["partition"], "unknown: 'date'; missing: 'partition'"),
        ({"d": "k"}, ["d", "e"], "missing: 'e'"),
    ],
)
def test_columns_too_few_or_too_many(split_by: SplitBy, names: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dimensions_for(split_by, names)
    assert said in str(caught.value)
    assert all(repr(name) in str(caught.value.hint) for name in names)


@pytest.mark.parametrize("split_by", [5, None, {"d"}, [1], [["d"]], {"d": 1}, {1: "d"}, b"d"])
def test_columns_of_a_wrong_type(split_by: Any) -> None:
    with pytest.raises(ConfigurationError, match="dagster_buckets/split_by must be a column"):
        dimensions_for(split_by, ["d"])


def test_rows_of_a_frame_are_counted() -> None:
    assert [len(rows_of(of(cls, {"k": ["a", "b"]}))) for cls in CLASSES] == [2] * 4
