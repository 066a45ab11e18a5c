"""What is particular to the formats whose types are guessed: csv and ndjson."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import (
    ConfigurationError,
    DecodeError,
    EncodeError,
)
from dagster_buckets.formats.csv import CSVFormat
from dagster_buckets.formats.ndjson import NDJSONFormat
from dagster_buckets.formats.type_names import named_types, type_named
from dagster_buckets.formats.untyped import UntypedFormat, same_values
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import assert_same, payload_of

BOTH = pytest.mark.parametrize("made", [CSVFormat, NDJSONFormat], ids=["csv", "ndjson"])
NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)

#: Types that no guess gives, with values.
TYPED: dict[str, tuple[pa.DataType, list[Any]]] = {
    "i8": (pa.int8(), [-1, None]),
    "u64": (pa.uint64(), [2**64 - 1, None]),
    "whole": (pa.float64(), [1.0, -0.0]),
    "f32": (pa.float32(), [0.1, None]),
    "zip": (pa.string(), ["00501", ""]),
    "yes": (pa.string(), ["true", None]),
    "day": (pa.date32(), [date(2024, 1, 1), None]),
    "us": (pa.timestamp("us"), [NOON.replace(tzinfo=None), None]),
    "zone": (pa.timestamp("ns", "Europe/Berlin"), [NOON, None]),
    "price": (pa.decimal128(10, 2), [Decimal("1.50"), None]),
    "nothing": (pa.int32(), [None, None]),
}


def typed(rows: int = 2) -> pa.Table:
    return pa.table({name: pa.array(v[:rows], kind) for name, (kind, v) in TYPED.items()})


def names_of(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def text_of(chosen: UntypedFormat, value: Any) -> str:
    return bytes(chosen.encode(value).joined()).decode()


def again(chosen: UntypedFormat, value: Any, as_type: type | None = None) -> Any:
    return chosen.decode(payload_of(chosen.encode(value)), as_type)


# -- types --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("rows", [2, 0])
def test_named_types_come_back(made: type[UntypedFormat], rows: int) -> None:
    table = typed(rows)
    assert_same(again(made(column_types=names_of(table)), table), table)


@BOTH
@pytest.mark.parametrize("column", TYPED)
def test_the_hint_of_a_refusal_is_what_helps(made: type[UntypedFormat], column: str) -> None:
    table = typed().select([column])
    try:
        again(made(), table)
    except EncodeError as error:
        kind = table.schema.field(column).type
        assert f"{column!r}: it is {kind} and would come back as " in str(error)  # noqa: PT017
        assert f"set dagster_buckets/column_types to {names_of(table)!r}" in str(error.hint)  # noqa: PT017
    assert_same(again(made(column_types=names_of(table)), table), table)


def test_a_type_that_would_not_help_is_not_recommended() -> None:
    with pytest.raises(EncodeError, match="'at': it is time64") as caught:
        NDJSONFormat().encode(pa.table({"at": [time(1, 2, 3, 4)]}))
    assert "column_types" not in str(caught.value.hint)
    assert "parquet" in str(caught.value.hint)


@BOTH
def test_all_columns_that_need_a_type_are_told_at_once(made: type[UntypedFormat]) -> None:
    table = pa.table({"n": pa.array([1], pa.int8()), "day": ["2024-01-01"], "ok": [1]})
    with pytest.raises(EncodeError, match="'n'") as caught:
        made().encode(table)
    assert "{'n': 'int8', 'day': 'string'}" in str(caught.value.hint)


@BOTH
def test_types_of_columns_that_are_not_there_are_ignored(made: type[UntypedFormat]) -> None:
    table = pa.table({"n": [1, 2], "none": pa.nulls(2, pa.int8())})
    types = {"other": "int8", "none": "int8", "zip": "string"}
    assert_same(again(made(column_types=types), table), table)


@BOTH
def test_columns_keep_their_order(made: type[UntypedFormat]) -> None:
    table = pa.table({"b": [1], "a": pa.array([1], pa.int8()), "c": ["x"]})
    assert_same(again(made(column_types={"c": "string", "a": "int8"}), table), table)


@BOTH
def test_unknown_types_are_refused_when_the_format_is_made(made: type[UntypedFormat]) -> None:
    with pytest.raises(ConfigurationError, match="'zip' cannot be 'varchar'") as caught:
        made(column_types={"zip": "varchar"})
    assert "date32[day]" in str(caught.value.hint)


@pytest.mark.parametrize(
    "kind",
    [
        *(kind for kind, _ in TYPED.values()),
        pa.null(),
        pa.large_string(),
        pa.decimal256(50, -2),
        pa.time64("us"),
        pa.list_(pa.list_(pa.timestamp("us", "UTC"))),
        pa.large_list(pa.field("element", pa.decimal128(3, 1), nullable=False)),
        pa.struct([]),
        pa.struct(
            [("a b", pa.int8()), ("c", pa.struct([("d", pa.decimal128(3, 1)), ("e", pa.bool_())]))]
        ),
    ],
    ids=str,
)
def test_types_are_named_as_arrow_spells_them(kind: pa.DataType) -> None:
    assert type_named(str(kind)).equals(kind)
    assert str(type_named(str(kind))) == str(kind)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "int",
        "list<int64>",
        "list<item: >",
        "struct<a>",
        "decimal128(10)",
        "timestamp[x, tz=UTC]",
    ],
)
def test_no_other_names_are_types(name: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        type_named(name)
    with pytest.raises(ConfigurationError, match="'x' cannot be"):
        named_types({"x": name})


def test_equal_means_the_same_bits_but_for_nan() -> None:
    def same(left: Any, right: Any, kind: Any) -> bool:
        return same_values(pa.array(left, kind), pa.array(right, kind))

    nan = float("nan")
    for kind in (pa.float32(), pa.float64()):
        assert same([nan, None, 1.5], [nan, None, 1.5], kind)
        assert not same([nan], [None], kind)
        assert not same([0.0], [-0.0], kind)
        assert not same([[0.0]], [[-0.0]], pa.list_(kind))
        assert not same([{"x": 0.0}], [{"x": -0.0}], pa.struct([("x", kind)]))
    lists = pa.list_(pa.int64())
    assert same([[1], [], None], [[1], [], None], lists)
    assert not same([[1, 2], [3]], [[1], [2, 3]], lists)
    assert not same([[]], [None], lists)
    assert not same([{"x": None}], [None], pa.struct([("x", pa.int64())]))


# -- frames -------------------------------------------------------------------------------------


@BOTH
def test_a_range_index_is_fine_and_others_are_told_what_to_do(made: type[UntypedFormat]) -> None:
    frame = pd.DataFrame({"n": [3, 4], "s": ["a", "b"]})
    assert_same(again(made(), frame), pa.table({"n": [3, 4], "s": ["a", "b"]}))
    assert_same(again(made(), frame, pd.DataFrame), frame)
    with pytest.raises(EncodeError, match="index") as caught:
        made().encode(frame[frame["n"] > 3])
    assert "reset_index" in str(caught.value.hint)
    assert again(made(), frame[frame["n"] > 3].reset_index()).column_names == ["index", "n", "s"]


@BOTH
def test_layouts_of_memory_are_not_kept(made: type[UntypedFormat]) -> None:
    text = pa.array(["a", None, "a"])
    kinds = [text.cast(pa.large_string()), text.dictionary_encode()]
    kinds.append(text.cast(pa.large_string()).dictionary_encode())
    for column in kinds:
        assert_same(again(made(), pa.table({"s": column})), pa.table({"s": text}))


@BOTH
def test_string_views_become_strings_where_arrow_can_cast_them(made: type[UntypedFormat]) -> None:
    views = pa.table({"s": pa.array(["a", None], pa.string_view())})
    try:
        stored = made().encode(views)
    except EncodeError as error:  # Arrow 17
        assert "'s'" in str(error)  # noqa: PT017
        return
    assert_same(made().decode(payload_of(stored), None), pa.table({"s": ["a", None]}))


def test_durations_are_numbers() -> None:
    table = pa.table({"spent": pa.array([timedelta(1), None], pa.duration("us"))})
    chosen = NDJSONFormat(column_types={"spent": "duration[us]"})
    assert text_of(chosen, table) == '{"spent": 86400000000}\n{"spent": null}\n'
    assert_same(again(chosen, table), table)


def test_lists_of_polars_become_lists() -> None:
    frame = pl.DataFrame({"l": [[{"x": 1}], [], None]})
    assert_same(again(NDJSONFormat(), frame, pl.DataFrame), frame)


@BOTH
def test_what_is_written_is_described_as_it_comes_back(made: type[UntypedFormat]) -> None:
    field = pa.field("s", pa.large_string(), nullable=False)
    body = made().encode(pa.table({"s": ["a"]}, pa.schema([field])))
    assert body.description is not None
    found = body.description(0)
    assert found.rows == 1
    assert found.columns is not None
    assert [(c.name, c.type, c.nullable) for c in found.columns] == [("s", "string", True)]


@BOTH
def test_columns_and_filters(made: type[UntypedFormat]) -> None:
    stored = payload_of(made().encode(pa.table({"n": [1, 2, 3], "s": ["a", "b", "c"]})))
    chosen = made(columns=["s"], filters=[("n", ">", 1)])
    assert_same(chosen.decode(stored, None), pa.table({"s": ["b", "c"]}))


@BOTH
def test_rows_without_columns_are_refused(made: type[UntypedFormat]) -> None:
    for frame in (pa.table({"n": [1, 2]}).select([]), pd.DataFrame(index=pd.RangeIndex(2))):
        with pytest.raises(EncodeError, match="2 rows without columns"):
            made().encode(frame)


# -- large objects ------------------------------------------------------------------------------


@BOTH
def test_rows_longer_than_a_block_of_arrow(made: type[UntypedFormat]) -> None:
    table = pa.table({"n": [1, 2, 3], "s": ["a", "x\n\n" * 1_000_000, "b"]})
    assert_same(again(made(), table).combine_chunks(), table)


@BOTH
def test_line_breaks_do_not_part_rows(
    made: type[UntypedFormat], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the second try, which reads everything as one block.
    monkeypatch.setattr(sys.modules[made.__module__], "_MAX_BLOCK", 1024 * 1024)
    table = pa.table({"s": ['a\n1,"2"\r\nb'] * 200_000, "n": list(range(200_000))})
    stored = payload_of(made().encode(table))
    assert memoryview(stored.data).nbytes > 3 * 1024 * 1024
    assert_same(made().decode(stored, None).combine_chunks(), table)


@BOTH
def test_types_are_those_of_all_blocks(made: type[UntypedFormat]) -> None:
    rows = 400_000
    table = pa.table({
        "x": [*range(rows), 0.5],
        "s": [*["2024-01-01"] * rows, "x"],
        "late": [*[None] * rows, "x"],
    })  # fmt: skip
    stored = payload_of(made().encode(table))
    assert memoryview(stored.data).nbytes > 2 * 1024 * 1024
    assert_same(made().decode(stored, None).combine_chunks(), table)


# -- csv ----------------------------------------------------------------------------------------


def test_nulls_and_empty_strings_of_a_csv() -> None:
    table = pa.table({"s": ["", None, "x"], "t": [None, "", "y"]})
    assert text_of(CSVFormat(), table) == '"s","t"\n"",\n,""\n"x","y"\n'
    assert_same(again(CSVFormat(), table), table)


def test_nan_is_no_null_in_a_csv() -> None:
    table = pa.table({"x": pa.array([float("nan"), None, 0.5], from_pandas=False)})
    back = again(CSVFormat(), table)
    assert back["x"].null_count == 1
    assert repr(back["x"].to_pylist()) == "[nan, None, 0.5]"


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", " "])
def test_delimiters(delimiter: str) -> None:
    table = pa.table({"a": [1, 2], "b": [f"x{delimiter}y", ","]})
    chosen = CSVFormat(delimiter=delimiter)
    assert text_of(chosen, table).startswith(f'"a"{delimiter}"b"\n')
    assert_same(again(chosen, table), table)


@pytest.mark.parametrize("delimiter", ["", ",,", "é", '"', "\n", "\r", "\0"])
def test_what_no_delimiter_can_be(delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="the delimiter"):
        CSVFormat(delimiter=delimiter)


@pytest.mark.parametrize("delimiter", ["-", ".", "1"])
def test_a_delimiter_within_numbers_is_refused(delimiter: str) -> None:
    with pytest.raises(EncodeError):
        again(CSVFormat(delimiter=delimiter), pa.table({"x": [-1.5], "b": [True]}))


def test_no_header() -> None:
    table = pa.table({"f0": [1, 2], "f1": ["a", None]})
    chosen = CSVFormat(header=False)
    assert text_of(chosen, table) == '1,"a"\n2,\n'
    assert_same(again(chosen, table), table)
    with pytest.raises(EncodeError, match=r"\['f0'\], not \['n'\]") as caught:
        chosen.encode(pa.table({"n": [1]}))
    assert "header" in str(caught.value.hint)
    with pytest.raises(EncodeError, match="Empty CSV file"):
        chosen.encode(pa.table({"f0": pa.array([], pa.null())}))


QUOTING: tuple[Literal["all", "none"], ...] = ("all", "none")


def test_quoting() -> None:
    table = pa.table({"n": [1, None], "s": ["a", "b"]})
    assert text_of(CSVFormat(quoting="all"), table) == '"n","s"\n"1","a"\n,"b"\n'
    assert text_of(CSVFormat(quoting="none"), table) == '"n","s"\n1,a\n,b\n'
    for quoting in QUOTING:
        assert_same(again(CSVFormat(quoting=quoting), table), table)
    for text in ("", "a,b", 'a"b', "a\nb"):
        with pytest.raises(EncodeError, match="'s'"):
            CSVFormat(quoting="none").encode(pa.table({"s": [text, "x"]}))


def test_binary_columns_of_a_csv_are_refused_whatever_their_type() -> None:
    for kind in (pa.binary(), pa.large_binary(), pa.binary(1)):
        with pytest.raises(EncodeError, match=r"column 'b', a .*binary"):
            CSVFormat(column_types={"b": "binary"}).encode(pa.table({"b": pa.array([b"x"], kind)}))


def test_a_csv_of_others() -> None:
    text = b"\xef\xbb\xbfid;name\r\n\r\n1;Zo\xc3\xab\r\n2;\r\n"
    back = CSVFormat(delimiter=";").decode(payload_of(Body.of(text)), None)
    assert_same(back, pa.table({"id": [1, 2], "name": ["Zoë", None]}))


# -- ndjson -------------------------------------------------------------------------------------


def test_columns_that_json_cannot_hold_are_named() -> None:
    for column in ([b"x"], [float("nan")], [[float("inf")]]):
        with pytest.raises(EncodeError, match="column 'odd one'"):
            NDJSONFormat().encode(pa.table({"n": [1], "odd one": column}))


def test_ndjson_of_others() -> None:
    text = b'\n{"a": 1}\n\n{"b": "x", "a": 2.5}'
    back = NDJSONFormat().decode(payload_of(Body.of(text)), None)
    assert_same(back, pa.table({"a": [1.0, 2.5], "b": [None, "x"]}))


def test_integers_that_no_guess_holds_are_refused() -> None:
    table = pa.table({"n": pa.array([2**64 - 1], pa.uint64())})
    with pytest.raises(EncodeError, match="it is uint64 and would come back as double"):
        NDJSONFormat().encode(table)


DEEP = 20_000


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"a":' + b"[" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"a":' + b"[\n" * DEEP + b"]\n" * DEEP + b"}",
        b'{"}":' * DEEP + b"1" + b"}" * DEEP,
        b'{"a":["]",' + b'["]",' * DEEP + b"1" + b"]" * DEEP + b"]}",
        b'{"a":["\\"]",' + b'["\\"]",' * DEEP + b"1" + b"]" * DEEP + b"]}",
        b'{"a":' + b'[{"x":' * DEEP + b"1" + b"}]" * DEEP + b"}",
    ],
    ids=["lists", "open", "structs", "lines", "hidden", "texts", "escapes", "both"],
)
def test_what_is_nested_too_deep_does_not_end_the_process(text: bytes) -> None:
    with pytest.raises(DecodeError, match="more than 100 deep") as caught:
        NDJSONFormat().decode(payload_of(Body.of(text)), None)
    assert caught.value.hint


def test_brackets_in_strings_are_no_nesting() -> None:
    odd = ["[" * 500, '"[{' * 500, "\\[" * 500, '\\"[' * 500, "]}" * 500]
    table = pa.table({"s": odd, "l": [odd] * 5, "x": [{"[": {"{": "["}}] * 5})
    assert_same(again(NDJSONFormat(), table), table)
    table = pa.table({"l": [1]})
    for _ in range(90):
        table = pa.table({"l": [table.column("l").to_pylist()]})
    assert_same(again(NDJSONFormat(), table), table)
