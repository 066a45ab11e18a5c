"""Format ``parquet``: frames as Apache Parquet, the default for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.base import Column, Description
from dagster_buckets.formats.frames import (
    FRAME_CLAIMS,
    arrow_buffer,
    concat_tables,
    from_arrow,
    is_frame_type,
    to_arrow,
)
from dagster_buckets.objects import Body, Payload

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetFormat"]

#: Small enough that a filter skips most of a big object, large enough to compress well.
_ROWS_PER_GROUP = 128_000


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Any frame as Parquet with zstd, statistics and page checksums.

    Example:
        >>> import pyarrow as pa
        >>> bytes(ParquetFormat().encode(pa.table({"n": [1, 2]})).joined()[:4])
        b'PAR1'
    """

    name: str = "parquet"
    extension: str = "parquet"
    media_type: str = "application/vnd.apache.parquet"
    claims: tuple[str, ...] = FRAME_CLAIMS

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(
            to_arrow(value, self.name),
            sink,
            compression="zstd",
            row_group_size=_ROWS_PER_GROUP,
            write_page_checksum=True,
        )
        return Body.of(memoryview(sink.getvalue()))

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        return from_arrow(self._table(payload), as_type, payload.info.uri)

    def describe(self, file: BinaryIO) -> Description:
        """Rows and columns, from the footer alone."""
        import pyarrow.parquet as pq

        footer = pq.read_metadata(file)
        return Description(footer.num_rows, columns_of(footer.schema.to_arrow_schema()))

    def can_concat(self, as_type: type) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        return is_frame_type(as_type)

    def concat(self, payloads: Sequence[Payload], as_type: type) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        uris = [payload.info.uri for payload in payloads]
        joined = concat_tables([self._table(payload) for payload in payloads], uris)
        return from_arrow(joined, as_type, uris[0])

    def _table(self, payload: Payload) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            source = pa.BufferReader(arrow_buffer(payload.data))
            return pq.ParquetFile(source, page_checksum_verification=True).read()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            msg = f"{payload.info.uri} is not a readable Parquet file: {error}"
            hint = "materialize it again, or name the format it has in dagster_buckets/format"
            raise DecodeError(msg, uri=payload.info.uri, hint=hint) from error


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns of an Arrow schema, as they are shown to people."""
    return tuple(Column(field.name, str(field.type), field.nullable) for field in schema)
