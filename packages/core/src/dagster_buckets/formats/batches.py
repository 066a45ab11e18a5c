"""Batches: the rows of many objects as one stream, never more than one of them in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.frames import shared_notes, without_note
from dagster_buckets.formats.schemas import fitted, refuse_taken, with_constants, without_notes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "begun", "stream_batches"]


class Rows(NamedTuple):
    """The rows of one object.

    Attributes:
        uri: The object's, for errors.
        reader: Gives them.
        constants: The string columns to add, after all others.
    """

    uri: str
    reader: pa.RecordBatchReader
    constants: Mapping[str, str] = {}


def stream_batches(objects: Iterator[Rows]) -> pa.RecordBatchReader:
    """The rows of all readers, in order, as a stream that holds one reader at a time.

    The first reader is taken at once, for its schema; every other one when the rows before it
    have been read. The schema is that of the first: later rows are cast to it where no value
    changes, with nulls in the columns that they lack. No reader, no columns and no rows.

    What the iterator raises, and the errors below, reach those who read the stream with Arrow as
    they are. Other libraries raise errors of their own whose text holds them.

    Args:
        objects: One after another.

    Raises:
        DecodeError: From the stream as well: a reader has a column that the first one lacks, a
            value that the first one's type cannot hold, or a column that is to be added. Names the
            column and the object.

    Example:
        >>> import pyarrow as pa
        >>> days = {"d1": pa.table({"n": [1]}), "d2": pa.table({"n": [2, 3]})}
        >>> rows = (Rows(day, table.to_reader(), {"day": day}) for day, table in days.items())
        >>> [batch.to_pydict() for batch in stream_batches(rows)]
        [{'n': [1], 'day': ['d1']}, {'n': [2, 3], 'day': ['d2', 'd2']}]
    """
    import pyarrow as pa

    pending = next(objects, None)
    if pending is None:
        return pa.table({}).to_reader()
    first = pending.uri
    notes = without_note(shared_notes(pending.reader.schema))
    refuse_taken(pending.reader.schema, first, pending.constants)
    more = [pa.field(name, pa.string()) for name in pending.constants]
    # Others may lack a column, or note other values of an Enum.
    of_first = [*pending.reader.schema, *more]
    fields = [without_notes(field).with_nullable(nullable=True) for field in of_first]
    schema = pa.schema(fields, notes)

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal pending
        while pending is not None:
            uri, reader, more = pending
            # Nothing may hold this reader any more when the next one is taken.
            pending = None
            names = [*reader.schema.names, *more]
            _refuse_more_columns(names, uri, schema, first)
            for batch in reader:
                waiting = _fitted(batch, more, uri, schema)
                del batch
                while waiting:
                    yield waiting.pop()
            del reader
            pending = next(objects, None)

    return pa.RecordBatchReader.from_batches(schema, batches())


def begun(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows, of which the first batch is there already, and the next ones on their way."""
    import pyarrow as pa

    batches = iter(reader)
    first = list(islice(batches, 1))
    return pa.RecordBatchReader.from_batches(reader.schema, chain(first, batches))


def _fitted(
    batch: pa.RecordBatch, more: Mapping[str, str], uri: str, schema: pa.Schema
) -> list[pa.RecordBatch]:
    """The rows of a batch in the stream's schema, the last ones first."""
    import pyarrow as pa

    table = with_constants(pa.Table.from_batches([batch]), more, uri)
    return fitted(table, schema, uri).to_batches()[::-1]


def _refuse_more_columns(names: list[str], uri: str, schema: pa.Schema, first: str) -> None:
    more = next((name for name in names if name not in schema.names), None)
    if more is not None:
        msg = f"{uri} has a column {more!r}, which {first}, the first of the stream, does not have"
        hint = "load the partitions as pyarrow.Table or pyarrow.dataset.Dataset, which join columns"
        raise DecodeError(msg, uri=uri, hint=hint)
