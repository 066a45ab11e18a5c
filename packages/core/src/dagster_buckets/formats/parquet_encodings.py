"""Encodings of Parquet: which columns are worth a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["dictionary_columns"]

#: Rows of a table that are looked at; smaller tables are not worth it.
_SAMPLE = 32_768


def dictionary_columns(table: pa.Table) -> bool | list[str]:
    """What Arrow's Parquet writer calls ``use_dictionary``: columns whose values repeat.

    Arrow makes dictionaries of all columns. Of one whose values do not repeat that takes three
    times the CPU, and the dictionary of a group of rows is larger than the values are.

    Args:
        table: All that is written, or its beginning. Of a column with another type within nobody
            looks at the values.

    Returns:
        The paths of leaf columns; ``True`` for all of them.
    """
    if table.num_rows < _SAMPLE:
        return True
    start = (table.num_rows - _SAMPLE) // 2
    sample = table.slice(start, _SAMPLE)
    plain = {
        field.name
        for field, column in zip(sample.schema, sample.columns, strict=True)
        if not field.type.num_fields and _is_various(column)
    }
    if not plain or len(plain) == len(table.column_names):
        return not plain
    return [path for path in _leaves(table.schema) if path not in plain]


def _is_various(column: pa.ChunkedArray[Any]) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type) or pa.types.is_boolean(column.type):
        return False
    try:
        distinct: int = pc.count_distinct(column, mode="only_valid").as_py()
    except pa.ArrowNotImplementedError:
        return False
    return distinct > (len(column) - column.null_count) // 2


def _leaves(schema: pa.Schema) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [leaves.column(number).path for number in range(len(leaves))]
