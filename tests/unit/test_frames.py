from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats import parquet_types
from dagster_buckets.formats.arrow_tables import to_arrow
from dagster_buckets.formats.frames import (
    can_convert,
    concat_tables,
    empty_frame,
    from_arrow,
    is_frame_type,
    qualified,
)
from dagster_buckets.plugins import get_format
from dagster_buckets.testing.formats import assert_same, payload_of

FRAMES: dict[type, Any] = {
    pd.DataFrame: pd.DataFrame({"x": [1, 2], "y": [0.5, 1.5]}),
    pl.DataFrame: pl.DataFrame({"x": [1, 2], "y": [0.5, 1.5]}),
    pa.Table: pa.table({"x": [1, 2], "y": [0.5, 1.5]}),
    pa.RecordBatch: pa.RecordBatch.from_pydict({"x": [1, 2], "y": [0.5, 1.5]}),
}


@pytest.mark.parametrize(("written", "asked"), list(product(FRAMES, FRAMES)), ids=qualified)
def test_every_frame_as_every_other(written: type, asked: type) -> None:
    found = from_arrow(to_arrow(FRAMES[written], "x"), asked, "u")
    if written is pd.DataFrame and asked in (pa.Table, pa.RecordBatch):
        # What pandas notes in the schema stays, so that it can be made again.
        found = found.replace_schema_metadata()
    assert_same(found, FRAMES[asked])


@pytest.mark.parametrize("written", FRAMES, ids=qualified)
def test_every_frame_as_numpy(written: type) -> None:
    found = from_arrow(to_arrow(FRAMES[written], "x"), np.ndarray, "u")
    assert_same(found, np.array([[1.0, 0.5], [2.0, 1.5]]))


def test_numpy_of_mixed_columns_keeps_the_values() -> None:
    frame = pd.DataFrame({"n": [1, 2], "s": ["a", "b"]}, index=pd.Index([5, 6], name="i"))
    found = from_arrow(to_arrow(frame, "x"), np.ndarray, "u")
    assert found.tolist() == [[1, "a"], [2, "b"]]
    assert found.dtype == object


def test_numpy_of_no_columns() -> None:
    assert from_arrow(pa.table({}), np.ndarray, "u").shape == (0, 0)


@pytest.mark.parametrize("written", FRAMES, ids=qualified)
def test_the_class_of_the_writer_is_remembered(written: type) -> None:
    table = to_arrow(FRAMES[written], "x")
    assert_same(from_arrow(table, None, "u"), FRAMES[written])


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(2),
        pd.RangeIndex(5, 9, 2, name="r"),
        pd.Index(["a", "b"], name="i"),
        pd.Index([3, 3]),
        pd.DatetimeIndex(["2024-01-01", "2024-06-01"], tz="UTC", name="t"),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["l", None]),
    ],
    ids=lambda index: type(index).__name__,
)
def test_the_index_survives(index: pd.Index[Any]) -> None:
    frame = pd.DataFrame({"n": [1, 2]}, index=index)
    assert_same(from_arrow(to_arrow(frame, "x"), None, "u"), frame)


def test_tables_of_others() -> None:
    plain = pa.table({"n": [1]})
    assert_same(from_arrow(plain, None, "u"), plain)
    by_pandas = pa.Table.from_pandas(pd.DataFrame({"n": [1]}))
    assert_same(from_arrow(by_pandas, None, "u"), pd.DataFrame({"n": [1]}))


def test_a_writer_that_is_unknown_here_gives_a_table() -> None:
    note = {b"dagster-buckets": json.dumps({"class": "own.Frame"}).encode()}
    table = pa.table({"n": [1]}).replace_schema_metadata(note)
    assert_same(from_arrow(table, None, "u"), pa.table({"n": [1]}))


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b'{"class": []}'])
def test_a_damaged_note_is_a_decode_error(note: bytes) -> None:
    table = pa.table({"n": [1]}).replace_schema_metadata({b"dagster-buckets": note})
    with pytest.raises(DecodeError, match="memory://u"):
        from_arrow(table, None, "memory://u")
    assert_same(from_arrow(table, pa.Table, "memory://u"), pa.table({"n": [1]}))


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a'"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "'a'"),
        (pd.DataFrame({1: [1], "b": [2]}), "1"),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])), "x"),
        (pd.DataFrame({"mixed": [1, "text"]}), "mixed"),
    ],
    ids=["twice", "twice in Arrow", "number", "levels", "mixed types"],
)
def test_odd_columns_are_refused_and_named(frame: Any, named: str) -> None:
    with pytest.raises(EncodeError) as caught:
        to_arrow(frame, "x")
    assert named in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("value", [1, "text", None, np.array([1]), [1], object()])
def test_what_is_no_frame(value: Any) -> None:
    with pytest.raises(UnsupportedTypeError, match="format 'x' writes frames"):
        to_arrow(value, "x")


def test_a_class_that_is_no_frame() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"memory://u .* builtins\.int"):
        from_arrow(pa.table({"n": [1]}), int, "memory://u")


@pytest.mark.parametrize("cls", [*FRAMES, np.ndarray], ids=qualified)
def test_frame_types(cls: type) -> None:
    assert is_frame_type(cls)
    assert len(empty_frame(cls)) == 0
    assert isinstance(empty_frame(cls), cls)


