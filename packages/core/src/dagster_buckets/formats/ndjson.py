"""Format ``ndjson``: frames as one JSON object per line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.formats.tables import reading
from dagster_buckets.formats.untyped import UntypedFormat
from dagster_buckets.objects import Buffer, Payload

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NDJSONFormat"]

#: What Arrow parses at once, and so the longest row that it reads. This is its default.
_BLOCK = 1024 * 1024
#: More than that, its 32-bit offsets do not count.
_MAX_BLOCK = 2**31 - 1
#: 20,000 brackets, one within the other, end the process.
_MAX_DEPTH = 100
_STRING = re.compile(rb'"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: Made once: json.dumps makes one for each row, which is a quarter of the time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
#: Rows that are Python objects at once.
_STEP = 10_000


@dataclass(frozen=True, kw_only=True)
class NDJSONFormat(UntypedFormat):
    r"""Frames, lists and structs in them too, as JSON; what it would change is refused.

    Without ``column_types`` these come back: ``int64``, ``double``, ``bool``, ``timestamp[s]``,
    strings unless all of a column are dates, and lists and structs of these. NaN and the
    infinities, which JSON lacks, are refused.

    Lists of dicts are for format ``json``, or ``pyarrow.Table.from_pylist`` makes a frame of them:
    a file cannot tell which of the two was written.

    Args:
        column_types: See :class:`~dagster_buckets.formats.untyped.UntypedFormat`.
        columns: See :class:`~dagster_buckets.formats.tables.TableFormat`.
        filters: See :class:`~dagster_buckets.formats.tables.TableFormat`.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"id": [1, 2], "tags": [["a"], None]})
        >>> print(bytes(NDJSONFormat().encode(table).joined()).decode())
        {"id": 1, "tags": ["a"]}
        {"id": 2, "tags": null}
        <BLANKLINE>
    """

    name: ClassVar[str] = "ndjson"
    extension: ClassVar[str] = "ndjson"
    media_type: ClassVar[str] = "application/x-ndjson"

    def to_text(self, table: pa.Table) -> Buffer:
        """See :class:`~dagster_buckets.formats.untyped.UntypedFormat`."""
        import pyarrow as pa

        columns = []
        for field in table.schema:
            column = table.column(field.name)
            kind = _written_as(field.type)
            try:
                columns.append(column if column.type.equals(kind) else column.cast(kind))
            except pa.ArrowException as error:
                raise _refused(field, error) from error
        written = pa.Table.from_arrays(columns, names=table.column_names)
        lines: list[str] = []
        for batch in written.to_batches(max_chunksize=_STEP):
            try:
                rows = batch.to_pylist()
                lines += map(_ENCODER.encode, rows)
            except (ValueError, TypeError) as error:
                raise _guilty(batch, table.schema, error) from error
        return "".join(f"{line}\n" for line in lines).encode()

    def read_table(self, payload: Payload) -> pa.Table:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        with reading(payload.info.uri, "NDJSON"):
            text = bytes(payload.data)
            if not text or text.isspace():
                return self._empty()
            _refuse_deep(text, payload.info.uri)
            buffer = arrow_buffer(payload.data)
            table = _read(buffer, self.types)
            # Arrow takes any bytes for a string.
            table.validate(full=True)
            return _in_order(self._without_absent(table, buffer), text)

    def _empty(self) -> pa.Table:
        import pyarrow as pa

        return pa.schema(self.types).empty_table()

    def _without_absent(self, table: pa.Table, buffer: pa.Buffer) -> pa.Table:
        """The table without columns that have a type, but are in no row: Arrow adds them."""
        absent = [n for n in self.types if table.column(n).null_count == table.num_rows]
        if not absent:
            return table
        others = {name: kind for name, kind in self.types.items() if name not in absent}
        found = _read(buffer, others).column_names
        return table.select([n for n in table.column_names if n not in absent or n in found])


def _refuse_deep(text: bytes, uri: str) -> None:
    """Refuse what would end the process: Arrow's parser has no limit but that of the stack.

    Raises:
        DecodeError: Values are nested in each other more than 100 deep.
    """
    flat = text.count(b"{") == text.count(b"}\n{") + 1 and b"[" not in text
    if flat:
        return  # Only lines begin with a bracket, and what ends with one needs a comma to go on.
    # Strings go, but none reaches into the next line, where Arrow may begin to parse anew.
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    for _ in range(_MAX_DEPTH):
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) == size:
            break
    if len(brackets) > _MAX_DEPTH:
        msg = f"{uri} has values that are nested more than {_MAX_DEPTH} deep, or are never closed"
        raise DecodeError(msg, uri=uri, hint="load it with dagster_buckets/format='text'")


def _read(buffer: pa.Buffer, types: dict[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa

    try:
        table = _parsed(buffer, _BLOCK, types)
    except pa.ArrowInvalid:
        if buffer.size <= _BLOCK:
            raise
        # A row may be longer than a block; Arrow says so in words only.
        table = _parsed(buffer, min(buffer.size, _MAX_BLOCK), types)
    for index, name in enumerate(table.column_names):
        kind = types.get(name)
        if kind is not None and not kind.equals(table.column(index).type):
            table = table.set_column(index, name, table.column(index).cast(kind))
    return table


def _parsed(buffer: pa.Buffer, block: int, types: dict[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pj

    source: Any = pa.BufferReader(buffer)
    readable = pa.schema({name: _read_as(kind) for name, kind in types.items()})
    return pj.read_json(
        source,
        # One block is not worth a thread.
        read_options=pj.ReadOptions(use_threads=buffer.size > _BLOCK, block_size=block),
        parse_options=pj.ParseOptions(explicit_schema=readable, unexpected_field_behavior="infer"),
    )


def _in_order(table: pa.Table, text: bytes) -> pa.Table:
    """The columns as the first row has them: Arrow puts those that have a type first."""
    first = text.lstrip().partition(b"\n")[0]
    try:
        row, _ = json.JSONDecoder().raw_decode(first.decode("utf-8-sig"))
    except ValueError:  # an object of several lines, which Arrow reads all the same
        return table
    found = dict.fromkeys(table.column_names)
    return table.select(
        [*(name for name in row if name in found), *(n for n in found if n not in row)]
    )


def _written_as(kind: Any) -> pa.DataType:
    """The type whose Python values JSON has: text for times and decimals."""
    import pyarrow as pa

    if pa.types.is_duration(kind):
        return pa.int64()
    textual = pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)
    if textual or pa.types.is_decimal(kind):
        return pa.string()
    return _inside(kind, _written_as)


def _read_as(kind: Any) -> pa.DataType:
    """The type that Arrow's reader knows; what it gives is cast to the other."""
    import pyarrow as pa

    if pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_date(kind):
        return pa.string()
    return _inside(kind, _read_as)


def _inside(kind: Any, change: Any) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(change(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(member.name, change(member.type)) for member in kind])
    same: pa.DataType = kind
    return same


def _guilty(batch: Any, schema: pa.Schema, error: Exception) -> EncodeError:
    """The error for the first column that JSON cannot hold."""
    for field, column in zip(schema, batch.columns, strict=True):
        try:
            json.dumps(column.to_pylist(), allow_nan=False)
        except (ValueError, TypeError) as own:
            return _refused(field, own)
    return EncodeError(f"JSON cannot hold this table: {error}", hint=_HINT)


def _refused(field: pa.Field[Any], error: Exception) -> EncodeError:
    msg = f"JSON cannot hold column {field.name!r}, a {field.type}: {error}"
    return EncodeError(msg, hint=_HINT)


_HINT = "choose format='parquet', which holds every table"
