"""Arrow tables: what frames of any library become before they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import EncodeError, UnsupportedTypeError
from dagster_buckets.formats import sources
from dagster_buckets.formats.frames import CLASS_NOTE, comes_back_as, qualified

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["noted", "to_arrow"]


def to_arrow(value: Any, format_name: str) -> pa.Table:
    """An Arrow table of any frame, with the writer's class in its schema metadata.

    Zero-copy where the library allows it (Polars, Arrow, and most NumPy-backed pandas columns).

    Raises:
        UnsupportedTypeError: The value is not a frame.
        EncodeError: Arrow cannot hold a column; the message names it.
    """
    import pyarrow as pa

    cls = type(value)
    try:
        if isinstance(value, pa.Table):
            table = value
        elif isinstance(value, pa.RecordBatch):
            table = pa.Table.from_batches([value])
        elif _is(cls, "pandas.DataFrame", "pandas.core.frame.DataFrame"):
            _refuse_odd_columns(value)
            table = _pandas_to_arrow(value)
        elif _is(cls, "polars.dataframe.frame.DataFrame"):
            table = _polars_to_arrow(value)
        elif (reader := sources.batches_of(value)) is not None:
            table = reader.read_all()
        else:
            msg = f"format {format_name!r} writes frames, not {qualified(cls)}"
            hint = "return a pandas, Polars or Arrow table, or choose another format"
            raise UnsupportedTypeError(msg, hint=hint)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        msg = f"Arrow cannot hold this {qualified(cls)}: {error}"
        hint = "give every column one type that Arrow knows, or choose format='pickle'"
        raise EncodeError(msg, hint=hint) from error
    if table.num_rows and not table.column_names:
        msg = f"a table needs columns to hold {table.num_rows:,} rows"
        raise EncodeError(msg, hint="add a column: of pandas, frame.reset_index()")
    return table.replace_schema_metadata(noted(table.schema, value).metadata)


def noted(schema: pa.Schema, value: Any) -> pa.Schema:
    """The schema of a frame, with its class in the metadata.

    Raises:
        EncodeError: Two columns have one name.
    """
    _refuse_duplicates(schema.names)
    cls = type(value)
    note = json.dumps({"class": comes_back_as(cls)}).encode()
    return schema.with_metadata({**(schema.metadata or {}), CLASS_NOTE: note})


def _pandas_to_arrow(frame: Any) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame)
    except TypeError as error:
        # Of sparse columns, and what else Arrow does not expect.
        msg = f"Arrow cannot hold this pandas.DataFrame: {error}"
        raise EncodeError(
            msg, hint="convert the column: sparse ones with .sparse.to_dense()"
        ) from error


def _polars_to_arrow(frame: Any) -> pa.Table:
    import polars as pl

    # Polars' own string views would come back as such, and Arrow can neither sort nor join them.
    table: pa.Table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    return table


def _is(cls: type, *names: str) -> bool:
    return any(qualified(base) in names for base in cls.__mro__)


def _refuse_odd_columns(frame: Any) -> None:
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        msg = f"column names must be strings, got {odd[:5]!r}"
        raise EncodeError(msg, hint="rename them: frame.columns = frame.columns.map(str)")
    _refuse_duplicates(list(frame.columns))


def _refuse_duplicates(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        msg = f"column names must be unique, twice: {twice[:5]!r}"
        raise EncodeError(msg, hint="rename the columns before the asset returns them")
