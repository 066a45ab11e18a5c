# The fixture is called what it gives.
# ruff: noqa: A002
from __future__ import annotations

import io
import pickle
import time as clock
import zipfile
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import EncodeError
from dagster_buckets.formats import Format
from dagster_buckets.formats.options import with_options
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.objects import Payload
from dagster_buckets.plugins import format_class, format_for_type, get_format, names
from dagster_buckets.testing.formats import (
    FormatConformance,
    FormatSamples,
    assert_same,
    payload_of,
)
from dagster_buckets.testing.strategies import any_arrow_tables, arrow_tables, json_values
from hypothesis import given, settings

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int64()),
        "name": ["a", None, "é"],
        "at": pa.array([NOON, None, NOON], pa.timestamp("us", tz="UTC")),
        "price": pa.array([Decimal("1.50"), None, Decimal("0.01")], pa.decimal128(10, 2)),
        "tags": [["x"], [], None],
    }
)
NUMBERS = pa.table({"x": [1.5, 2.5], "y": [3.0, 4.0]})
INDEXED = pd.DataFrame({"n": [1, 2], "s": ["a", "b"]}, index=pd.Index([10, 20], name="number"))
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)
DEEP: list[Any] = []
for _ in range(200_000):
    DEEP = [DEEP]


def frames() -> FormatSamples:
    return FormatSamples(
        values=[
            TABLE,
            pa.table({"n": pa.array([], pa.int32())}),
            pa.table([pa.chunked_array([[1], [2, 3]])], names=["c"]),
            TABLE.to_batches()[0],
            INDEXED,
            pd.DataFrame({"n": [1.5], "t": [pd.Timestamp("2024-01-01")], "b": [True]}),
            pd.DataFrame({"n": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
            pl.DataFrame({"n": [1, None], "s": ["é", ""], "l": [[1], []]}),
        ],
        refused=[
            1,
            "text",
            None,
            np.array([1]),
            pd.DataFrame([[1, 2]], columns=["twice", "twice"]),
            pd.DataFrame({1: [1]}),
            pd.DataFrame({"mixed": [1, "text", object()]}),
            pa.table([pa.array([1]), pa.array([2])], names=["twice", "twice"]),
            pl.Series("s", [1]),
        ],
        damaged=[b"", b"PAR1", b"PAR1" * 20, b"ARROW1", b"ARROW1\0\0" * 20, b"no table at all"],
        conversions=[
            (NUMBERS, pd.DataFrame, pd.DataFrame({"x": [1.5, 2.5], "y": [3.0, 4.0]})),
            (NUMBERS, pl.DataFrame, pl.DataFrame({"x": [1.5, 2.5], "y": [3.0, 4.0]})),
            (NUMBERS, np.ndarray, np.array([[1.5, 3.0], [2.5, 4.0]])),
            (NUMBERS, pa.RecordBatch, NUMBERS.to_batches()[0]),
            (pl.DataFrame({"x": [1.5]}), pa.Table, pa.table({"x": [1.5]})),
            (pd.DataFrame({"x": [1.5]}), pl.DataFrame, pl.DataFrame({"x": [1.5]})),
            (INDEXED[["n"]], np.ndarray, np.array([[1], [2]])),
        ],
    )


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(1.5),
    np.empty((0, 3), np.int8),
    np.array([1, 2], ">i4"),
    np.array([True, False]),
    np.arange(10)[::3],
]
MORE_ARRAYS = [
    np.array(["a", "é"]),
    np.array([b"x"]),
    np.array([1 + 2j]),
    np.array(["2024-01-01", "NaT"], "M8[ns]"),
    np.array([1], "m8[s]"),
    np.array([(1, "x")], [("n", "<i4"), ("s", "U2")]),
    np.array([(1, [2.0, 3.0])], [("ключ", ">u2"), ("v", "f8", (2,))]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.zeros((2, 0), "U3"),
    np.array([], "V0"),
]
OBJECTS = np.array([object()])
ODD_ARRAYS = [
    OBJECTS,
    np.array([(1, None)], [("n", "i4"), ("o", "O")]),
    np.ma.array([1, 2], mask=[True, False]),
    np.array([[1]]).view(np.recarray),
    np.zeros(1, np.dtype("i4", metadata={"unit": "m"})),
]


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + data


DAMAGED_ARRAYS = [
    b"",
    b"\x93NUMPY",
    b"\x93NUMPY\x01\0\xff\xff",
    b"\x93NUMPY\x09\0\x10\0aaaaaaaaaaaaaaaa",
    npy("(" * 1000),
    npy("-" * 60_000 + "1"),
    npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}"),
    npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", b"12345678"),
    npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", b"1234567"),
    npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 10000000000000000000000)}"),
    npy("{'descr': 'nope', 'fortran_order': False, 'shape': (1,)}", b"1"),
    npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickle.dumps([1])),
    npy("{'descr': '|O', 'fortran_order': False, 'shape': (0,)}"),
    npy("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", b"12345678"),
    npy("{'descr': '<f8', 'shape': (1,)}", b"12345678"),
    npy("[]"),
]


