"""Schemas: the columns that tables of several objects have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import DecodeError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "check_castable",
    "constants_of",
    "fitted",
    "misfit",
    "only",
    "refuse_taken",
    "unified",
    "with_constants",
    "with_one_dictionary",
    "without_notes",
    "without_order",
]


def unified(schemas: Sequence[pa.Schema], uris: Sequence[str]) -> pa.Schema:
    """One schema that every value of every one of these schemas fits into.

    Columns come in the order in which they first appear, types are promoted where Arrow can
    (integers, decimals, floats, units of time, members of structs), and a column that some
    schema lacks may hold nulls. Notes on a column stay if all agree on them: the values of a
    Polars ``Enum`` are such a note, and under another's they would read as nulls.

    Args:
        schemas: At least one.
        uris: Of the objects that they are of, to name them in errors.

    Raises:
        DecodeError: The types of a column do not go together; names it and the first object that
            does not fit those before it.
    """
    import pyarrow as pa

    distinct: dict[pa.Schema, str] = {}
    for schema, uri in zip(schemas, uris, strict=True):
        _refuse_duplicates(schema, uri)
        distinct.setdefault(schema.remove_metadata(), uri)
    joined = next(iter(distinct))
    for schema, uri in list(distinct.items())[1:]:
        try:
            joined = _merge(joined, schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise _does_not_merge(joined, schema, uri, uris[0], error) from error
    return pa.schema([_of_all(field, schemas) for field in joined])


def only(schema: pa.Schema, names: Sequence[str] | None) -> pa.Schema:
    """The schema with these columns, in this order; ``None`` means all."""
    import pyarrow as pa

    if names is None:
        return schema
    chosen = pa.schema([schema.field(name) for name in names])
    return chosen.with_metadata(schema.metadata) if schema.metadata else chosen


def without_notes(field: pa.Field[Any]) -> pa.Field[Any]:
    """The field without what one object says of its values: metadata, and an order of categories.

    Also of all fields inside its type. Another object may have other categories.
    """
    import pyarrow as pa

    def unordered(kind: pa.DictionaryType[Any, Any]) -> pa.DataType:
        return pa.dictionary(kind.index_type, kind.value_type)

    return _rebuilt(field, unordered)


def without_order(field: pa.Field[Any]) -> pa.Field[Any]:
    """The field for values that come with dictionaries of several objects.

    Only where a note lists the categories (a Polars ``Enum``) are they known to be the same.
    """
    listed = any(key.startswith(b"_PL_ENUM_VALUES") for key in field.metadata or {})
    plain = without_notes(field)
    return field if listed or plain.type.equals(field.type) else plain


def check_castable(schemas: Sequence[pa.Schema], uris: Sequence[str], wanted: pa.Schema) -> None:
    """Refuse a column whose type Arrow joins with another's, but cannot cast to the result.

    Raises:
        DecodeError: Names the column and the object.
    """
    import pyarrow as pa

    checked: set[tuple[pa.DataType, pa.DataType]] = set()
    for schema, uri in zip(schemas, uris, strict=True):
        for field in schema:
            kind = wanted.field(field.name).type
            if (field.type, kind) in checked or field.type.equals(kind):
                continue
            try:
                pa.nulls(1, field.type).cast(kind)
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
                raise misfit(uri, field.name, field.type, kind, error) from error
            checked.add((field.type, kind))


def with_one_dictionary(table: pa.Table) -> pa.Table:
    """The table with one dictionary in each dictionary-encoded column.

    Consumers that take the first dictionary for that of all would read nulls. Categories whose
    order differs between objects have none in the result.
    """
    import pyarrow as pa

    def wide(kind: pa.DictionaryType[Any, Any]) -> pa.DataType:
        return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)

    for index, field in enumerate(table.schema):
        if isinstance(field.type, pa.DictionaryType) and field.type.ordered:
            chunks: Any = table.column(index).chunks
            if not all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks):
                plain = without_notes(field)
                table = table.set_column(index, plain, table.column(index).cast(plain.type))
    try:
        return table.unify_dictionaries()
    except pa.ArrowInvalid:  # together, they hold more values than the type of an index counts
        fields = [_rebuilt(field, wide) for field in table.schema]
        return table.cast(pa.schema(fields)).unify_dictionaries()


def fitted(table: pa.Table, schema: pa.Schema, uri: str) -> pa.Table:
    """The table with exactly the columns of ``schema``; nulls in those that it lacks.

    Raises:
        DecodeError: A value would change; names the column and the object.
    """
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            continue
        column = table.column(field.name)
        try:
            columns.append(column if column.type.equals(field.type) else column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise misfit(uri, field.name, column.type, field.type, error) from error
    return pa.Table.from_arrays(columns, schema=schema)


def misfit(
    uri: str, name: str, found: pa.DataType, wanted: pa.DataType, error: Exception
) -> DecodeError:
    """The error of a column whose values another type cannot hold."""
    msg = f"column {name!r} of {uri} is {found} and cannot become {wanted}: {_first_line(error)}"
    return DecodeError(msg, uri=uri, hint=_HINT)


def constants_of(
    schemas: Sequence[pa.Schema], uris: Sequence[str], columns: Sequence[Mapping[str, str]] | None
) -> Sequence[Mapping[str, str]]:
    """The constant columns of each object, none for ``None``.

    Raises:
        DecodeError: An object has a column of such a name already; names both.
    """
    if columns is None:
        return [{}] * len(schemas)
    for schema, uri, constants in zip(schemas, uris, columns, strict=True):
        refuse_taken(schema, uri, constants)
    return columns


def with_constants(table: pa.Table, constants: Mapping[str, str], uri: str) -> pa.Table:
    """The table and, after its columns, one of Arrow's type ``string`` for each constant.

    Raises:
        DecodeError: There is a column of that name already.
    """
    import pyarrow as pa

    refuse_taken(table.schema, uri, constants)
    for name, value in constants.items():
        column = pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
        table = table.append_column(pa.field(name, pa.string()), column)
    return table


_HINT = "load the partitions as dict[str, …] and convert the column, or materialize them again"


def _rebuilt(field: pa.Field[Any], change: Callable[[Any], pa.DataType]) -> pa.Field[Any]:
    """The field without metadata, and every dictionary in its type changed."""
    import pyarrow as pa

    kind: Any = field.type
    if isinstance(kind, pa.DictionaryType):
        kind = change(kind)
    elif pa.types.is_struct(kind):
        kind = pa.struct([_rebuilt(member, change) for member in kind])
    elif pa.types.is_map(kind):
        kind = pa.map_(_rebuilt(kind.key_field, change), _rebuilt(kind.item_field, change))
    elif pa.types.is_large_list(kind):
        kind = pa.large_list(_rebuilt(kind.value_field, change))
    elif pa.types.is_fixed_size_list(kind):
        kind = pa.list_(_rebuilt(kind.value_field, change), kind.list_size)
    elif pa.types.is_list(kind):
        kind = pa.list_(_rebuilt(kind.value_field, change))
    return pa.field(field.name, kind, field.nullable)


def _of_all(field: pa.Field[Any], schemas: Sequence[pa.Schema]) -> pa.Field[Any]:
    found = [schema.field(field.name) for schema in schemas if field.name in schema.names]
    if len(found) < len(schemas):
        field = field.with_nullable(nullable=True)
    if all(found[0].equals(other, check_metadata=True) for other in found):
        return field
    return without_notes(field)


def _merge(left: pa.Schema, right: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.unify_schemas([left, right], promote_options="permissive")


def _does_not_merge(
    joined: pa.Schema, schema: pa.Schema, uri: str, first: str, error: Exception
) -> DecodeError:
    import pyarrow as pa

    for field in schema:
        if field.name not in joined.names:
            continue
        known = joined.field(field.name)
        try:
            _merge(pa.schema([known]), pa.schema([field]))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            msg = (
                f"{uri} does not fit below {first}: its column {field.name!r} is {field.type}, "
                f"before it was {known.type}"
            )
            return DecodeError(msg, uri=uri, hint=_HINT)
    msg = f"{uri} does not fit below {first}: {error}"  # pragma: no cover - Arrow merges by field
    return DecodeError(msg, uri=uri, hint=_HINT)  # pragma: no cover


def refuse_taken(schema: pa.Schema, uri: str, constants: Mapping[str, str]) -> None:
    """Refuse constant columns that the object has already.

    Raises:
        DecodeError: Names one of them.
    """
    for name in constants:
        if name in schema.names:
            msg = f"{uri} has a column {name!r} of its own, which is also a partition column"
            hint = (
                "rename the dimension with the metadata dagster_buckets/partition_name, or do not "
                "ask for dagster_buckets/partition_columns"
            )
            raise DecodeError(msg, uri=uri, hint=hint)


def _refuse_duplicates(schema: pa.Schema, uri: str) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"{uri} has two columns {twice!r}, so columns cannot be matched by name"
        raise DecodeError(msg, uri=uri, hint="load the partitions as dict[str, …] and rename one")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
