"""Untyped tables: text has no types, so what was written is read again and compared."""

from __future__ import annotations

import sys
from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.errors import BucketsError, DecodeError, EncodeError
from dagster_buckets.formats.describing import describe_table
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.formats.type_names import named_types
from dagster_buckets.objects import Body, Buffer, ObjectInfo, Payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["UntypedFormat", "changed_columns", "same_values"]


@dataclass(frozen=True, kw_only=True)
class UntypedFormat(TableFormat):
    """A format of tables whose types are guessed from their text.

    What a guess would change is refused: a table is written only if reading it gives the same
    columns, types and values. Only how Arrow lays values out is not kept: large strings and
    dictionaries of strings come back as ``string``, large lists as ``list``; nor are notes on the
    schema, whether a column may hold nulls, and the class of the frame, so that a load without an
    annotation gives a ``pyarrow.Table``.

    Args:
        column_types: ``{column: type}``, as Arrow spells types (``int32``, ``string``,
            ``timestamp[us, tz=UTC]``, ``decimal128(10, 2)``); the others are guessed. Columns that
            a table lacks are ignored.
    """

    column_types: dict[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        named_types(self.column_types)

    @abstractmethod
    def to_text(self, table: pa.Table) -> Buffer:
        """The bytes of a table of plain types.

        Raises:
            EncodeError: The format has no values of such a type; the message names the column.
        """

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The types that are not guessed."""
        return named_types(self.column_types)

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        _refuse_index(value, self.name)
        _refuse_rows_alone(value, self.name)
        return super().encode(value)

    def write_table(self, table: pa.Table) -> Body:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        plain = _plain_table(table, self.name)
        data = self.to_text(plain)
        info = ObjectInfo("", "the text", memoryview(data).nbytes, "", datetime.now(UTC))
        text = Payload(data, info)
        try:
            back = self.read_table(text)
        except DecodeError as error:
            msg = f"format {self.name!r} cannot hold this table: {error.__cause__ or error}"
            raise EncodeError(msg, hint=_HINT) from error
        changed = changed_columns(plain, back)
        if changed:
            hint = self._hint_of_types(plain, text, changed)
            raise EncodeError(_told(plain, back, changed[0], self.name), hint=hint)
        return Body.of(data, description=lambda rows: describe_table(back, rows))

    def _hint_of_types(self, table: pa.Table, text: Payload, changed: Sequence[str]) -> str:
        """What to do about changed columns; only types that were tried are recommended."""
        wanted = {field.name: str(field.type) for field in table.schema if field.name in changed}
        try:
            other = replace(self, column_types={**(self.column_types or {}), **wanted})
            helps = not changed_columns(table, other.read_table(text))
        except BucketsError:
            helps = False
        if not helps:
            return f"cast the column to a type that comes back, or {_HINT}"
        hint = f"set dagster_buckets/column_types to {wanted!r} (or the manager's format_options), "
        return hint + "or cast the column"


def changed_columns(table: pa.Table, back: pa.Table) -> list[str]:
    """The columns of a table that reading has changed: by type or, if there are none, by value.

    All of them, where names or the number of rows have changed.
    """
    if back.column_names != table.column_names or back.num_rows != table.num_rows:
        return table.column_names or ["-"]
    types = [f.name for f in table.schema if not back.schema.field(f.name).type.equals(f.type)]
    return types or [
        name
        for name in table.column_names
        if not same_values(*(t.column(name).combine_chunks() for t in (table, back)))
    ]


def same_values(left: pa.Array[Any], right: pa.Array[Any]) -> bool:
    """Whether two arrays of one type are equal: NaN is, and -0.0 is not 0.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind: Any = left.type
    if not left.is_valid().equals(right.is_valid()):
        return False
    if pa.types.is_floating(kind):
        bits: Any = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        nan = pa.scalar(float("nan"), kind)
        one, other = (pc.if_else(pc.is_nan(side), nan, side) for side in (left, right))
        return bool(one.view(bits).equals(other.view(bits)))
    if pa.types.is_list(kind):
        one, other = left, right
        sizes = pc.list_value_length(one).equals(pc.list_value_length(other))
        return sizes and same_values(pc.list_flatten(one), pc.list_flatten(other))
    if pa.types.is_struct(kind):
        pairs = zip(_members(left), _members(right), strict=True)
        return all(same_values(*pair) for pair in pairs)
    return left.equals(right)


_HINT = "choose format='parquet', which holds every table"


def _members(array: Any) -> Sequence[pa.Array[Any]]:
    members: Sequence[pa.Array[Any]] = array.flatten()
    return members


def _refuse_index(value: Any, name: str) -> None:
    # Whoever has a frame of pandas has imported it.
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return
    index = value.index
    plain = isinstance(index, pandas.RangeIndex) and index.name is None
    if not plain or (index.start, index.step) != (0, 1):
        msg = f"format {name!r} cannot hold the index of this frame of pandas"
        hint = "return frame.reset_index(), or reset_index(drop=True) if it says nothing"
        raise EncodeError(msg, hint=hint)


def _refuse_rows_alone(value: Any, name: str) -> None:
    # Streams have no length, and their columns may be work to find out.
    if hasattr(value, "__len__") and len(value) and not len(getattr(value, "columns", "-")):
        msg = f"format {name!r} cannot hold {len(value)} rows without columns"
        raise EncodeError(msg, hint="add a column: of pandas, frame.reset_index()")


def _plain_table(table: pa.Table, name: str) -> pa.Table:
    """The table without what text cannot tell: sizes of offsets and dictionaries."""
    import pyarrow as pa

    columns = []
    for field in table.schema:
        column = table.column(field.name)
        kind = _plain(field.type)
        try:
            columns.append(column if column.type.equals(kind) else column.cast(kind))
        except pa.ArrowException as error:
            msg = f"format {name!r} cannot hold column {field.name!r}, a {field.type}: {error}"
            raise EncodeError(msg, hint=_HINT) from error
    return pa.Table.from_arrays(columns, names=table.column_names) if columns else table


def _plain(kind: Any) -> pa.DataType:
    import pyarrow as pa

    if isinstance(kind, pa.DictionaryType):
        value = _plain(kind.value_type)
        return value if value.equals(pa.string()) else kind
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(member.name, _plain(member.type)) for member in kind])
    return cast("pa.DataType", kind)


def _told(table: pa.Table, back: pa.Table, name: str, format_name: str) -> str:
    would = f"format {format_name!r} would change"
    if back.num_rows != table.num_rows:
        return f"{would} {table.num_rows} rows: they would come back as {back.num_rows}"
    if back.column_names != table.column_names:
        found = ", ".join(map(repr, back.column_names[:20])) or "none"
        return f"{would} the columns {', '.join(map(repr, table.column_names[:20]))} to {found}"
    kind, found = table.schema.field(name).type, back.schema.field(name).type
    if found.equals(kind):
        return f"{would} values of column {name!r}, a {kind}"
    return f"{would} column {name!r}: it is {kind} and would come back as {found}"
