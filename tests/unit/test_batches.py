from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import DecodeError, ObjectNotFoundError
from dagster_buckets.formats.arrow_tables import to_arrow
from dagster_buckets.formats.batches import Rows, stream_batches


def stream(
    *tables: pa.Table, columns: Sequence[Mapping[str, str]] | None = None
) -> pa.RecordBatchReader:
    constants = columns or [{}] * len(tables)
    return stream_batches(
        Rows(f"memory://{i}", table.to_reader(), constants[i]) for i, table in enumerate(tables)
    )


def test_one_after_another() -> None:
    parts = [pa.table({"n": [1, 2]}), pa.table([pa.chunked_array([[3], [4]])], names=["n"])]
    assert [batch.to_pydict() for batch in stream(*parts)] == [
        {"n": [1, 2]},
        {"n": [3]},
        {"n": [4]},
    ]


def test_no_table() -> None:
    reader = stream()
    assert reader.schema.names == []
    assert reader.read_all().num_rows == 0


def test_tables_without_rows() -> None:
    empty = pa.table({"n": pa.array([], pa.int64())})
    assert stream(empty, pa.table({"n": [1]}), empty).read_all().to_pydict() == {"n": [1]}


def test_the_first_schema_decides() -> None:
    parts = [
        pa.table({"n": pa.array([1], pa.int64()), "s": ["a"]}),
        pa.table({"s": pa.array(["b"], pa.large_string()), "n": pa.array([2], pa.int8())}),
        pa.table({"n": pa.nulls(1)}),
        pa.table({"n": [4.0]}),
    ]
    joined = stream(*parts).read_all()
    assert joined.schema.types == [pa.int64(), pa.string()]
    assert joined.to_pydict() == {"n": [1, 2, None, 4], "s": ["a", "b", None, None]}


@pytest.mark.parametrize(
    "later",
    [pa.table({"odd one": [0.5]}), pa.table({"odd one": ["x"]}), pa.table({"odd one": [[1]]})],
)
def test_a_value_that_would_change(later: pa.Table) -> None:
    reader = stream(pa.table({"odd one": [1]}), later)
    assert reader.read_next_batch().num_rows == 1
    with pytest.raises(DecodeError) as caught:
        reader.read_next_batch()
    assert "'odd one'" in str(caught.value)
    assert caught.value.uri == "memory://1"
    assert caught.value.hint


def test_a_column_that_the_first_lacks() -> None:
    reader = stream(pa.table({"n": [1]}), pa.table({"n": [1], "more": [1]}))
    reader.read_next_batch()
    with pytest.raises(DecodeError, match=r"memory://1 has a column 'more'.* memory://0") as caught:
        reader.read_next_batch()
    assert caught.value.hint


def test_nulls_where_the_first_allows_none() -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("m", pa.int64())])
    joined = stream(pa.table({"n": [1], "m": [1]}, schema), pa.table({"m": [2]})).read_all()
    joined.validate(full=True)
    assert joined.schema.field("n").nullable


def test_constant_columns() -> None:
    parts = [pa.table({"n": [1]}), pa.table({"n": [2]})]
    joined = stream(*parts, columns=[{"day": "001"}, {"day": "2"}]).read_all()
    assert joined.to_pydict() == {"n": [1, 2], "day": ["001", "2"]}
    assert joined.schema.field("day").type == pa.string()
    with pytest.raises(DecodeError, match=r"memory://0 has a column 'n'"):
        stream(*parts, columns=[{"n": "1"}, {"n": "2"}])


def test_categories_of_their_own() -> None:
    parts = [pa.table({"c": pa.array([v]).dictionary_encode()}) for v in ("a", "b")]
    assert stream(*parts).read_all()["c"].to_pylist() == ["a", "b"]


def test_notes_of_one_object_are_not_those_of_all() -> None:
    parts = [to_arrow(pd.DataFrame({"n": [n]}, index=pd.RangeIndex(5, 6)), "x") for n in (1, 2)]
    joined = stream(*parts).read_all()
    assert not joined.schema.metadata
    pd.testing.assert_frame_equal(joined.to_pandas(), pd.DataFrame({"n": [1, 2]}))


def test_an_index_of_pandas_survives() -> None:
    parts = [pd.DataFrame({"n": [n]}, index=pd.Index([f"k{n}"], name="k")) for n in (1, 2)]
    found = stream(*(to_arrow(part, "x") for part in parts)).read_pandas()
    pd.testing.assert_frame_equal(found, pd.concat(parts))


@pytest.mark.parametrize("columns", [None, [{"day": str(i)} for i in range(5)]])
@pytest.mark.parametrize("kind", [pa.int64(), pa.int32()])
def test_one_table_in_memory(columns: Any, kind: pa.DataType) -> None:
    size, base = 8_000_000, pa.total_allocated_bytes()
    taken = 0

    def make(i: int) -> Rows:
        value: Any = pa.scalar(i, kind if i else pa.int64())
        values = pa.repeat(value, size // 8)
        constants = columns[i] if columns else {}
        return Rows(f"memory://{i}", pa.table({"n": values}).to_reader(), constants)

    def objects() -> Iterator[Rows]:
        nonlocal taken
        for i in range(5):
            assert pa.total_allocated_bytes() - base < size / 4
            taken += 1
            yield make(i)

    reader = stream_batches(objects())
    for i in range(5):
        assert taken == max(1, i)
        assert reader.read_next_batch().num_rows == size // 8
    with pytest.raises(StopIteration):
        reader.read_next_batch()


BROKEN = [
    DecodeError("broken", uri="memory://1", hint="mend it"),
    ObjectNotFoundError("gone", uri="memory://1", hint="look for it"),
    KeyError("of another library"),
]


def breaks(error: Exception) -> pa.RecordBatchReader:
    def objects() -> Iterator[Rows]:
        yield Rows("memory://0", pa.table({"n": [1]}).to_reader())
        raise error

    return stream_batches(objects())


@pytest.mark.parametrize("error", BROKEN, ids=repr)
def test_errors_arrive_as_they_are(error: Exception) -> None:
    for read in (list, pa.RecordBatchReader.read_all, pl.from_arrow):
        with pytest.raises(type(error)) as caught:
            read(breaks(error))
        assert caught.value is error


@pytest.mark.parametrize("error", BROKEN, ids=repr)
def test_errors_reach_other_libraries_as_text(error: Exception) -> None:
    connection = duckdb.connect()
    with pytest.raises(duckdb.Error) as caught:
        connection.from_arrow(breaks(error)).fetchall()
    assert type(error).__name__ in str(caught.value)
    for line in str(error).splitlines():
        assert line in str(caught.value)


def test_an_error_of_the_first_table_is_raised_at_once() -> None:
    def objects() -> Iterator[Rows]:
        raise BROKEN[0]
        yield  # type: ignore[unreachable]

    with pytest.raises(DecodeError):
        stream_batches(objects())
