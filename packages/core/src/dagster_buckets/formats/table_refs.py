"""Table references: stored tables for other engines to read, of which nothing was read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dagster_buckets.errors import UnsupportedTypeError
from dagster_buckets.formats.projection import Filters, Projection
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.formats.datasets import Kind, ObjectsDataset

__all__ = ["TableRef", "table_ref"]


@dataclass(frozen=True, slots=True)
class TableRef:
    """A stored table for another engine: which objects to read, in which order, and their columns.

    What an input annotated ``TableRef`` gets, for one value or many partitions, in one object each
    or in parts. No row was read: of each object only what says its columns. Can be pickled. The
    functions of :mod:`dagster_buckets.handover` spell it as each engine wants it.

    Attributes:
        format: The name of the format of all objects: ``parquet`` or ``arrow``.
        schema: What all objects fit into; behind their own columns those of the partitions, of
            Arrow's type ``string``.
        objects: In the order of their rows; at least one. The ``partition`` of each are the columns
            that it does not store.

    Example:
        >>> import pyarrow as pa
        >>> from dagster_buckets import AssetAddress, MemoryIOManager
        >>> manager = MemoryIOManager(name="table-refs")
        >>> for day in ("1", "2"):
        ...     table = pa.table({"n": [int(day)]})
        ...     _ = manager.values.write(AssetAddress.of(["sums"], day), table)
        >>> table = manager.table_for("sums", ["1", "2"])
        >>> table.schema.names, table.rows
        (['n', 'partition'], 2)
        >>> table.where([("partition", "=", "2")]).uris
        ['memory://table-refs/sums/partition=2/data.parquet']
    """

    format: Kind
    schema: pa.Schema
    objects: tuple[ObjectRef, ...]

    @property
    def uris(self) -> list[str]:
        """Of the objects, as the store spells them; nothing in them is encoded or a pattern."""
        return [ref.uri for ref in self.objects]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(ref.size for ref in self.objects)

    @property
    def rows(self) -> int | None:
        """Of all objects; ``None`` if one of them does not tell (Arrow IPC outside of parts)."""
        known = [ref.rows for ref in self.objects if ref.rows is not None]
        return sum(known) if len(known) == len(self.objects) else None

    @property
    def partition(self) -> Mapping[str, str]:
        """The columns that no object stores and that have one value in all of them."""
        first, *others = (ref.partition for ref in self.objects)
        return {
            name: value
            for name, value in first.items()
            if all(other.get(name) == value for other in others)
        }

    def by_partition(self) -> list[TableRef]:
        """A table for each combination of partition columns, of which :attr:`partition` tells."""
        groups: dict[tuple[tuple[str, str], ...], list[ObjectRef]] = {}
        for ref in self.objects:
            groups.setdefault(tuple(ref.partition.items()), []).append(ref)
        return [replace(self, objects=tuple(refs)) for refs in groups.values()]

    def where(self, filters: Filters) -> TableRef | None:
        """The table of those objects that can hold such rows; ``None`` if none can.

        By the partition of each and, of parts, by the statistics in the manifest. No request. The
        objects that are left hold other rows, too: the engine has to filter them.

        Args:
            filters: As ``dagster_buckets/filters``: ``[(column, op, value), …]``, or an expression
                of Arrow or Polars.

        Raises:
            ConfigurationError: They are no filters.
            DecodeError: They do not fit the columns.
        """
        from dagster_buckets.formats.datasets import Objects, ObjectsDataset

        projection = Projection(filters=filters)
        projection.of(self.schema.empty_table(), self.objects[0].uri)
        constants = tuple(ref.partition for ref in self.objects)
        known = Objects(self.format, self.objects, constants)
        dataset = ObjectsDataset(known, self.schema)
        left = dataset.left(projection.expression(self.schema))
        return replace(self, objects=tuple(self.objects[at] for at in left)) if left else None


def table_ref(dataset: ObjectsDataset, projection: Projection) -> TableRef:
    """The objects of a dataset, with the partition columns that are not stored in them.

    Raises:
        UnsupportedTypeError: Only some columns or rows are wanted.
    """
    import pyarrow as pa

    objects = dataset.objects
    if projection:
        uri = objects.refs[0].uri
        msg = f"another engine reads {uri} as it is, whatever columns and filters say"
        hint = "leave dagster_buckets/columns and filters out, and choose in the engine; "
        raise UnsupportedTypeError(msg, uri=uri, hint=hint + "TableRef.where leaves out objects")
    schema = dataset.schema
    stored = set(schema.names) - set(objects.names)
    refs = []
    for ref, constants in zip(objects.refs, objects.constants, strict=True):
        keys = {name: key for name, key in ref.partition.items() if name not in stored}
        # Without what was fetched of it to learn its columns.
        refs.append(replace(ref, tail=b"", partition={**keys, **constants}))
    for name in dict.fromkeys(name for ref in refs for name in ref.partition):
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.string()))
    return TableRef(objects.kind, schema, tuple(refs))
