"""Describing: what people are shown of a table that is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from dagster_buckets.objects import Column, Description

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MOST_ROWS", "Cell", "Described", "columns_of", "describe_table", "values_of"]

#: What a cell of a preview can be: what every consumer of JSON takes as it is.
Cell: TypeAlias = str | int | float | bool | None

#: No preview has more rows.
MOST_ROWS = 20
#: Letters of a cell.
_LONGEST = 100
#: Above so many bytes nested values are not looked into.
_NESTED = 64 * 1024
#: JavaScript's numbers are whole up to here.
_WHOLE = 2**53


class Described:
    """Counts the rows of a table that comes in batches, and keeps its first ones.

    Args:
        schema: Of the table.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows = 0
        self._head: list[dict[str, Cell]] = []

    def add(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Take notice of the next batches."""
        self._rows += sum(batch.num_rows for batch in batches)
        for batch in batches:
            if (left := MOST_ROWS - len(self._head)) <= 0:
                return
            self._head += _head(batch.slice(0, left))

    def description(self, rows: int) -> Description:
        """What came so far.

        Args:
            rows: How many of the first rows to give.
        """
        head = tuple(self._head[:rows]) if rows else None
        return Description(self._rows, columns_of(self._schema), head)


def describe_table(table: pa.Table, rows: int = 0) -> Description:
    """Its number of rows, its columns and, if they are asked for, its first rows."""
    head = tuple(_head(table.slice(0, min(rows, MOST_ROWS)))) if rows else None
    return Description(table.num_rows, columns_of(table.schema), head)


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns of an Arrow schema, as they are shown to people."""
    return tuple(Column(field.name, str(field.type), field.nullable) for field in schema)


def values_of(column: Any) -> Sequence[Any]:
    """The values of a column in Python's types; as text where Python has none for them."""
    import pyarrow as pa

    try:
        return cast("Sequence[Any]", column.to_pylist())
    except (ValueError, OverflowError):  # nanoseconds, and years that Python does not know
        return cast("Sequence[Any]", column.cast(pa.string()).to_pylist())


def _head(rows: pa.Table | pa.RecordBatch) -> list[dict[str, Cell]]:
    columns = [_shown(column) for column in rows.columns]
    names = rows.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _shown(column: Any) -> list[Cell]:
    """The values as cells. Long ones are never copied as a whole."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        lengths = pc.binary_length(column).to_pylist()
        return [None if length is None else f"{length:,} bytes" for length in lengths]
    if types.is_string(kind) or types.is_large_string(kind):
        column = pc.utf8_slice_codeunits(column, 0, _LONGEST + 1)
    elif types.is_nested(kind) and column.nbytes > _NESTED:
        return [f"({kind})" if there else None for there in column.is_valid().to_pylist()]
    return [_cell(value) for value in values_of(column)]


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _WHOLE:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
