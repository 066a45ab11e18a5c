"""Format ``csv``: frames as comma-separated values, for whoever wants nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dagster_buckets.errors import ConfigurationError, EncodeError
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.formats.tables import reading
from dagster_buckets.formats.untyped import UntypedFormat
from dagster_buckets.objects import Buffer, Payload

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CSVFormat"]

#: What Arrow parses at once, and so the longest row that it reads. This is its default.
_BLOCK = 1024 * 1024
#: More than that, its 32-bit offsets do not count.
_MAX_BLOCK = 2**31 - 1
_ARROW_QUOTING: dict[str, Literal["needed", "all_valid", "none"]] = {
    "needed": "needed",
    "all": "all_valid",
    "none": "none",
}
_HINT = "make the column text, leave it out, or choose format='parquet'"


@dataclass(frozen=True, kw_only=True)
class CSVFormat(UntypedFormat):
    r"""Frames of numbers, text, dates and times as UTF-8 text; what it would change is refused.

    A null is an empty field, an empty string a quoted one. Without ``column_types`` these come
    back: ``int64``, ``double`` unless all values are whole, ``bool``, ``date32``, ``time32[s]``,
    ``timestamp`` in seconds or nanoseconds without a zone or in UTC, and strings unless all of a
    column look like one of these (``"001"``, ``"true"``, ``"2024-01-01"``).

    Args:
        delimiter: One ASCII character.
        header: Whether the first line holds the names of the columns; if not, they are ``f0``,
            ``f1`` and so on, and no others are written.
        quoting: Quote strings (``needed``), all values but nulls (``all``), or nothing (``none``),
            which refuses strings with a delimiter, a quote or a line break, and empty ones.
        column_types: See :class:`~dagster_buckets.formats.untyped.UntypedFormat`.
        columns: See :class:`~dagster_buckets.formats.tables.TableFormat`.
        filters: See :class:`~dagster_buckets.formats.tables.TableFormat`.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"zip": ["00501"], "n": [7]})
        >>> format = CSVFormat(column_types={"zip": "string"})
        >>> bytes(format.encode(table).joined())
        b'"zip","n"\n"00501",7\n'
    """

    name: ClassVar[str] = "csv"
    extension: ClassVar[str] = "csv"
    media_type: ClassVar[str] = "text/csv"

    delimiter: str = ","
    header: bool = True
    quoting: Literal["needed", "all", "none"] = "needed"

    def __post_init__(self) -> None:
        super().__post_init__()
        one = len(self.delimiter) == 1 and self.delimiter.isascii()
        if not one or self.delimiter in '"\r\n\0':
            msg = f"the delimiter of format 'csv' cannot be {self.delimiter!r}"
            raise ConfigurationError(msg, hint="it must be one ASCII character, as ',' or '\\t'")

    def to_text(self, table: pa.Table) -> Buffer:
        """See :class:`~dagster_buckets.formats.untyped.UntypedFormat`."""
        import pyarrow as pa

        generated = [f"f{number}" for number in range(table.num_columns)]
        if not self.header and table.column_names != generated:
            msg = (
                f"a CSV without a header has the columns {generated!r}, not {table.column_names!r}"
            )
            raise EncodeError(msg, hint="rename them, or set the option header")
        for field in table.schema:
            if "binary" in str(field.type):
                # Arrow writes the bytes as they are, whatever they do to the text around them.
                msg = f"CSV cannot hold column {field.name!r}, a {field.type}"
                raise EncodeError(msg, hint=_HINT)
        try:
            return self._written(table)
        except pa.ArrowException as error:
            raise self._refused(table, error) from error

    def read_table(self, payload: Payload) -> pa.Table:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        with reading(payload.info.uri, "CSV"):
            buffer = arrow_buffer(payload.data)
            table = self._read(buffer)
            if table.num_columns == 1:
                # Its nulls are empty lines, which others write to part their lines.
                table = self._read(buffer, empty_lines=True)
            # Names that are no text are found only when they are asked for.
            _ = table.column_names
            return table

    def _written(self, table: pa.Table) -> Buffer:
        import pyarrow as pa
        import pyarrow.csv as pc

        sink = pa.BufferOutputStream()
        options = pc.WriteOptions(
            include_header=self.header,
            delimiter=self.delimiter,
            quoting_style=_ARROW_QUOTING[self.quoting],
        )
        pc.write_csv(table, sink, options)
        return memoryview(sink.getvalue())

    def _refused(self, table: pa.Table, error: Exception) -> EncodeError:
        """The error for the first column that cannot be written."""
        import pyarrow as pa

        for field in table.schema:
            try:
                self._written(table.select([field.name]))
            except pa.ArrowException as own:
                msg = f"CSV cannot hold column {field.name!r}, a {field.type}: {own}"
                return EncodeError(msg, hint=_HINT)
        return EncodeError(f"CSV cannot hold this table: {error}", hint=_HINT)

    def _read(self, buffer: pa.Buffer, *, empty_lines: bool = False) -> pa.Table:
        import pyarrow as pa

        try:
            return self._parsed(buffer, _BLOCK, empty_lines=empty_lines)
        except pa.ArrowInvalid:
            if buffer.size <= _BLOCK:
                raise
            # A row may be longer than a block; Arrow says so in words only.
            block = min(buffer.size, _MAX_BLOCK)
            return self._parsed(buffer, block, empty_lines=empty_lines)

    def _parsed(self, buffer: pa.Buffer, block: int, *, empty_lines: bool) -> pa.Table:
        import pyarrow as pa
        import pyarrow.csv as pc

        types: Any = self.types
        source: Any = pa.BufferReader(buffer)
        return pc.read_csv(
            source,
            read_options=pc.ReadOptions(
                # One block is not worth a thread.
                use_threads=buffer.size > _BLOCK,
                block_size=block,
                autogenerate_column_names=not self.header,
            ),
            parse_options=pc.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=not empty_lines,
            ),
            convert_options=pc.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
