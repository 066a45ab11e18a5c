from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.arrow_tables import to_arrow
from dagster_buckets.formats.batches import Rows, stream_batches
from dagster_buckets.formats.frames import concat_tables, from_arrow
from dagster_buckets.formats.schemas import without_notes

URIS = ["memory://one", "memory://two", "memory://three"]


def concat(*columns: pa.Array[Any]) -> pa.Table:
    tables = [pa.table({"fits": [1], "odd one": column}) for column in columns]
    return concat_tables(tables, URIS[: len(tables)])


def of(value: Any, kind: pa.DataType) -> pa.Array[Any]:
    return pa.array([value], kind)


PROMOTED: dict[str, tuple[Any, Any, Any]] = {
    "integers": (of(1, pa.int32()), of(2, pa.int64()), pa.int64()),
    "unsigned": (of(1, pa.uint64()), of(-2, pa.int64()), pa.int64()),
    "integer and float": (of(1, pa.int64()), of(0.5, pa.float32()), pa.float64()),
    "nulls": (of(None, pa.null()), of("x", pa.string()), pa.string()),
    "strings": (of("x", pa.string()), of("y", pa.large_string()), pa.large_string()),
    "decimals": (
        of(Decimal("1.5"), pa.decimal128(10, 2)),
        of(Decimal("0.0001"), pa.decimal128(12, 4)),
        pa.decimal128(12, 4),
    ),
    "units of time": (of(1, pa.timestamp("us")), of(1, pa.timestamp("ns")), pa.timestamp("ns")),
    "members of a struct": (
        of({"a": 1}, pa.struct([("a", pa.int32())])),
        of({"a": 2, "b": "x"}, pa.struct([("a", pa.int64()), ("b", pa.string())])),
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
    ),
    "items of a list": (
        of([1], pa.list_(pa.int32())),
        of([2], pa.list_(pa.int64())),
        pa.list_(pa.int64()),
    ),
    "categories": (
        pa.array(["a"]).dictionary_encode(),
        pa.array(["b"]).dictionary_encode(),
        pa.dictionary(pa.int32(), pa.string()),
    ),
    "indices of categories": (
        of("a", pa.dictionary(pa.int8(), pa.string())),
        of("b", pa.dictionary(pa.int16(), pa.string())),
        pa.dictionary(pa.int16(), pa.string()),
    ),
}


@pytest.mark.parametrize("case", PROMOTED)
def test_types_that_go_together(case: str, request: pytest.FixtureRequest) -> None:
    if "struct" in case and int(pa.__version__.partition(".")[0]) < 19:
        reason = "Arrow adds members to a struct since version 19; before it, a DecodeError"
        request.applymarker(pytest.mark.xfail(strict=True, raises=DecodeError, reason=reason))
    left, right, expected = PROMOTED[case]
    for first, second in ((left, right), (right, left)):
        joined = concat(first, second)
        assert joined.schema.field("odd one").type == expected
        values = [first.cast(expected)[0].as_py(), second.cast(expected)[0].as_py()]
        assert joined["odd one"].to_pylist() == values


APART = {
    "integer and string": (of(1, pa.int64()), of("x", pa.string())),
    "boolean and integer": (of(True, pa.bool_()), of(1, pa.int64())),  # noqa: FBT003
    "members of a struct": (
        of({"a": 1}, pa.struct([("a", pa.int32())])),
        of({"a": "x"}, pa.struct([("a", pa.string())])),
    ),
    "categories and strings": (pa.array(["a"]).dictionary_encode(), of("a", pa.string())),
    "categories of other things": (
        pa.array(["a"]).dictionary_encode(),
        pa.array([1]).dictionary_encode(),
    ),
    "time zones": (of(1, pa.timestamp("us", "UTC")), of(1, pa.timestamp("us", "Europe/Berlin"))),
    "with and without a time zone": (of(1, pa.timestamp("us", "UTC")), of(1, pa.timestamp("us"))),
    "date and time": (of(1, pa.date32()), of(1, pa.timestamp("us"))),
}


@pytest.mark.parametrize("case", APART)
def test_types_that_do_not(case: str) -> None:
    left, right = APART[case]
    with pytest.raises(DecodeError) as caught:
        concat(left, left, right)
    text = str(caught.value)
    assert caught.value.uri == "memory://three"
    assert "'odd one'" in text
    assert "fits" not in text.replace("does not fit", "")
    assert str(left.type) in text
    assert str(right.type) in text
    assert caught.value.hint


VALUES = {
    "an integer that no float is": (of(2**60 + 1, pa.int64()), of(0.5, pa.float64())),
    "more than 63 bits": (of(2**64 - 1, pa.uint64()), of(1, pa.int64())),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_the_common_type_cannot_hold(case: str) -> None:
    with pytest.raises(DecodeError) as caught:
        concat(*VALUES[case])
    assert "'odd one'" in str(caught.value)
    assert caught.value.uri in URIS
    assert caught.value.hint


def test_columns_come_as_they_first_appear() -> None:
    tables = [pa.table({"b": [1]}), pa.table({"c": [2], "a": [3]}), pa.table({"a": [4], "b": [5]})]
    joined = concat_tables(tables, URIS)
    assert joined.to_pydict() == {"b": [1, None, 5], "c": [None, 2, None], "a": [None, 3, 4]}


def test_a_column_that_some_lack_may_be_null() -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    joined = concat_tables([pa.table({"n": [1]}, schema), pa.table({"m": [1]})], URIS[:2])
    assert joined.schema.field("n").nullable
    joined.validate(full=True)


def test_two_columns_of_one_name() -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["n", "n"])
    with pytest.raises(DecodeError, match=r"memory://two has two columns 'n'"):
        concat_tables([pa.table({"n": [1]}), twice], URIS[:2])


