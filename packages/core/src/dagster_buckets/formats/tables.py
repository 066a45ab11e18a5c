"""Tables: what all formats of frames have in common, as a class that a format may inherit from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from dagster_buckets.errors import BucketsError, DecodeError
from dagster_buckets.formats.arrow_tables import to_arrow
from dagster_buckets.formats.base import Part
from dagster_buckets.formats.describing import describe_table
from dagster_buckets.formats.frames import concat_tables, from_arrow, index_of_pandas, is_frame_type
from dagster_buckets.formats.lazy import is_lazy_type, scan_of_table
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.options import setting
from dagster_buckets.formats.projection import Filters, Projection
from dagster_buckets.objects import Body, Description, ObjectInfo, Payload
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TableFormat", "reading"]


@dataclass(frozen=True, kw_only=True)
class TableFormat(ABC):
    """A format of Arrow tables: only :meth:`write_table` and :meth:`read_table` are missing.

    It then writes and gives frames of every library, joins partitions, tells rows and columns, and
    takes the options ``columns`` and ``filters``.

    Args:
        columns: The columns to load, in this order; ``None`` for all.
        filters: The rows to load; see :class:`~dagster_buckets.formats.projection.Projection`.
        limit: How large a table may become in memory.
    """

    name: ClassVar[str]
    extension: ClassVar[str]
    media_type: ClassVar[str]
    claims: ClassVar[tuple[str, ...]] = ()

    columns: list[str] | None = None
    filters: Filters = None
    limit: Limit = setting("limit", Limit)  # noqa: RUF009 - it makes a field

    @abstractmethod
    def write_table(self, table: pa.Table) -> Body:
        """The bytes of a table.

        Raises:
            EncodeError: The format cannot hold it; the message names the column.
        """

    @abstractmethod
    def read_table(self, payload: Payload) -> pa.Table:
        """The inverse of :meth:`write_table`.

        Raises:
            DecodeError: The bytes are not in this format; the message names the object.
        """

    @property
    def projection(self) -> Projection:
        """What to keep of a table."""
        return Projection(self.columns, self.filters)

    def __post_init__(self) -> None:
        _ = self.projection

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        table = to_arrow(value, self.name)
        body = self.write_table(table)
        known = body.description or (lambda rows: describe_table(table, rows))
        return replace(body, description=known)

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        return _converted(self._table(payload, as_type), as_type, payload.info.uri)

    def describe(self, file: BinaryIO) -> Description:
        """Rows and columns; reads all of it where a format does not know better."""
        data = file.read()
        info = ObjectInfo("", "the object", len(data), "", datetime.now(UTC))
        return describe_table(self.read_table(Payload(data, info)))

    def can_concat(self, as_type: type) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        return is_frame_type(as_type) or is_lazy_type(as_type)

    def part(self, source: Payload | ObjectRef) -> Part:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        payload = source.get() if isinstance(source, ObjectRef) else source
        table = self._table(payload, None)
        return Part(payload.info.uri, table, table.nbytes)

    def concat(
        self,
        parts: Sequence[Part],
        as_type: type | None,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        uris = [part.uri for part in parts]
        joined = concat_tables([part.value for part in parts], uris, columns)
        if self.columns is not None and not index_of_pandas(joined.schema, as_type):
            # A part does not know what it will become, and has kept an index.
            constants = dict.fromkeys(name for more in columns or () for name in more)
            joined = joined.select(list(dict.fromkeys([*self.columns, *constants])))
        return _converted(joined, as_type, uris[0])

    def kept(self, schema: pa.Schema, as_type: type | None) -> list[str]:
        """The columns that a load keeps although they were not asked for: the index of pandas."""
        return index_of_pandas(schema, as_type)

    def _table(self, payload: Payload, as_type: type | None) -> pa.Table:
        table = self.read_table(payload)
        if self.columns is None and self.filters is None:
            return table
        keep = self.kept(table.schema, as_type)
        return self.projection.of(table, payload.info.uri, keep=keep)


def _converted(table: pa.Table, as_type: type | None, uri: str) -> Any:
    if as_type is not None and is_lazy_type(as_type):
        return scan_of_table(table, as_type)
    return from_arrow(table, as_type, uri)


@contextmanager
def reading(uri: str, kind: str) -> Iterator[None]:
    """Arrow's errors about the bytes of an object as ours.

    Args:
        uri: The object's.
        kind: What it should be, for people.
    """
    import pyarrow as pa

    try:
        yield
    except BucketsError:
        raise  # some of them are errors of the system, too
    except (pa.ArrowException, OSError, ValueError) as error:
        msg = f"{uri} is not a readable {kind} file: {error}"
        hint = "materialize it again, or name the format it has in dagster_buckets/format"
        raise DecodeError(msg, uri=uri, hint=hint) from error
