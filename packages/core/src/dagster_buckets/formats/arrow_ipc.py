"""Format ``arrow``: frames as Arrow IPC files, quick to write and to read, larger than Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, cast

from dagster_buckets.errors import EncodeError
from dagster_buckets.formats.arrow_tables import noted
from dagster_buckets.formats.base import FirstRows
from dagster_buckets.formats.describing import Described, columns_of
from dagster_buckets.formats.frames import arrow_buffer, is_reader_type, projected_stream
from dagster_buckets.formats.ipc_limits import Blocks, blocks_of, check_messages, footer_length
from dagster_buckets.formats.lazy import is_lazy_type, scan_objects
from dagster_buckets.formats.ranged_files import RangedFile, joined, with_footer
from dagster_buckets.formats.schemas import only
from dagster_buckets.formats.sources import Collector, batches_of, gathered, written
from dagster_buckets.formats.tables import TableFormat, reading
from dagster_buckets.objects import Body, Description, Payload
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import io

    import pyarrow as pa

__all__ = ["ArrowIPCFormat"]

#: Rows in a batch of a stream.
_BATCH = 128_000
#: What one request carries.
_ONE_REQUEST = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ArrowIPCFormat(TableFormat):
    """Any frame as an Arrow IPC file; reading it decodes nothing.

    Args:
        compression: Of the buffers.

    Example:
        >>> import pyarrow as pa
        >>> bytes(ArrowIPCFormat().encode(pa.table({"n": [1, 2]})).joined()[:6])
        b'ARROW1'
    """

    name: ClassVar[str] = "arrow"
    extension: ClassVar[str] = "arrow"
    media_type: ClassVar[str] = "application/vnd.apache.arrow.file"

    compression: Literal["none", "zstd", "lz4"] = "none"

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`; streams are written as they come."""
        reader = batches_of(value)
        if reader is None:
            return super().encode(value)
        schema = noted(reader.schema, value)
        _refuse_dictionaries(schema)
        described = Described(schema)

        def tables() -> Iterator[pa.Table]:
            import pyarrow as pa

            for batches in gathered(reader, _BATCH):
                described.add(batches)
                table = pa.Table.from_batches(batches).combine_chunks()
                yield table.replace_schema_metadata(schema.metadata)

        return Body(
            written(lambda sink, _: self._writer(sink, schema), tables()),
            described.description,
        )

    def write_table(self, table: pa.Table) -> Body:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        sink = Collector()
        try:
            # A file has one dictionary for each column.
            whole = table.unify_dictionaries()
            with self._writer(pa.PythonFile(sink, mode="w"), table.schema) as writer:
                writer.write_table(whole)
                if not table.num_rows and all(column.num_chunks for column in whole.columns):
                    # No batch, no dictionaries, which are the categories of an empty frame.
                    columns: Any = [column.chunk(0) for column in whole.columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=table.schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            msg = f"an Arrow file cannot hold this table: {error}"
            hint = "cast dictionaries within other types to their values, or choose 'parquet'"
            raise EncodeError(msg, hint=hint) from error
        return Body.of(*sink.take())

    def read_table(self, payload: Payload) -> pa.Table:
        """See :class:`~dagster_buckets.formats.tables.TableFormat`."""
        import pyarrow as pa

        info = payload.info
        with reading(info.uri, "Arrow IPC"):
            data = arrow_buffer(payload.data)
            check_messages(data, self.limit.of(info.size, info.uri))
            with pa.ipc.open_file(data) as reader:
                table = reader.read_all()
            header = info.header
            if header is None or header.digest is None:
                # Nobody has verified these bytes, and a wrong offset in them kills the process.
                table.validate(full=True)
            return table

    def describe(self, file: BinaryIO) -> Description:
        """Rows and columns, from the batches' headers."""
        import pyarrow as pa

        with pa.ipc.open_file(cast("io.IOBase", file)) as reader:
            rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
            return Description(rows, columns_of(reader.schema))

    def streams_above(self, as_type: type | None) -> int | None:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        return _ONE_REQUEST if as_type is not None and is_reader_type(as_type) else None

    def stream(self, ref: ObjectRef, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        import pyarrow as pa

        if as_type is None or not is_reader_type(as_type):
            return self.decode(ref.get(), as_type)

        with reading(ref.uri, "Arrow IPC"):
            ref = with_footer(ref, footer_length)
            blocks = blocks_of(ref.tail, ref.size)
            ranges = RangedFile(ref, joined(blocks.ranges()))
            file = pa.ipc.open_file(ranges.for_arrow())
            names = self.projection.names(file.schema, ref.uri)

        batches = (
            batch
            for table in self._tables(ref, blocks, ranges, file)
            for batch in table.to_batches()
        )
        return projected_stream(only(file.schema, names), batches)

    def first_rows(self, ref: ObjectRef, count: int) -> FirstRows:
        """The first batches; how many rows all have is not known without reading them."""
        import pyarrow as pa

        with reading(ref.uri, "Arrow IPC"):
            ref = with_footer(ref, footer_length)
            blocks = blocks_of(ref.tail, ref.size)
            wanted = min(count, 1, len(blocks.batches))
            while True:
                part = replace(blocks, batches=blocks.batches[:wanted])
                ranges = RangedFile(ref, joined(part.ranges()) if wanted else [])
                file = pa.ipc.open_file(ranges.for_arrow())
                names = self.projection.names(file.schema, ref.uri)
                tables = [only(file.schema, names).empty_table()]
                tables += list(self._tables(ref, part, ranges, file)) if wanted else []
                found = sum(table.num_rows for table in tables)
                if found >= count or wanted == len(blocks.batches):
                    return FirstRows(pa.concat_tables(tables).slice(0, count), None)
                # Batches of one writer mostly have one size.
                wanted = min(len(blocks.batches), max(2 * wanted, wanted * count // max(found, 1)))

    def _tables(
        self, ref: ObjectRef, blocks: Blocks, ranges: RangedFile, file: pa.RecordBatchFileReader
    ) -> Iterator[pa.Table]:
        """The batches of these blocks, each as a table."""
        import pyarrow as pa

        look, bound = ranges.looked_at(), self.limit.of(ref.size, ref.uri)
        with reading(ref.uri, "Arrow IPC"), closing(ranges):
            # All dictionaries come with the first batch, and stay.
            known = sum(blocks.unpacked(block, look.part) for block in blocks.dictionaries)
            for number, block in enumerate(blocks.batches):
                size = known + blocks.unpacked(block, look.part)
                bound.check(size)
                batch = file.get_batch(number)
                # Nobody has verified these bytes, and a wrong offset kills the process.
                batch.validate(full=True)
                yield self.projection.of(pa.Table.from_batches([batch]), ref.uri)

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
        return scan_objects("arrow", refs, as_type, columns, self.projection, self.limit)

    def _writer(self, sink: Any, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        import pyarrow as pa

        codec = None if self.compression == "none" else self.compression
        return pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec))


def _refuse_dictionaries(schema: pa.Schema) -> None:
    import pyarrow as pa

    for field in schema:
        if pa.types.is_dictionary(field.type):
            msg = f"an Arrow file has one dictionary for column {field.name!r}, which a stream is "
            msg += "not known to keep"
            raise EncodeError(msg, hint="cast the column to its values, or choose 'parquet'")
