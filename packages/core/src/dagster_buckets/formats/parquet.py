"""Format ``parquet``: frames as Apache Parquet, the default for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from dagster_buckets.errors import ConfigurationError, EncodeError
from dagster_buckets.formats.arrow_tables import noted
from dagster_buckets.formats.base import Part
from dagster_buckets.formats.frames import (
    FRAME_CLAIMS,
    arrow_buffer,
    from_arrow,
    is_reader_type,
    projected_stream,
)
from dagster_buckets.formats.lazy import is_lazy_type, scan_objects
from dagster_buckets.formats.parquet_limits import Reopen, read_batches, read_bounded
from dagster_buckets.formats.parquet_plans import (
    groups_left,
    ranges_of,
    read_footer,
    with_footer,
)
from dagster_buckets.formats.parquet_types import (
    check_readable,
    is_as_written,
    original_schema,
    restored,
    with_dictionaries,
)
from dagster_buckets.formats.ranged_files import RangedFile, open_ranges
from dagster_buckets.formats.schemas import only
from dagster_buckets.formats.sources import batches_of, gathered, written
from dagster_buckets.formats.tables import TableFormat, columns_of, reading
from dagster_buckets.objects import Body, Description, Payload
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ParquetFormat"]

#: Up to which size Arrow's threads cost more than they gain: 0.31 CPU-ms instead of 0.26 for
#: 20 KiB, 0.93 instead of 0.80 for 190 KiB; from 0.9 MiB on, there is no difference.
_SMALL = 256 * 1024

#: Objects of which only a part is wanted are fetched whole up to this size.
_WORTH_A_PART = 256 * 1024
#: What one request carries.
_ONE_REQUEST = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ParquetFormat(TableFormat):
    """Any frame as Parquet with statistics and page checksums.

    Args:
        compression: Of the pages.
        compression_level: As the codec counts them; ``None`` for its default.
        row_group_size: Rows in a group at most. Small enough that a filter skips most of a big
            object, large enough to compress well.
        columns: See :class:`~dagster_buckets.formats.tables.TableFormat`; others are not fetched.
        filters: Groups of rows that they exclude are not fetched.

    Example:
        >>> import pyarrow as pa
        >>> bytes(ParquetFormat().encode(pa.table({"n": [1, 2]})).joined()[:4])
        b'PAR1'
    """

    name: ClassVar[str] = "parquet"
    extension: ClassVar[str] = "parquet"
    media_type: ClassVar[str] = "application/vnd.apache.parquet"
    claims: ClassVar[tuple[str, ...]] = FRAME_CLAIMS

    compression: Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"] = "zstd"
    compression_level: int | None = None
    row_group_size: int = 128_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.row_group_size < 1:
            msg = f"row_group_size cannot be {self.row_group_size}: no row would be written"
            raise ConfigurationError(msg, hint="it is how many rows a group has, such as 128000")
        if self.compression_level is not None and self.compression in ("snappy", "none"):
            msg = f"the compression {self.compression!r} has no levels"
            raise ConfigurationError(msg, hint="leave compression_level out, or choose 'zstd'")

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`; streams are written as they come."""
        reader = batches_of(value)
        if reader is None:
            return super().encode(value)
        schema = noted(reader.schema, value)
        rows = 0

        def tables() -> Iterator[pa.Table]:
            import pyarrow as pa

            nonlocal rows
            for batches in gathered(reader, self.row_group_size):
                rows += sum(batch.num_rows for batch in batches)
                table = pa.Table.from_batches(batches)
                check_readable(table)
                yield table.replace_schema_metadata(schema.metadata)

        return Body(
            written(lambda sink: self._writer(sink, schema), tables()),
            lambda: Description(rows, columns_of(schema)),
        )

    def write_table(self, table: pa.Table) -> Body:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        check_readable(table)
        table = with_dictionaries(table)
        with self._writer(sink, table.schema) as writer:
            writer.write_table(table, row_group_size=self.row_group_size)
        return Body.of(memoryview(sink.getvalue()))

    def read_table(self, payload: Payload) -> pa.Table:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        info = payload.info
        with reading(info.uri, "Parquet"):
            data = arrow_buffer(payload.data)

            def opened(**options: Any) -> pq.ParquetFile:
                return _opened(pa.BufferReader(data), pre_buffer=True, **options)

            file = opened()
            table = read_bounded(
                file,
                self.limit.of(info.size, info.uri),
                opened,
                # Small objects come in numbers, on many threads already.
                threads=info.size > _SMALL,
            )
            if is_as_written(table.schema):
                return table
            return restored(table, original_schema(file.metadata))

    def describe(self, file: BinaryIO) -> Description:
        """Rows and columns, from the footer alone."""
        import pyarrow.parquet as pq

        footer = pq.read_metadata(file)
        return Description(footer.num_rows, columns_of(original_schema(footer)))

    def streams_above(self, as_type: type | None) -> int | None:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        if self.columns is not None or self.filters is not None:
            return _WORTH_A_PART
        return _ONE_REQUEST if as_type is not None and is_reader_type(as_type) else None

    def stream(self, ref: ObjectRef, as_type: type | None) -> Any:
        """Fetch the columns and groups of rows that are wanted, batch by batch for a reader."""
        if as_type is not None and is_reader_type(as_type):
            return self._reader(ref)
        return from_arrow(self._part_of(ref, as_type), as_type, ref.uri)

    def part(self, source: Payload | ObjectRef) -> Part:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        if isinstance(source, ObjectRef):
            return Part(source.uri, self._part_of(source, None))
        return super().part(source)

    def can_scan(self, as_type: type) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsLazy`."""
        return is_lazy_type(as_type)

    def scan(
        self,
        refs: Sequence[ObjectRef],
        as_type: type,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsLazy`."""
        return scan_objects("parquet", refs, as_type, columns, self.projection, self.limit)

    def _part_of(self, ref: ObjectRef, as_type: type | None) -> pa.Table:
        """The table that the projection leaves of an object; only that is fetched."""
        with reading(ref.uri, "Parquet"):
            ref, footer, schema = _looked_at(ref)
            keep = self.kept(schema, as_type)
            fetched = self._fetched(schema, ref, keep)
            groups = self._groups(ref, footer, schema)
            plan = ranges_of(footer, groups, fetched)
            ranges = RangedFile(ref, plan)
            with ranges.for_arrow() as source:
                table = read_bounded(
                    _opened(source, metadata=footer, pre_buffer=True),
                    self.limit.of(ref.size, ref.uri),
                    _looking(ranges, footer),
                    groups=groups,
                    columns=fetched,
                )
            return self.projection.of(restored(table, schema), ref.uri, keep=keep)

    def _reader(self, ref: ObjectRef) -> pa.RecordBatchReader:
        with reading(ref.uri, "Parquet"):
            ref, footer, schema = _looked_at(ref)
            names = self.projection.names(schema, ref.uri)
            fetched = self._fetched(schema, ref, ())
            groups = self._groups(ref, footer, schema)

        def batches() -> Iterator[pa.RecordBatch]:
            import pyarrow as pa

            plan = ranges_of(footer, groups, fetched)
            ranges = RangedFile(ref, plan)
            with reading(ref.uri, "Parquet"), ranges.for_arrow() as source:
                found = read_batches(
                    # Arrow would keep what it buffers before it is needed.
                    _opened(source, metadata=footer, pre_buffer=False),
                    self.limit.of(ref.size, ref.uri),
                    _looking(ranges, footer),
                    groups=groups,
                    columns=fetched,
                )
                for batch in found:
                    table = restored(pa.Table.from_batches([batch]), schema)
                    table = self.projection.of(table, ref.uri)
                    yield from table.to_batches()

        return projected_stream(only(schema, names), batches())

    def _groups(self, ref: ObjectRef, footer: pq.FileMetaData, schema: pa.Schema) -> list[int]:
        """The groups of rows that the filters do not exclude."""
        wanted = self.projection.expression(schema)
        try:
            return groups_left(open_ranges(ref), wanted, footer)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise self.projection.misfit(ref.uri, error) from error

    def _fetched(self, schema: pa.Schema, ref: ObjectRef, keep: Sequence[str]) -> list[str] | None:
        names = self.projection.names(schema, ref.uri, keep=keep)
        used = self.projection.used(schema)
        return None if names is None else list(dict.fromkeys([*names, *used]))

    def _writer(self, sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetWriter(
                sink,
                schema,
                compression=self.compression,
                compression_level=self.compression_level,
                write_page_checksum=True,
            )
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            msg = f"Parquet cannot hold this table: {error}"
            raise EncodeError(msg, hint="convert the column, or choose format='arrow'") from error


def _looked_at(ref: ObjectRef) -> tuple[ObjectRef, pq.FileMetaData, pa.Schema]:
    """The reference with the footer of its object, the footer, and its schema."""
    ref = with_footer(ref)
    footer = read_footer(ref)
    return ref, footer, original_schema(footer)


def _looking(ranges: RangedFile, footer: pq.FileMetaData) -> Reopen:
    """Opens a file for what is going to be read once more."""

    def opened(**options: Any) -> pq.ParquetFile:
        return _opened(ranges.looked_at().for_arrow(), metadata=footer, pre_buffer=False, **options)

    return opened


def _opened(source: Any, **options: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(source, page_checksum_verification=True, **options)
