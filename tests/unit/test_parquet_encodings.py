"""Which columns of Parquet get a dictionary, and what it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.parquet_encodings import dictionary_columns

ROWS = 200_000
RANDOM = np.random.default_rng(7)
TABLE = pa.table(
    {
        "unique": pa.array(RANDOM.random(ROWS)),
        "few": pa.array(RANDOM.integers(0, 100, ROWS)),
        "ids": pa.array([f"id-{number}" for number in range(ROWS)]),
        "shops": pa.array([f"shop {number % 50}" for number in range(ROWS)]),
        "flag": pa.array(np.arange(ROWS) % 3 == 0),
        "gaps": pa.array([None if n % 1000 else n % 5 for n in range(ROWS)], pa.int64()),
        "category": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        "list": pa.array([[n % 7, n] for n in range(ROWS)]),
        "struct": pa.array([{"x": n, "y": "y"} for n in range(ROWS)]),
        "null": pa.nulls(ROWS),
    }
)
REPEATING = [
    "few",
    "shops",
    "flag",
    "gaps",
    "category",
    "list.list.element",
    "struct.x",
    "struct.y",
]


def _with_dictionaries(value: Any) -> set[str]:
    footer = pq.read_metadata(pa.BufferReader(b"".join(ParquetFormat().encode(value))))
    group = footer.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {column.path_in_schema for column in columns if column.has_dictionary_page}


def test_columns_whose_values_repeat_have_dictionaries() -> None:
    found = dictionary_columns(TABLE)
    assert isinstance(found, list)
    assert set(found) - {"null"} == set(REPEATING)
    # Arrow never makes one of booleans.
    assert _with_dictionaries(TABLE) - {"null"} == {*REPEATING} - {"flag"}


def test_streams_are_judged_by_their_beginning() -> None:
    reader = pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches(50_000))
    assert "unique" not in _with_dictionaries(reader)
    assert "few" in _with_dictionaries(
        pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches())
    )


def test_all_of_one_kind() -> None:
    assert dictionary_columns(TABLE.select(["unique", "ids"])) is False
    assert dictionary_columns(TABLE.select(["few", "list"])) is True
    assert dictionary_columns(TABLE.slice(0, 1000)) is True
    assert dictionary_columns(pa.table({})) is True


def test_it_is_smaller_than_with_dictionaries() -> None:
    numbers = pa.table({"x": pa.array(RANDOM.random(ROWS))})
    sink = pa.BufferOutputStream()
    pq.write_table(numbers, sink, compression="zstd", row_group_size=128_000)
    ours = len(b"".join(ParquetFormat().encode(numbers)))
    assert ours < 0.9 * sink.getvalue().size


def test_it_comes_back() -> None:
    body = ParquetFormat().encode(TABLE)
    assert pq.read_table(pa.BufferReader(b"".join(body))).equals(TABLE)