@pytest.mark.parametrize("cls", [int, dict, list, str, object, pd.Series], ids=qualified)
def test_not_frame_types(cls: type) -> None:
    assert not is_frame_type(cls)
    assert not can_convert(cls)


@pytest.mark.parametrize("written", FRAMES, ids=qualified)
def test_every_frame_as_a_reader(written: type) -> None:
    table = to_arrow(FRAMES[written], "x")
    reader = from_arrow(table, pa.RecordBatchReader, "u")
    assert isinstance(reader, pa.RecordBatchReader)
    assert b"dagster-buckets" not in (reader.schema.metadata or {})
    assert_same(reader.read_all(), from_arrow(table, pa.Table, "u"))


def test_a_reader_is_read_once_so_several_do_not_make_one() -> None:
    assert can_convert(pa.RecordBatchReader)
    assert not is_frame_type(pa.RecordBatchReader)
    assert empty_frame(pa.RecordBatchReader).read_all().num_rows == 0


def test_what_a_reader_wrote_comes_back_as_a_table() -> None:
    table = pa.table({"n": [1, 2]})
    assert_same(from_arrow(to_arrow(table.to_reader(), "x"), None, "u"), table)


def test_concat_leaves_a_damaged_note_to_those_who_need_it() -> None:
    tables = [pa.table({"n": [n]}).replace_schema_metadata({b"pandas": b"{"}) for n in (1, 2)]
    joined = concat_tables(tables, ["u1", "u2"])
    assert from_arrow(joined, pl.DataFrame, "u")["n"].to_list() == [1, 2]
    with pytest.raises(DecodeError, match="memory://u"):
        from_arrow(joined, pd.DataFrame, "memory://u")


def test_values_are_shared_not_changed() -> None:
    table = pa.table({"n": [1]})
    written = to_arrow(table, "x")
    assert table.schema.equals(pa.schema({"n": pa.int64()}), check_metadata=True)
    before, after = (t.to_batches()[0].column(0).buffers()[1] for t in (table, written))
    assert before is not None
    assert after is not None
    assert before.address == after.address


def test_concat_of_pandas_partitions_makes_a_new_range() -> None:
    tables = [to_arrow(pd.DataFrame({"n": n}), "x") for n in ([1, 2], [3])]
    joined = from_arrow(concat_tables(tables, ["u1", "u2"]), None, "u")
    assert_same(joined, pd.DataFrame({"n": [1, 2, 3]}))


def test_concat_does_not_keep_the_range_of_the_first_partition() -> None:
    first = pd.DataFrame({"n": [1, 2]}, index=pd.RangeIndex(5, 7))
    tables = [to_arrow(part, "x") for part in (first, first.iloc[:0])]
    joined = from_arrow(concat_tables(tables, ["u1", "u2"]), pd.DataFrame, "u")
    assert_same(joined, pd.DataFrame({"n": [1, 2]}))


def test_concat_of_pandas_partitions_keeps_a_named_index() -> None:
    parts = [pd.DataFrame({"n": [n]}, index=pd.Index([f"k{n}"], name="k")) for n in (1, 2)]
    tables = [to_arrow(part, "x") for part in parts]
    joined = from_arrow(concat_tables(tables, ["u1", "u2"]), pd.DataFrame, "u")
    assert_same(joined, pd.concat(parts))


def test_concat_promotes_and_fills() -> None:
    parts = [pa.table({"n": [1]}), pa.table({"n": [0.5], "s": ["x"]}), pa.table({"n": pa.nulls(1)})]
    joined = concat_tables(parts, ["u1", "u2", "u3"])
    assert joined.to_pydict() == {"n": [1.0, 0.5, None], "s": [None, "x", None]}


def test_concat_names_the_column_and_the_object() -> None:
    parts = [pa.table({"ok": [1], "odd": [1]}), pa.table({"ok": [1], "odd": ["x"]})]
    with pytest.raises(DecodeError) as caught:
        concat_tables(parts, ["memory://one", "memory://two"])
    assert "odd" in str(caught.value)
    assert "memory://two" in str(caught.value)


FIXED = pa.list_(pa.int8(), 2)
WITH_NULLS: dict[str, Any] = {
    "one": pa.array([[1, 2], None], FIXED),
    "list": pa.array([[[1, 2], None]], pa.list_(FIXED)),
    "struct": pa.array([{"a": None}], pa.struct([pa.field("a", FIXED)])),
    "map": pa.array([[("k", None)]], pa.map_(pa.string(), FIXED)),
    "fixed": pa.array([[[1, 2], None]], pa.list_(FIXED, 2)),
}


@pytest.mark.parametrize("kind", WITH_NULLS)
def test_what_arrow_could_not_read_again_is_not_written(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_types, "_ARROW", 25)
    table = pa.table(
        {"fine": pa.array([[1, 2]] * len(WITH_NULLS[kind]), FIXED), "odd one": WITH_NULLS[kind]}
    )
    for value in (table, table.to_reader()):
        with pytest.raises(EncodeError, match="'odd one'") as caught:
            get_format("parquet").encode(value).joined()
        assert "upgrade pyarrow" in str(caught.value.hint)
    plain = table.select(["fine"])
    stored = payload_of(get_format("parquet").encode(plain))
    assert get_format("parquet").decode(stored, None).equals(plain)
