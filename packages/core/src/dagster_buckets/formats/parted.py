"""Parted: a table in many objects, each of bounded size, and a manifest that names them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.errors import BucketsError, ConfigurationError, EncodeError
from dagster_buckets.formats.arrow_tables import noted, to_arrow
from dagster_buckets.formats.base import Part, SupportsLazy
from dagster_buckets.formats.describing import Described
from dagster_buckets.formats.frames import comes_in_parts
from dagster_buckets.formats.part_statistics import statistics_of
from dagster_buckets.formats.sources import batches_of
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.manifests import Manifest, PartEntry
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import Body, Description, Payload
from dagster_buckets.parts import new_write_id
from dagster_buckets.transfer import run_each

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.formats.base import Format
    from dagster_buckets.formats.plans import Plan
    from dagster_buckets.parts import PartFolder
    from dagster_buckets.references import ObjectRef

__all__ = ["PartedFormat", "parted", "write_part"]

#: Parts that are encoded and sent at once.
_AT_ONCE = 2


def parted(inner: Format, part_size: Any) -> Format:
    """A format of tables whose values lie in parts, if it is one that can be scanned.

    Raises:
        ConfigurationError: The format has no parts, or they would hold nothing.
    """
    if not (isinstance(inner, TableFormat) and isinstance(inner, SupportsLazy)):
        msg = f"values in format {inner.name!r} cannot lie in parts"
        raise ConfigurationError(msg, hint="leave part_size out, or choose format='parquet'")
    if not isinstance(part_size, int) or isinstance(part_size, bool) or part_size < 1:
        msg = f"part_size cannot be {part_size!r}"
        raise ConfigurationError(msg, hint="it is bytes in memory, such as 128 * 1024**2")
    return PartedFormat(inner, part_size)


@dataclass(frozen=True, slots=True)
class PartedFormat:
    """Tables as many objects of another format; see :func:`parted`.

    Args:
        inner: The format of the parts.
        part_size: Bytes of Arrow's memory that a part is made of, at most, unless one row has more.

    Example:
        >>> import pyarrow as pa
        >>> from dagster_buckets import AssetAddress, HiveLayout, MemoryStore, ValueStore
        >>> values = ValueStore(MemoryStore("parted"), HiveLayout())
        >>> values = values.having({"part_size": 800})
        >>> stored = values.write(AssetAddress.of(["n"]), pa.table({"n": range(250)}))
        >>> stored.info.key, len(list(values.store.scan("n/data.parts/")))
        ('n/data.parquet.manifest', 3)
        >>> values.read(AssetAddress.of(["n"])).num_rows
        250
    """

    inner: TableFormat
    part_size: int

    @property
    def name(self) -> str:
        """That of the parts."""
        return self.inner.name

    @property
    def extension(self) -> str:
        """That of the parts and the manifest's."""
        return f"{self.inner.extension}.{MANIFEST}"

    @property
    def media_type(self) -> str:
        """Of the manifest."""
        return "application/json"

    @property
    def compression(self) -> str | None:
        """Of the parts."""
        return cast("str | None", getattr(self.inner, "compression", None))

    @property
    def claims(self) -> tuple[str, ...]:
        """Those of the format of the parts."""
        return self.inner.claims

    def encode(self, value: Any) -> Body:
        """There is no place for parts here: see :meth:`encode_parts`."""
        if value is None:
            return self.inner.encode(value)
        msg = f"format {self.name!r} in parts needs a store to put them to"
        raise EncodeError(msg, hint="write it by ValueStore, or leave part_size out")

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """Only what the manifest itself says; values are read through their parts."""
        del as_type
        return Manifest.of(payload)

    def encode_parts(self, value: Any, folder: PartFolder, label: str | None) -> Body:
        """See :class:`~dagster_buckets.formats.base.SupportsParts`."""
        plan = self.plan(value, folder, label)
        if plan is not None:
            return plan.compute()
        reader = batches_of(value)
        if reader is None:
            table = to_arrow(value, self.name)
            reader, schema = table.to_reader(), table.schema
        else:
            schema = noted(reader.schema, value)
        writing = _Writing(self.inner, folder, label, schema)
        with _removed_on_failure(folder, writing.write_id):
            entries = writing.write(_rolled(reader, self.part_size))
        manifest = Manifest(self.name, schema, entries)

        def described(rows: int) -> Description:
            found = writing.described.description(rows)
            return replace(found, parts=len(entries), parts_size=manifest.size)

        return Body.of(manifest.to_bytes(), description=described)

    def plan(self, value: Any, folder: PartFolder, label: str | None) -> Plan | None:
        """See :class:`~dagster_buckets.formats.base.SupportsPlans`."""
        if not comes_in_parts(type(value)):
            return None
        from dagster_buckets.formats.dask_frames import plan_of

        return plan_of(value, folder, self.inner, label)

    def parts(self, payload: Payload, folder: PartFolder) -> Sequence[ObjectRef]:
        """See :class:`~dagster_buckets.formats.base.SupportsParts`."""
        written = payload.info.modified
        return [folder.ref(part, written) for part in Manifest.of(payload).parts]

    def can_concat(self, as_type: type) -> bool:
        """As the format of the parts."""
        return self.inner.can_concat(as_type)

    def part(self, source: Payload | ObjectRef) -> Part:
        """Never called: what is joined are the parts."""
        raise NotImplementedError(source)

    def concat(
        self,
        parts: Sequence[Part],
        as_type: type | None,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """As the format of the parts."""
        return self.inner.concat(parts, as_type, columns)


@contextmanager
def _removed_on_failure(folder: PartFolder, write_id: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # No manifest names them. What cannot be removed now is garbage that is found later.
        with suppress(BucketsError):
            folder.delete_of(write_id)
        raise


class _Writing:
    """The parts of one write.

    Attributes:
        write_id: Of this write.
        described: What came so far.
    """

    def __init__(
        self, inner: TableFormat, folder: PartFolder, label: str | None, schema: pa.Schema
    ) -> None:
        self._inner, self._folder, self._label, self._schema = inner, folder, label, schema
        self._failure: Exception | None = None
        self.write_id = new_write_id()
        self.described = Described(schema)

    def write(self, rolled: Iterator[list[pa.RecordBatch]]) -> tuple[PartEntry, ...]:
        """Write them, two at a time, and wait for all."""
        outcomes = run_each(
            self._put,
            self._named(rolled),
            max_concurrency=_AT_ONCE,
            weigh=lambda _: 0,
        )
        entries: list[PartEntry] = []
        for outcome in outcomes:
            if outcome.error is not None:
                self._failure = self._failure or outcome.error
            elif outcome.result is not None:
                entries.append(outcome.result)
        if self._failure is not None:
            raise self._failure
        return tuple(entries)

    def _named(
        self, rolled: Iterator[list[pa.RecordBatch]]
    ) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
        """The parts that are still to be written; none after a failure, whose error is kept.

        What has begun is waited for, so that it can be removed.
        """
        try:
            for number, batches in enumerate(rolled):
                if self._failure is not None:
                    return
                self.described.add(batches)
                yield number, batches
        except Exception as error:  # noqa: BLE001 - the source's own, raised by write
            self._failure = error

    def _put(self, item: tuple[int, list[pa.RecordBatch]]) -> PartEntry:
        import pyarrow as pa

        number, batches = item
        plain = self._schema.remove_metadata()
        table = pa.Table.from_batches(
            [batch.replace_schema_metadata(None) for batch in batches], plain
        )
        table = table.replace_schema_metadata(self._schema.metadata)
        return write_part(self._folder, self._inner, table, self.write_id, number, self._label)


def write_part(  # noqa: PLR0913, PLR0917 - what a worker in another process is given
    folder: PartFolder,
    inner: TableFormat,
    table: pa.Table,
    write_id: str,
    number: int,
    label: str | None,
) -> PartEntry:
    """Write one part, under a name that not even a second try of it has.

    Raises:
        EncodeError: The format cannot hold it.
        StoreError: The store failed.
    """
    name = f"part-{write_id}-{number:05}-{uuid.uuid4().hex[:8]}.{inner.extension}"
    info = folder.put(name, inner.write_table(table), inner.name, label)
    digest = (info.header.digest if info.header else None) or ""
    return PartEntry(name, info.size, digest, table.num_rows, {}, statistics_of(table))


def _rolled(reader: pa.RecordBatchReader, size: int) -> Iterator[list[pa.RecordBatch]]:
    """The batches, cut and put together to so many bytes; one empty list if there are none."""
    waiting: list[pa.RecordBatch] = []
    count, some = 0, False
    for batch in reader:
        rest = batch
        while rest.num_rows:
            each = max(1, rest.nbytes // rest.num_rows)
            piece = rest.slice(0, max(1, (size - count) // each))
            rest = rest.slice(piece.num_rows)
            waiting.append(piece)
            count += piece.num_rows * each
            if count + each > size:
                yield waiting
                waiting, count, some = [], 0, True
    if waiting or not some:
        yield waiting
