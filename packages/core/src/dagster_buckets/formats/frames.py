"""Frames: tables of any library, converted through Arrow.

Nothing is imported to find out whether a value is a frame: classes are told by their names, and a
library whose class a value has, or a consumer asks for, is imported already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import (
    DecodeError,
    MissingDependencyError,
    UnsupportedTypeError,
)
from dagster_buckets.formats.schemas import (
    constants_of,
    fitted,
    unified,
    with_constants,
    with_one_dictionary,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.objects import Buffer

__all__ = [
    "CLASS_NOTE",
    "FRAME_CLAIMS",
    "arrow_buffer",
    "can_convert",
    "comes_back_as",
    "comes_in_parts",
    "concat_tables",
    "empty_frame",
    "from_arrow",
    "index_of_pandas",
    "is_frame_type",
    "is_reader_type",
    "projected_stream",
    "qualified",
    "shared_notes",
    "without_note",
]

#: What ``format="auto"`` takes for a frame. pandas 3 renamed its classes' module.
FRAME_CLAIMS = (
    "pandas.DataFrame",
    "pandas.core.frame.DataFrame",
    "polars.dataframe.frame.DataFrame",
    "pyarrow.lib.Table",
    "pyarrow.lib.RecordBatch",
    "polars.lazyframe.frame.LazyFrame",
    "pyarrow._dataset.Dataset",
    "dask.dataframe.dask_expr._collection.DataFrame",
    "__arrow_c_stream__",
)

_POLARS = "polars.dataframe.frame.DataFrame"

#: Schema metadata that remembers the class that was written.
CLASS_NOTE = b"dagster-buckets"


def qualified(cls: type) -> str:
    """``module.QualName`` of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def projected_stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    """A reader of batches that may have notes of the writer's, which it has not."""
    import pyarrow as pa

    notes = without_note(schema.metadata)
    clean = schema.with_metadata(notes) if notes else schema.remove_metadata()
    return pa.RecordBatchReader.from_batches(
        clean, (batch.replace_schema_metadata(clean.metadata) for batch in batches)
    )


def index_of_pandas(schema: pa.Schema, as_type: type | None) -> list[str]:
    """The columns that hold the index, if a load as this class makes a frame of pandas."""
    convert = _converter(as_type) if as_type else _converter_of_writer(schema)
    if convert is not _to_pandas:
        return []
    with suppress(ValueError, LookupError, TypeError):
        return [n for n in _pandas_index(schema) if isinstance(n, str) and n in schema.names]
    return []


def from_arrow(table: pa.Table, as_type: type | None, uri: str) -> Any:
    """The table as an instance of ``as_type``, or as the class that was written.

    Raises:
        UnsupportedTypeError: No conversion to that class is known.
        MissingDependencyError: The library of that class is not installed.
    """
    if as_type is not None and _converter(as_type) is None:
        msg = f"{uri} holds a table, which cannot be loaded as {_spell(as_type)}"
        hint = "ask for a frame of pandas, Polars, Arrow or DuckDB, or for numpy.ndarray"
        raise UnsupportedTypeError(msg, uri=uri, hint=hint)
    try:
        convert = (as_type and _converter(as_type)) or _converter_of_writer(table.schema)
        return convert(table)
    except ModuleNotFoundError as error:
        msg = f"{uri} cannot be loaded as {_spell(as_type)} without the module {error.name!r}"
        hint = f"pip install {error.name}, or load it as pyarrow.Table"
        raise MissingDependencyError(msg, uri=uri, hint=hint) from error
    except Exception as error:
        # Each library reads the schema's notes with code of its own, and fails in ways of its own.
        msg = f"{uri} cannot be loaded as {_spell(as_type)}: {error}"
        raise DecodeError(msg, uri=uri, hint="load it as pyarrow.Table and convert it") from error


def arrow_buffer(data: Buffer) -> pa.Buffer:
    """The bytes in memory of Arrow's own: as they are if they are there already, else a copy.

    Arrow's threads may drop the last reference to what they read. If that is Python's memory, they
    need the interpreter's lock, and a process that is just ending is aborted (apache/arrow 45017).
    """
    import pyarrow as pa

    view = memoryview(data).cast("B")
    if isinstance(view.obj, pa.Buffer) and view.obj.size == len(view):
        return view.obj
    copy = pa.allocate_buffer(len(view))
    memoryview(copy).cast("B")[:] = view
    return copy


def is_frame_type(cls: type) -> bool:
    """Whether :func:`from_arrow` gives this class and several of them make one."""
    return qualified(cls) in _CONVERTERS


def comes_in_parts(cls: type) -> bool:
    """Whether values of this class are written in parts only: nobody holds all of one."""
    return qualified(cls) == "dask.dataframe.dask_expr._collection.DataFrame"


def is_reader_type(cls: type) -> bool:
    """Whether this class gives its rows batch by batch."""
    return qualified(cls) == "pyarrow.lib.RecordBatchReader"


def can_convert(cls: type) -> bool:
    """Whether :func:`from_arrow` gives this class: frames, and what can be read only once."""
    return _converter(cls) is not None


