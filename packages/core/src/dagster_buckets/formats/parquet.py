"""Format ``parquet``: frames as Apache Parquet, the default for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from dagster_buckets.errors import ConfigurationError, EncodeError
from dagster_buckets.formats.arrow_tables import noted
from dagster_buckets.formats.base import FirstRows, Part
from dagster_buckets.formats.describing import Described, columns_of
from dagster_buckets.formats.frames import (
    FRAME_CLAIMS,
    arrow_buffer,
    from_arrow,
    is_reader_type,
    projected_stream,
)
from dagster_buckets.formats.lazy import is_lazy_type, scan_objects
from dagster_buckets.formats.parquet_encodings import dictionary_columns
from dagster_buckets.formats.parquet_limits import read_bounded
from dagster_buckets.formats.parquet_parts import PartOf, opened, twice
from dagster_buckets.formats.parquet_plans import groups_left, tail_of
from dagster_buckets.formats.parquet_types import (
    check_readable,
    is_as_written,
    original_schema,
    restored,
    with_dictionaries,
)
from dagster_buckets.formats.ranged_files import open_ranges
from dagster_buckets.formats.schemas import only
from dagster_buckets.formats.sources import batches_of, gathered, spooled, written
from dagster_buckets.formats.tables import TableFormat, reading
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
#: Tables beyond this size are encoded to the disk, group by group, and not into memory: of 100 MiB
#: that takes 5 % more CPU, and parts of a stream leave room for the next ones.
_SPOOLED = 64 * 1024 * 1024
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
        described = Described(schema)

        def tables() -> Iterator[pa.Table]:
            import pyarrow as pa

            for batches in gathered(reader, self.row_group_size):
                described.add(batches)
                table = pa.Table.from_batches(batches)
                check_readable(table)
                yield table.replace_schema_metadata(schema.metadata)

        return Body(
            written(
                lambda sink, first: self._writer(sink, schema, first),
                tables(),
                self.row_group_size,
            ),
            described.description,
        )

    def write_table(self, table: pa.Table) -> Body:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        check_readable(table)
        table = with_dictionaries(table)
        if table.nbytes > _SPOOLED:
            step = self.row_group_size
            groups = (table.slice(start, step) for start in range(0, table.num_rows, step))
            pieces = written(lambda sink, _: self._writer(sink, table.schema, table), groups, step)
            return spooled(pieces, tail_of)
        sink = pa.BufferOutputStream()
        with self._writer(sink, table.schema, table) as writer:
            writer.write_table(table, row_group_size=self.row_group_size)
        data = memoryview(sink.getvalue())
        return Body((data,), tail=tail_of(len(data), lambda count: data[-count:]))

    def read_table(self, payload: Payload) -> pa.Table:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        info = payload.info
        with reading(info.uri, "Parquet"):
            data = arrow_buffer(payload.data)

            def reopen(**options: Any) -> pq.ParquetFile:
                return opened(pa.BufferReader(data), pre_buffer=True, **options)

            file = reopen()
            table = read_bounded(
                file,
                self.limit.of(info.size, info.uri),
                reopen,
                # Small objects come in numbers, on many threads already.
                threads=info.size > _SMALL,
            )
            if is_as_written(table.schema, file.metadata):
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

    def first_rows(self, ref: ObjectRef, count: int) -> FirstRows:
        """The groups of rows in which they lie; of the others nothing is fetched."""
        import pyarrow as pa

        def read(ref: ObjectRef) -> FirstRows:
            part = PartOf.at(ref)
            part.check()
            names, fetched = self.projection.names(part.schema, ref.uri), self._fetched(part, ())
            sizes = [part.footer.row_group(n).num_rows for n in range(part.footer.num_row_groups)]
            before = accumulate(sizes, initial=0)
            groups = [n for n, rows in enumerate(before) if rows < count and n < len(sizes)]
            bound = self.limit.of(ref.size, ref.uri)
            tables = [only(part.schema, names).empty_table()]
            for batch in part.batches(groups, fetched, bound) if groups else ():
                table = restored(pa.Table.from_batches([batch]), part.schema)
                tables.append(self.projection.of(table, ref.uri))
                if sum(table.num_rows for table in tables) >= count:
                    break
            return FirstRows(pa.concat_tables(tables).slice(0, count), part.footer.num_rows)

        with reading(ref.uri, "Parquet"):
            return twice(read, ref)

    def part(self, source: Payload | ObjectRef) -> Part:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        if isinstance(source, ObjectRef):
            table = self._part_of(source, None)
            return Part(source.uri, table, table.nbytes)
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

        def read(ref: ObjectRef) -> pa.Table:
            part = PartOf.at(ref)
            keep = self.kept(part.schema, as_type)
            wanted = self._groups(part), self._fetched(part, keep)
            table = part.table(*wanted, self.limit.of(ref.size, ref.uri))
            return self.projection.of(restored(table, part.schema), ref.uri, keep=keep)

        with reading(ref.uri, "Parquet"):
            return twice(read, ref)

    def _reader(self, ref: ObjectRef) -> pa.RecordBatchReader:
        def look(ref: ObjectRef) -> tuple[PartOf, list[str] | None, list[int], list[str] | None]:
            part = PartOf.at(ref)
            part.check()
            names = self.projection.names(part.schema, ref.uri)
            return part, names, self._groups(part), self._fetched(part, ())

        with reading(ref.uri, "Parquet"):
            part, names, groups, fetched = twice(look, ref)

        def batches() -> Iterator[pa.RecordBatch]:
            import pyarrow as pa

            with reading(ref.uri, "Parquet"):
                for batch in part.batches(groups, fetched, self.limit.of(ref.size, ref.uri)):
                    table = restored(pa.Table.from_batches([batch]), part.schema)
                    table = self.projection.of(table, ref.uri)
                    yield from table.to_batches()

        return projected_stream(only(part.schema, names), batches())

    def _groups(self, part: PartOf) -> list[int]:
        """The groups of rows that the filters do not exclude."""
        wanted = self.projection.expression(part.schema)
        if wanted is None:
            return list(range(part.footer.num_row_groups))
        # Arrow ends the process where a statistic is damaged.
        part.check()
        try:
            return groups_left(open_ranges(part.ref), wanted)[0]
        except (ValueError, TypeError, NotImplementedError) as error:
            raise self.projection.misfit(part.ref.uri, error) from error

    def _fetched(self, part: PartOf, keep: Sequence[str]) -> list[str] | None:
        names = self.projection.names(part.schema, part.ref.uri, keep=keep)
        used = self.projection.used(part.schema)
        return None if names is None else list(dict.fromkeys([*names, *used]))

    def _writer(self, sink: Any, schema: pa.Schema, first: pa.Table | None) -> pq.ParquetWriter:
        import pyarrow as pa
        import pyarrow.parquet as pq

        repeating: Any = True if first is None else dictionary_columns(first)
        try:
            return pq.ParquetWriter(
                sink,
                schema,
                compression=self.compression,
                compression_level=self.compression_level,
                use_dictionary=repeating,
                write_page_checksum=True,
            )
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            msg = f"Parquet cannot hold this table: {error}"
            raise EncodeError(msg, hint="convert the column, or choose format='arrow'") from error