@pytest.mark.parametrize("cls", [pd.DataFrame, pl.DataFrame, pa.RecordBatch, pa.Table])
def test_more_categories_together_than_their_indices_count(cls: type) -> None:
    parts = [pd.DataFrame({"c": pd.Categorical([f"{p}{i}" for i in range(100)])}) for p in "ab"]
    joined = concat_tables([to_arrow(part, "x") for part in parts], URIS[:2])
    frame = from_arrow(joined, cls, "u")
    column = frame["c"].to_pylist() if hasattr(frame["c"], "to_pylist") else list(frame["c"])
    assert column == [*parts[0]["c"], *parts[1]["c"]]


ENUMS = {
    "column": lambda values: pl.Series(values, dtype=pl.Enum(values)),
    "list": lambda values: pl.Series([[v] for v in values], dtype=pl.List(pl.Enum(values))),
    "array": lambda values: pl.Series([[v] for v in values], dtype=pl.Array(pl.Enum(values), 1)),
    "struct": lambda values: pl.Series(
        [{"m": v} for v in values], dtype=pl.Struct({"m": pl.Enum(values)})
    ),
}


@pytest.mark.parametrize("kind", ENUMS)
def test_enums_of_other_values_keep_their_values(kind: str) -> None:
    frames = [pl.DataFrame({"e": ENUMS[kind](values)}) for values in (["a", "b"], ["c", "a"])]
    tables = [to_arrow(frame, "x") for frame in frames]
    expected = [*frames[0]["e"].to_list(), *frames[1]["e"].to_list()]
    joined = concat_tables(tables, URIS[:2])
    assert from_arrow(joined, pl.DataFrame, "u")["e"].to_list() == expected
    rows = [Rows(uri, table.to_reader()) for uri, table in zip(URIS, tables, strict=False)]
    stream = stream_batches(iter(rows))
    assert pl.concat([pl.DataFrame(b) for b in stream])["e"].to_list() == expected
    rows = [Rows(uri, table.to_reader()) for uri, table in zip(URIS, tables, strict=False)]
    stream = stream_batches(iter(rows))
    assert stream.read_all()["e"].to_pylist() == expected


@pytest.mark.parametrize(
    ("other", "ordered"), [(["low", "high"], True), (["low", "mid", "high"], False)]
)
def test_an_order_of_categories_stays_if_all_have_it(other: list[str], ordered: bool) -> None:  # noqa: FBT001
    parts = [
        pd.DataFrame({"c": pd.Categorical(c, c, ordered=True)}) for c in (["low", "high"], other)
    ]
    joined = concat_tables([to_arrow(part, "x") for part in parts], URIS[:2])
    frame = from_arrow(joined, None, "u")
    assert frame["c"].tolist() == ["low", "high", *other]
    assert frame["c"].dtype.ordered is ordered


def test_enums_of_the_same_values_stay_enums() -> None:
    frame = pl.DataFrame({"e": ENUMS["column"](["a", "b"])})
    joined = concat_tables([to_arrow(frame, "x")] * 2, URIS[:2])
    assert from_arrow(joined, None, "u").schema == frame.schema


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_(pa.int8(), 2),
             pa.map_(pa.string(), pa.int8()), pa.struct([("m", pa.int8())])], ids=str
)  # fmt: skip
def test_a_type_without_its_notes_is_the_same_type(kind: pa.DataType) -> None:
    field = pa.field("x", kind, nullable=False)
    assert without_notes(field).equals(field)


# -- constant columns -----------------------------------------------------------------------------


def test_constants_come_last_as_strings() -> None:
    tables = [pa.table({"n": [1, 2]}), pa.table({"n": [3], "more": ["x"]})]
    joined = concat_tables(
        tables, URIS[:2], [{"day": "001", "city": ""}, {"day": "2", "city": "é"}]
    )
    assert joined.to_pydict() == {
        "n": [1, 2, 3],
        "more": [None, None, "x"],
        "day": ["001", "001", "2"],
        "city": ["", "", "é"],
    }
    assert joined.schema.field("day").type == pa.string()


def test_constants_of_tables_without_rows_or_columns() -> None:
    joined = concat_tables([pa.table({}), pa.table({"n": [1]})], URIS[:2], [{"d": "a"}, {"d": "b"}])
    assert joined.to_pydict() == {"n": [1], "d": ["b"]}


def test_constants_beside_an_index_of_pandas() -> None:
    parts = [pd.DataFrame({"n": [n]}, index=pd.Index([n], name="k")) for n in (1, 2)]
    tables = [to_arrow(part, "x") for part in parts]
    frame = from_arrow(concat_tables(tables, URIS[:2], [{"d": "a"}, {"d": "b"}]), None, "u")
    assert frame.index.name == "k"
    assert frame.to_dict("list") == {"n": [1, 2], "d": ["a", "b"]}
    with pytest.raises(DecodeError, match="'k'"):
        concat_tables(tables, URIS[:2], [{"k": "a"}, {"k": "b"}])


def test_a_constant_that_is_a_column_already() -> None:
    tables = [pa.table({"n": [1]}), pa.table({"n": [1], "day": ["x"]})]
    with pytest.raises(DecodeError) as caught:
        concat_tables(tables, URIS[:2], [{"day": "1"}, {"day": "2"}])
    assert "'day'" in str(caught.value)
    assert caught.value.uri == "memory://two"
    assert "dagster_buckets/partition_name" in str(caught.value.hint)
    assert "dagster_buckets/partition_columns" in str(caught.value.hint)


def test_constants_for_each_object() -> None:
    with pytest.raises(ValueError, match="shorter"):
        concat_tables([pa.table({"n": [1]})] * 2, URIS[:2], [{"day": "1"}])
