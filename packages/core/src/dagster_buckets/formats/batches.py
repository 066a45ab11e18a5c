"""Batches: the tables of many objects as one stream, never more than one of them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.frames import shared_notes, without_note
from dagster_buckets.formats.schemas import fitted, with_constants, without_notes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["stream_batches"]


def stream_batches(
    tables: Iterator[tuple[str, pa.Table]], columns: Iterable[Mapping[str, str]] | None = None
) -> pa.RecordBatchReader:
    """The rows of all tables, in order, as a stream that holds one table at a time.

    The first table is taken at once, for its schema; every other one when the rows before it
    have been read. The schema is that of the first: later tables are cast to it where no value
    changes, with nulls in the columns that they lack. No table, no columns and no rows.

    What the iterator raises, and the errors below, reach those who read the stream with Arrow as
    they are. Other libraries raise errors of their own whose text holds them.

    Args:
        tables: ``(uri, table)``, the URI for errors.
        columns: Of each table the constant string columns to add, after all others.

    Raises:
        DecodeError: From the reader as well: a table has a column that the first one lacks, a
            value that the first one's type cannot hold, or a column that is to be added. Names the
            column and the object.

    Example:
        >>> import pyarrow as pa
        >>> days = iter([("d1", pa.table({"n": [1]})), ("d2", pa.table({"n": [2, 3]}))])
        >>> reader = stream_batches(days, [{"day": "1"}, {"day": "2"}])
        >>> [batch.to_pydict() for batch in reader]
        [{'n': [1], 'day': ['1']}, {'n': [2, 3], 'day': ['2', '2']}]
    """
    import pyarrow as pa

    constants = None if columns is None else iter(columns)
    pending = _take(tables, constants)
    if pending is None:
        return pa.table({}).to_reader()
    first, table = pending
    notes = without_note(shared_notes(table.schema))
    # Others may lack a column, or note other values of an Enum.
    fields = [without_notes(field).with_nullable(nullable=True) for field in table.schema]
    schema = pa.schema(fields, notes)
    del table

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal pending
        while pending is not None:
            waiting = _batches_of(pending, schema, first)
            # Nothing may hold this table any more when the next one is read.
            pending = None
            while waiting:
                yield waiting.pop()
            pending = _take(tables, constants)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _take(
    tables: Iterator[tuple[str, pa.Table]], columns: Iterator[Mapping[str, str]] | None
) -> tuple[str, pa.Table] | None:
    pair = next(tables, None)
    if pair is None or columns is None:
        return pair
    uri, table = pair
    return uri, with_constants(table, next(columns), uri)


def _batches_of(pair: tuple[str, pa.Table], schema: pa.Schema, first: str) -> list[pa.RecordBatch]:
    """The batches of one table in the stream's schema, the last one first."""
    uri, table = pair
    _refuse_more_columns(table, uri, schema, first)
    return fitted(table, schema, uri).to_batches()[::-1]


def _refuse_more_columns(table: pa.Table, uri: str, schema: pa.Schema, first: str) -> None:
    more = next((name for name in table.column_names if name not in schema.names), None)
    if more is not None:
        msg = f"{uri} has a column {more!r}, which {first}, the first of the stream, does not have"
        hint = "load the partitions as pyarrow.Table or pyarrow.dataset.Dataset, which join columns"
        raise DecodeError(msg, uri=uri, hint=hint)
