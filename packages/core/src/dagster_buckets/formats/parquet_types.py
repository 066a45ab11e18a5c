"""Parquet types: those of Arrow that Parquet has not, as they were before they were written.

Arrow keeps its schema in the file and restores most of it by itself. Left are seconds (which become
milliseconds), ``date64``, the names inside of lists and maps, and dictionaries of anything but
strings.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import EncodeError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["check_readable", "is_as_written", "original_schema", "restored", "with_dictionaries"]

_KEY = b"ARROW:schema"
#: Schema metadata: dictionaries by column, as Arrow streams in base64.
_DICTIONARIES = b"dagster-buckets-dictionaries"
_MOST_VALUES = 10_000

_ARROW = int(version("pyarrow").partition(".")[0])
_READS_NULL_LISTS = 26


def original_schema(footer: pq.FileMetaData) -> pa.Schema:
    """The schema that was written: Arrow's own where it is kept, else that of the file."""
    import pyarrow as pa

    found = footer.schema.to_arrow_schema()
    kept = (footer.metadata or {}).get(_KEY)
    written = None if kept is None else _arrow_schema(kept)
    if written is None or written.names != found.names:
        return found
    fields = [_chosen(field, written.field(place)) for place, field in enumerate(found)]
    whole = pa.schema(fields)
    return whole.with_metadata(found.metadata) if found.metadata else whole


@lru_cache(64)
def _arrow_schema(kept: bytes) -> pa.Schema | None:
    """What Arrow keeps in a file; the partitions of an asset mostly keep the same."""
    import pyarrow as pa

    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept)))
    except (pa.ArrowException, ValueError, OSError):
        return None  # another writer's may be anything


def is_as_written(schema: pa.Schema, footer: pq.FileMetaData) -> bool:
    """Whether these types, as Arrow has read them, are those that were written: a quick look."""
    import pyarrow as pa

    metadata = footer.metadata or {}
    if _DICTIONARIES in metadata:
        return False
    kept = metadata.get(_KEY)
    written = None if kept is None else _arrow_schema(kept)
    if written is not None and written.equals(schema, check_metadata=True):
        return True
    return not any(
        pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
        or kind.id in (pa.lib.Type_DATE32, pa.lib.Type_TIMESTAMP, pa.lib.Type_TIME32)
        for kind in schema.types
    )


def restored(table: pa.Table, original: pa.Schema) -> pa.Table:
    """The table with the types of these columns; nothing is copied where they are the same."""
    import pyarrow as pa

    metadata = dict(table.schema.metadata or {})
    kept = json.loads(metadata.pop(_DICTIONARIES, b"{}"))
    # Of others two columns may have one name: nothing was left out of those.
    whole: Any = table.schema.names == original.names
    for place, field in enumerate(table.schema):
        wanted = original.field(place if whole else field.name)
        if wanted.type.equals(field.type, check_metadata=True) and field.name not in kept:
            continue
        dictionary = None
        if field.name in kept:
            with pa.ipc.open_stream(base64.b64decode(kept[field.name])) as reader:
                dictionary = reader.read_all().column(0).combine_chunks()
        column = _cast(table.column(place), wanted.type, dictionary)
        table = table.set_column(place, field.with_type(wanted.type), column)
    return table.replace_schema_metadata(metadata or None)


def with_dictionaries(table: pa.Table) -> pa.Table:
    """The table with those of its dictionaries as a note that Parquet has no place for.

    They are the categories of pandas, in their order and with those that no row has.

    Raises:
        EncodeError: One of them has too many values for a note.
    """
    import pyarrow as pa

    lost = [
        field
        for field in table.schema
        if isinstance(field.type, pa.DictionaryType)
        and not (table.num_rows and _is_text(field.type.value_type))
    ]
    if not lost:
        return table
    kept = {}
    whole = table.select([field.name for field in lost]).unify_dictionaries()
    for field in lost:
        chunks: Any = whole.column(field.name).chunks
        values = chunks[0].dictionary if chunks else pa.array([], field.type.value_type)
        if len(values) > _MOST_VALUES:
            msg = f"Parquet keeps the {len(values):,} categories of column {field.name!r} only as "
            msg += "text"
            hint = "cast the column to its values, or its categories to str, or choose 'arrow'"
            raise EncodeError(msg, hint=hint)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema([pa.field("v", values.type)])) as writer:
            writer.write_table(pa.table({"v": values}))
        kept[field.name] = base64.b64encode(sink.getvalue()).decode()
    note = {_DICTIONARIES: json.dumps(kept).encode()}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **note})


def check_readable(table: pa.Table) -> None:
    """Refuse what this version of Arrow writes, and cannot read again.

    Arrow 17 to 25 write nulls among lists of a fixed size so that reading says "Expected all lists
    to be of size=2 but index 1 had size=0"; 26 reads them.

    Raises:
        EncodeError: There are such nulls; names the column.
    """
    if _ARROW >= _READS_NULL_LISTS:
        return
    for name, column in zip(table.column_names, table.columns, strict=True):
        if any(_has_null_lists(chunk) for chunk in column.chunks):
            msg = f"Arrow {_ARROW} cannot read the nulls in column {name!r}, a {column.type}, from "
            msg += "Parquet again"
            hint = "upgrade pyarrow to 26, cast the column to lists, or choose format='arrow'"
            raise EncodeError(msg, hint=hint)


def _has_null_lists(array: Any) -> bool:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        return bool(array.null_count) or _has_null_lists(array.flatten())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _has_null_lists(array.flatten())
    if pa.types.is_map(kind):
        return _has_null_lists(array.items)
    if pa.types.is_struct(kind):
        return any(_has_null_lists(member) for member in array.flatten())
    return False


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind)


def _chosen(found: pa.Field[Any], written: pa.Field[Any]) -> pa.Field[Any]:
    """The field as it was written, if what was found can be cast to it."""
    import pyarrow as pa

    if found.type.equals(written.type, check_metadata=True):
        return found
    empty = pa.chunked_array([pa.array([], found.type)])
    try:
        _cast(empty, written.type, None)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return found
    return found.with_type(written.type)


def _cast(column: Any, kind: pa.DataType, dictionary: Any) -> Any:
    """The column as this type; as a dictionary with these values, if they are known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(kind, pa.DictionaryType):
        return column.cast(kind)
    chunks = []
    if dictionary is not None:
        values = column.cast(kind.value_type)
        found = values.chunks or [pa.array([], kind.value_type)]
        chunks = [(pc.index_in(chunk, dictionary), dictionary) for chunk in found]
    elif isinstance(column.type, pa.DictionaryType):
        # Only the values have another type: no value is looked up.
        chunks = [
            (chunk.indices, chunk.dictionary.cast(kind.value_type)) for chunk in column.chunks
        ]
    else:
        coded = column.cast(kind.value_type).dictionary_encode()
        chunks = [(chunk.indices, chunk.dictionary) for chunk in coded.chunks]
    made: Any = [
        pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), values, ordered=kind.ordered)
        for indices, values in chunks
    ]
    as_type: Any = kind
    return pa.chunked_array(made, type=as_type)