def empty_frame(cls: type) -> Any:
    """A frame (or reader) of this class without rows and columns."""
    import pyarrow as pa

    return from_arrow(pa.table({}), cls, "")


def concat_tables(
    tables: Sequence[pa.Table],
    uris: Sequence[str],
    columns: Sequence[Mapping[str, str]] | None = None,
) -> pa.Table:
    """The rows of all tables, in order; columns by name, numbers and nulls promoted.

    Args:
        tables: At least one.
        uris: Of the objects that they come from.
        columns: Of each the constant string columns to add, after all others.

    Raises:
        DecodeError: A column has types that do not go together, or values that the type which
            holds the others cannot; or a column to add is there already. Names it and the object.
    """
    import pyarrow as pa

    schemas = [table.schema for table in tables]
    schema = unified(schemas, uris)
    parts = []
    constants = constants_of(schemas, uris, columns)
    for table, uri, more in zip(tables, uris, constants, strict=True):
        parts.append(with_constants(fitted(table, schema, uri), more, uri))
    joined = with_one_dictionary(pa.concat_tables(parts))
    return joined.replace_schema_metadata(shared_notes(tables[0].schema))


def shared_notes(schema: pa.Schema) -> dict[Any, Any] | None:
    """The schema metadata of one object, less what does not hold for several of them together."""
    metadata = dict(schema.metadata or {})
    with suppress(ValueError, LookupError, TypeError):  # damaged: from_arrow says so, if need be
        if any(not isinstance(column, str) for column in _pandas_index(schema)):
            # A RangeIndex has no column, and its note the length of one object: a new one is made.
            metadata.pop(b"pandas")
    return metadata or None


def without_note(metadata: Mapping[Any, Any] | None) -> dict[Any, Any] | None:
    """Schema metadata less our own notes, of the class that was written and others."""
    own = tuple({key for key in metadata or {} if bytes(key).startswith(CLASS_NOTE)})
    return {key: value for key, value in (metadata or {}).items() if key not in own} or None


def _pandas_index(schema: pa.Schema) -> list[Any]:
    note = (schema.metadata or {}).get(b"pandas")
    return list(json.loads(note)["index_columns"]) if note else []


def _to_numpy(table: pa.Table) -> Any:
    import numpy as np

    index = _pandas_index(table.schema)
    columns = [table.column(name).to_numpy() for name in table.column_names if name not in index]
    if not columns:
        return np.empty((table.num_rows, 0))
    if any(column.dtype == object for column in columns):
        columns = [column.astype(object) for column in columns]
    return np.column_stack(columns)


def _to_pandas(table: pa.Table) -> Any:
    import pandas as pd

    frame = table.to_pandas()
    if not isinstance(frame, pd.DataFrame):  # pragma: no cover - Arrow always gives a frame
        raise TypeError(qualified(type(frame)))
    return frame


def _to_polars(table: pa.Table) -> Any:
    import polars as pl

    return pl.DataFrame(table.replace_schema_metadata())


def _to_table(table: pa.Table) -> Any:
    return table.replace_schema_metadata(without_note(table.schema.metadata))


def _to_batch(table: pa.Table) -> Any:
    import pyarrow as pa

    clean = _to_table(table)
    batches = clean.combine_chunks().to_batches()
    if len(batches) > 1:  # pragma: no cover - takes 2 GiB
        msg = "a column has more than 2 GiB, which one batch cannot hold"
        raise OverflowError(msg)
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=clean.schema)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "pandas.DataFrame": _to_pandas,
    "pandas.core.frame.DataFrame": _to_pandas,
    "polars.dataframe.frame.DataFrame": _to_polars,
    "pyarrow.lib.Table": _to_table,
    "pyarrow.lib.RecordBatch": _to_batch,
    "numpy.ndarray": _to_numpy,
}

#: What can be read only once: given on request, not because it was written, and never joined.
_ONCE: dict[str, Callable[[Any], Any]] = {
    "pyarrow.lib.RecordBatchReader": lambda table: _to_table(table).to_reader(),
}


#: As what a stream that was written comes back, where nothing else is asked for.
_HELD = {"polars.lazyframe.frame.LazyFrame": _POLARS}


def comes_back_as(cls: type) -> str:
    """The class that a frame of this class comes back as: of a subclass the frame that it is."""
    known = next((name for base in cls.__mro__ if (name := qualified(base)) in _CONVERTERS), None)
    return known or _HELD.get(qualified(cls), qualified(cls))


def _converter(cls: type) -> Callable[[Any], Any] | None:
    return (_CONVERTERS | _ONCE).get(qualified(cls))


def _converter_of_writer(schema: pa.Schema) -> Callable[[Any], Any]:
    metadata = schema.metadata or {}
    if CLASS_NOTE in metadata:
        written = json.loads(metadata[CLASS_NOTE]).get("class", "")
        return _CONVERTERS.get(written, _to_table)
    # Others wrote it: pandas leaves a note of its own.
    return _to_pandas if b"pandas" in metadata else _to_table


def _spell(cls: type | None) -> str:
    return "the class that wrote it" if cls is None else qualified(cls)
