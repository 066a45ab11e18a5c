"""Parted: a table in many objects, each of bounded size, and a manifest that names them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.errors import ConfigurationError, EncodeError
from dagster_buckets.formats.around import Around
from dagster_buckets.formats.arrow_tables import noted, to_arrow
from dagster_buckets.formats.base import Parts, SupportsLazy
from dagster_buckets.formats.describing import Described
from dagster_buckets.formats.frames import comes_in_parts, is_reader_type
from dagster_buckets.formats.part_reading import least_bytes, not_excluded, with_schema
from dagster_buckets.formats.part_writing import PartWriter
from dagster_buckets.formats.rolling import check_columns, rolled, split
from dagster_buckets.formats.sources import batches_of
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.manifests import Manifest
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import Body, Description, Payload
from dagster_buckets.parts import DEEPEST

if TYPE_CHECKING:
    from dagster_buckets.formats.base import Format
    from dagster_buckets.formats.plans import Plan
    from dagster_buckets.parts import PartFolder

__all__ = ["PART_SIZE", "PartedFormat", "parted"]

#: Of a part, where nothing says so.
PART_SIZE = 128 * 1024 * 1024


def parted(inner: Format, part_size: Any = None, partition_by: Any = None) -> Format:
    """A format of tables whose values lie in parts, if it is one that can be scanned.

    Args:
        inner: The format of the parts.
        part_size: See :class:`PartedFormat`; 128 MiB by default.
        partition_by: A column, or several of them.

    Raises:
        ConfigurationError: The format has no parts, or they would hold nothing.
    """
    if not (isinstance(inner, TableFormat) and isinstance(inner, SupportsLazy)):
        msg = f"values in format {inner.name!r} cannot lie in parts"
        hint = "leave part_size and partition_by out, or choose format='parquet'"
        raise ConfigurationError(msg, hint=hint)
    size = PART_SIZE if part_size is None else part_size
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        msg = f"part_size cannot be {part_size!r}"
        raise ConfigurationError(msg, hint="it is bytes in memory, such as 128 * 1024**2")
    return PartedFormat(inner, size, _names(partition_by))


def _names(partition_by: Any) -> tuple[str, ...]:
    if partition_by is None:
        return ()
    names = (partition_by,) if isinstance(partition_by, str) else partition_by
    right = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not right or not 0 < len(names) == len(set(names)) <= DEEPEST:
        msg = f"partition_by cannot be {partition_by!r}"
        hint = f"it is the name of a column, or a list of up to {DEEPEST} different ones"
        raise ConfigurationError(msg, hint=hint)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class PartedFormat(Around):
    """Tables as many objects of another format; see :func:`parted`.

    Args:
        inner: The format of the parts.
        part_size: Bytes of Arrow's memory that a part is made of, at most, unless one row has more.
        partition_by: The columns of which each part has one value, which is in the name of its
            folder, too.

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
    part_size: int = PART_SIZE
    partition_by: tuple[str, ...] = ()

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
        return getattr(self.inner, "compression", None)

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
        writer = PartWriter(folder, self.inner, label, self.partition_by)
        reader = batches_of(value)
        if reader is None:
            table = to_arrow(value, self.name)
            reader, schema = table.to_reader(), table.schema
        else:
            schema = noted(reader.schema, value)
        check_columns(schema, self.partition_by)
        rolls = (
            split(reader, self.partition_by, self.part_size)
            if self.partition_by
            else rolled(reader, self.part_size)
        )
        described = Described(schema)
        with writer.all_or_none():
            manifest = Manifest(self.name, schema, writer.put_each(rolls, schema, described))

        def description(rows: int) -> Description:
            found = described.description(rows)
            return replace(found, parts=len(manifest.parts), parts_size=manifest.size)

        return Body.of(manifest.to_bytes(), description=description)

    def plan(self, value: Any, folder: PartFolder, label: str | None) -> Plan | None:
        """See :class:`~dagster_buckets.formats.base.SupportsPlans`."""
        if not comes_in_parts(type(value)):
            return None
        from dagster_buckets.formats.dask_frames import plan_of

        return plan_of(value, PartWriter(folder, self.inner, label, self.partition_by))

    def parts(self, payload: Payload, folder: PartFolder, as_type: type | None) -> Parts:
        """See :class:`~dagster_buckets.formats.base.SupportsParts`."""
        manifest, inner = Manifest.of(payload), self.inner
        all_of_them = [folder.ref(part, payload.info.modified) for part in manifest.parts]
        refs = not_excluded(all_of_them, manifest.schema, inner.projection)
        bound = inner.limit.of(sum(ref.size for ref in refs), payload.info.uri)
        if as_type is not None and cast("SupportsLazy", inner).can_scan(as_type):
            refs = with_schema(refs, inner, manifest.schema)
        elif inner.filters is None and not (as_type and is_reader_type(as_type)):
            bound.check(least_bytes(manifest.schema, manifest.rows, inner.columns))
        return Parts(tuple(refs), bound)