def named(arrays: list[Any]) -> list[dict[str, Any]]:
    return [{}, *({"x": array} for array in arrays), {"a": arrays[0], "b": arrays[1]}]


def tensors(header: str, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + data


def zipped(name: str, data: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()


SAFE = ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
NAMES = ["", "a/b", "../x", "/", "x.npy", "é \U0001f600", " ", "C:\\x", "a\nb", "__metadata"]


def untyped(values: list[Any], refused: list[Any], damaged: list[bytes]) -> FormatSamples:
    """Samples of a format whose types are guessed: of those that it guesses right."""
    numbers = pa.table({"x": [1.5, 2.5], "n": [3, 4]})
    indexed = pd.DataFrame({"n": [1, 2]}, index=[1, 2])
    return FormatSamples(
        values=[
            numbers,
            pa.table(
                {
                    "n": [1, None, -(2**63)],
                    "s": ["", None, 'a"b,\r\nc\r\n\n'],
                    "b": [True, None, False],
                }
            ),
            pa.table(
                {
                    "at": pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("s")),
                    "s": ["é\u2028", "\0"],
                }
            ),
            pa.table([pa.chunked_array([[1], [2, 3]])], names=["c"]),
            pa.table({"only nulls": pa.nulls(3)}),
            pa.table({"one": ["a", None, "", None]}),
            pa.table({'a "name",\n': [1], "": ["x"], "\ufeff": ["\ufeff"]}),
            *values,
        ],
        refused=[
            1,
            "text",
            None,
            np.array([1]),
            INDEXED,
            indexed,
            pd.DataFrame({"n": [1]}, index=pd.RangeIndex(1, 2)),
            pd.DataFrame({"n": [1]}, index=pd.RangeIndex(1, name="number")),
            pd.DataFrame([[1, 2]], columns=["twice", "twice"]),
            pd.DataFrame({1: [1]}),
            pa.table({"n": pa.array([1], pa.int8())}),
            pa.table({"n": pa.array([2**64 - 1], pa.uint64())}),
            pa.table({"n": pa.array([None], pa.int64())}),
            pa.table({"n": pa.array([], pa.int64())}),
            pa.table({"b": [b"x"]}),
            pa.table({"s": ["2024-01-01"]}),
            pa.table({"t": pa.array([NOON], pa.timestamp("us", "Europe/Berlin"))}),
            pa.table({"d": [Decimal("1.50")]}),
            pa.table({"d": pa.array([1], pa.int8()).dictionary_encode()}),
            *refused,
        ],
        damaged=damaged,
        conversions=[
            (numbers, pd.DataFrame, pd.DataFrame({"x": [1.5, 2.5], "n": [3, 4]})),
            (numbers, pl.DataFrame, pl.DataFrame({"x": [1.5, 2.5], "n": [3, 4]})),
            (numbers, np.ndarray, np.array([[1.5, 3.0], [2.5, 4.0]])),
            (numbers, pa.RecordBatch, numbers.to_batches()[0]),
            (pl.DataFrame({"x": [1.5], "s": ["a"]}), pa.Table, pa.table({"x": [1.5], "s": ["a"]})),
            (
                pd.DataFrame({"x": [1.5], "s": ["a"]}),
                pl.DataFrame,
                pl.DataFrame({"x": [1.5], "s": ["a"]}),
            ),
            (pl.LazyFrame({"x": [1.5]}), pl.DataFrame, pl.DataFrame({"x": [1.5]})),
            (ds.dataset(numbers), pa.Table, numbers),
            (
                pa.table({"s": pa.array(["a", None], pa.large_string())}),
                pa.Table,
                pa.table({"s": ["a", None]}),
            ),
            (
                pa.table({"s": pa.array(["a", None]).dictionary_encode()}),
                pa.Table,
                pa.table({"s": ["a", None]}),
            ),
        ],
    )


SAMPLES = {
    "csv": untyped(
        values=[
            pa.table({"d": pa.array([date(2024, 1, 1), None]), "x": [float("inf"), -0.5]}),
            pa.table({"at": pa.array([NOON, None], pa.timestamp("ns", "UTC")), "s": ["x", "y"]}),
            pa.table({"t": pa.array([time(1, 2), None], pa.time32("s"))}),
        ],
        refused=[
            pa.table({"x": [1.0]}),
            pa.table({"s": ["001"]}),
            pa.table({"s": ["true", "false"]}),
            pa.table({"s": ["nan", "1"]}),
            pa.table({"l": [[1]]}),
            pa.table({"s": [{"x": 1}]}),
            pa.table({}),
            [{"n": 1}],
        ],
        damaged=[b"", b'"a', b"a\n1,2\n", b"a,b\n1\n", b"\xff\xfe", b"\n", b"\xff\n1\n"],
    ),
    "ndjson": untyped(
        values=[
            pa.table({}),
            pa.table({"x": [1.0, -0.0, 1e300], "s": ["001", "true", ""]}),
            pa.table({"l": [[1], [], None], "s": [{"x": 1.0, "l": ["é"]}, None, {"x": None, "l": None}]}),
        ],
        refused=[
            pa.table({"x": [1.0, float("nan")]}),
            pa.table({"x": [[float("inf")]]}),
            pa.table({"l": [[]]}, pa.schema({"l": pa.list_(pa.int64())})),
            pa.table({"t": [time(1, 2)]}),
            [{"n": 1}],
            {"n": 1},
        ],
        damaged=[b"{", b"no json", b"[1]", b"1", b'{"a": \xff}', b'{"a": "\xff"}', b'{"\xff": 1}', b'{"a": 1, "a": 2}', b'{"a": 1}\n{"a": "x"}'],
    ),
    "npy": FormatSamples(
        values=[*ARRAYS, *MORE_ARRAYS],
        refused=[*ODD_ARRAYS, 1, None, [1], TABLE, np.float64(1.5)],
        damaged=DAMAGED_ARRAYS,
    ),
    "npz": FormatSamples(
        values=[*named([*ARRAYS, *MORE_ARRAYS]), {name: np.arange(2) for name in NAMES}],
        refused=[
            ARRAYS[0], None, 1, {"x": 1}, {1: ARRAYS[0]}, OrderedDict(x=ARRAYS[0]),
            {"a\0b": ARRAYS[0]}, {"\ud800": ARRAYS[0]}, {"x" * 70_000: ARRAYS[0]},
            *({"x": array} for array in ODD_ARRAYS),
        ],
        damaged=[
            b"", b"PK", b"no zip at all", zipped("x.txt", b"text"), zipped("x.npy", b"text"),
            *(zipped("x.npy", data) for data in DAMAGED_ARRAYS),
            zipped("x.npy", DAMAGED_ARRAYS[-2], zipfile.ZIP_BZIP2),
        ],
    ),
    "safetensors": FormatSamples(
        values=[
            *named([array for array in ARRAYS if array.dtype.isnative]),
            {name: np.arange(2) for name in NAMES},
            *({"x": np.array([1, 0], dtype)} for dtype in SAFE),
            {"x": np.arange(6).reshape(2, 3).T, "y": np.broadcast_to(np.float32(1), (2, 2))},
        ],
        refused=[
            ARRAYS[0], None, 1, {"x": 1}, {1: ARRAYS[0]}, {"__metadata__": ARRAYS[0]},
            {"\ud800": ARRAYS[0]},
            *({"x": array} for array in [*ODD_ARRAYS, *MORE_ARRAYS, np.array([1], ">i4")]),
        ],
        damaged=[
            b"", b"\0" * 8, b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{", b"no tensors at all",
            tensors('{"x":{"dtype":"F64","shape":[1000000000000000],"data_offsets":[0,8]}}', b"12345678"),
            tensors('{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', b"12"),
            tensors('{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}', b"1234567"),
        ],
    ),
    "parquet": frames(),
    "arrow": frames(),
    "json": FormatSamples(
        values=[
            {}, [], {"a": [1, 2.5, True, None, "é"]}, [[[]]], 0, -1, 2**70, 1.5, 1e300, -0.0,
            True, False, None, "text", "", "\ud800", {"": {"\0": "\u2028"}}, float("inf"),
        ],
        refused=[
            (1, 2), {1}, b"x", {1: 2}, {"a": {None: 1}}, [{"a": (1,)}], NOON, object(), CIRCULAR,
            [object(), CIRCULAR], DEEP, 10**5000, {"x": Decimal(1)},
        ],
        damaged=[b"", b"{", b'{"a": 1', b"nope", b"\xff\xfe\xfa", b"[" * 200_000, b"1" * 5000, b"{} x"],
        conversions=[(1, float, 1.0), (True, bool, True), ({"a": 1}, dict, {"a": 1})],
    ),
    "text": FormatSamples(
        values=["", "text", "naïve\r\n\n", "\ufeffmark", "\0", "\U0001f600"],
        refused=[b"x", 1, None, ["x"], "\ud800"],
        damaged=[b"\xff\xfe", b"ok \xc3", b"\xed\xa0\x80"],
    ),
    "bytes": FormatSamples(
        values=[b"", b"\0", b"bytes", bytes(range(256))],
        refused=["x", 1, None, [b"x"]],
        conversions=[
            (b"x", bytearray, bytearray(b"x")),
            (bytearray(b"x"), bytes, b"x"),
            (memoryview(b"xyz")[::2], bytes, b"xz"),
        ],
    ),
    "pickle": FormatSamples(
        values=[None, 1, (1, 2), {1: {2}}, b"x", "é", NOON, OrderedDict(a=1), TABLE, INDEXED],
        refused=[lambda: 1, (n for n in range(3)), memoryview(b"x"), DEEP],
        damaged=[b"", b"\x80", b"\x80\x05", b"no pickle", pickle.dumps([1, 2])[:-1], b"cno.module\nX\n."],
    ),
}  # fmt: skip


SAMPLES["cloudpickle"] = replace(SAMPLES["pickle"], refused=[(n for n in range(3)), DEEP])
#: Files that are there anyway.
FILES = [Path(__file__).resolve(), Path(__file__).resolve().parents[2] / "README.md"]
SAMPLES["file"] = FormatSamples(
    values=FILES,
    refused=["x", b"x", None, FILES[0].parent, Path("no such file")],
    conversions=[(FILES[0], PurePath, FILES[0])],
)

_ANY_CLASS = "a pickle gives what it holds; Dagster checks the type"
_NO_INT8 = "text has no int8 without column_types"
TABLES = [name for name in names("formats") if isinstance(get_format(name), TableFormat)]

GAPS = {
    ("cloudpickle", "test_a_class_that_it_cannot_give"): _ANY_CLASS,
    ("pickle", "test_a_class_that_it_cannot_give"): _ANY_CLASS,
    ("csv", "test_concat_promotes_small_integers"): _NO_INT8,
    ("ndjson", "test_concat_promotes_small_integers"): _NO_INT8,
}


class TestFormats(FormatConformance):
    @pytest.fixture(params=names("formats"))
    def format(self, request: pytest.FixtureRequest) -> Format:
        reason = GAPS.get((request.param, request.function.__name__))
        if reason:
            request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
        return get_format(request.param)

    @pytest.fixture
    def samples(self, format: Format) -> FormatSamples:
        assert format.name in SAMPLES, f"add samples of format {format.name!r} to SAMPLES"
        return SAMPLES[format.name]

    def test_the_entry_point_has_its_name(self, format: Format) -> None:
        assert format.name in names("formats")
        assert get_format(format.name) is format


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@settings(max_examples=100)
@given(table=arrow_tables())
def test_any_table_comes_back(name: str, table: pa.Table) -> None:
    stored = payload_of(get_format(name).encode(table))
    assert_same(get_format(name).decode(stored, None), table)


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@settings(max_examples=300, deadline=None)
@given(table=any_arrow_tables())
def test_tables_of_every_type_come_back(name: str, table: pa.Table) -> None:
    try:
        stored = payload_of(get_format(name).encode(table))
    except EncodeError as error:
        # Nulls among lists of a fixed size, which Arrow before 26 does not read from Parquet.
        assert name == "parquet"
        assert "upgrade pyarrow" in str(error.hint)  # noqa: PT017
        assert int(pa.__version__.partition(".")[0]) < 26
        return
    loaded = get_format(name).decode(stored, None)
    assert_same(loaded, table)
    for column, written in zip(loaded.columns, table.columns, strict=True):
        if pa.types.is_dictionary(written.type) and written.num_chunks == 1:
            # Values that no row has, too, and in their order: to pandas they are categories.
            found: Any = column.unify_dictionaries().chunk(0)
            expected: Any = written.chunk(0)
            assert found.dictionary.equals(expected.dictionary)


@pytest.mark.parametrize("name", ["csv", "ndjson"])
@pytest.mark.parametrize("typed", [False, True], ids=["guessed", "typed"])
@settings(max_examples=100)
@given(table=arrow_tables())
def test_any_table_comes_back_or_is_refused(name: str, typed: bool, table: pa.Table) -> None:  # noqa: FBT001
    types = {field.name: str(field.type) for field in table.schema} if typed else None
    chosen = with_options(format_class(name), name, {"column_types": types}, {})
    try:
        stored = payload_of(chosen.encode(table))
    except EncodeError as error:
        assert error.hint  # noqa: PT017 - no error is fine, too
        assert any(repr(column) in str(error) for column in table.column_names)  # noqa: PT017
        # What has a type is refused only for what it is.
        assert not typed or any(not _has_text(name, column) for column in table.columns)
        return
    back = chosen.decode(stored, pa.Table)
    assert back.schema.equals(table.schema)
    # Rows of Python objects, and not what the format compares by itself; repr knows signed zeros.
    assert repr(back.to_pylist()) == repr(table.to_pylist())


def _has_text(name: str, column: pa.ChunkedArray[Any]) -> bool:
    if (
        name == "ndjson"
        and pa.types.is_floating(column.type)
        and pc.is_inf(column).to_pylist().count(True)
    ):
        return False
    return not pa.types.is_nested(column.type) and not pa.types.is_binary(column.type)


@settings(max_examples=300)
@given(json_values())
def test_any_plain_value_comes_back(value: Any) -> None:
    stored = payload_of(get_format("json").encode(value))
    assert_same(get_format("json").decode(stored, None), value)


def claimed(samples: FormatSamples) -> set[str | None]:
    classes: list[type] = [type(value) for value in samples.values]
    return {found.name if (found := format_for_type(cls)) else None for cls in classes}


def test_samples_are_claimed_by_their_formats() -> None:
    assert claimed(SAMPLES["json"]) == {"json", "text"}
    assert claimed(SAMPLES["text"]) == {"text"}
    assert claimed(SAMPLES["bytes"]) == {"bytes"}
    assert claimed(SAMPLES["arrow"]) == {"parquet"}


def test_pickle_claims_nothing() -> None:
    assert get_format("pickle").claims == ()


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_flipped_bits_in_a_foreign_table_are_never_another_error(name: str) -> None:
    # In the notes of pandas, or in offsets: without a digest nothing has been verified before.
    chosen = get_format(name)
    whole = payload_of(chosen.encode(INDEXED))
    foreign = replace(whole.info, header=None)
    outcomes = set()
    for position in range(0, len(whole.data), 3):
        damaged = bytearray(whole.data)
        damaged[position] ^= 1 << (position % 7)
        try:
            chosen.decode(Payload(bytes(damaged), foreign), None)
        except Exception as error:  # noqa: BLE001
            outcomes.add(type(error).__name__)
    assert outcomes == {"DecodeError"}


def test_a_subclass_of_a_frame_comes_back_as_that_frame() -> None:
    class Own(pd.DataFrame):
        pass

    stored = payload_of(get_format("parquet").encode(Own({"n": [1]})))
    assert_same(get_format("parquet").decode(stored, None), pd.DataFrame({"n": [1]}))


@pytest.mark.parametrize("name", TABLES)
def test_wide_tables_take_time_in_proportion(name: str) -> None:
    # Looking for each of 5,000 names in a list of 5,000 took NDJSON a minute.
    table = pa.table({f"c{i}": [1, 2] for i in range(5000)})
    chosen = get_format(name)
    begun = clock.process_time()
    stored = payload_of(chosen.encode(table))
    assert chosen.decode(stored, None).equals(table)
    projected: Any = Formats().having({"columns": ["c7"], "filters": [("c4999", ">", 1)]})
    assert projected.named(name).decode(stored, pa.Table).to_pydict() == {"c7": [2]}
    assert clock.process_time() - begun < 10
