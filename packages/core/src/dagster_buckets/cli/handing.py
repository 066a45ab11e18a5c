"""Handing over: values that one I/O manager loads and another one writes, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from dagster_buckets.cli.alike import alike
from dagster_buckets.cli.managers import Manager
from dagster_buckets.cli.source import KnownAsset
from dagster_buckets.definitions import address_of, options_of
from dagster_buckets.errors import IntegrityError
from dagster_buckets.formats.dask_types import comes_in_lists
from dagster_buckets.formats.frames import comes_in_parts
from dagster_buckets.requests import Options
from dagster_buckets.streams import PartitionStream

__all__ = ["Asset", "hand_over", "is_there"]

#: Classes whose objects are not the values but give them later, and only once.
_LATER = {"Dataset", "DuckDBPyRelation", "LazyFrame", "Path", "RecordBatchReader"}


@dataclass(frozen=True)
class Asset:
    """An asset of the definitions whose values some I/O manager keeps.

    Attributes:
        known: Its key and partitions.
        definition: Where it is defined.
        kept: Whether one of the two managers keeps its values, and no other one.
    """

    known: KnownAsset
    definition: dg.AssetsDefinition
    kept: bool

    @property
    def key(self) -> dg.AssetKey:
        """Its key."""
        return dg.AssetKey(list(self.known.path))

    @property
    def is_partitioned(self) -> bool:
        """Whether it has partitions."""
        return self.spec.partitions_def is not None

    @cached_property
    def spec(self) -> dg.AssetSpec:
        """What is declared of it."""
        return self.definition.get_asset_spec(self.key)

    @cached_property
    def options(self) -> Options:
        """What its metadata sets."""
        return options_of(self.spec.metadata)

    def partition(self, key: str | None) -> str | None:
        """A partition key of the event log as Dagster hands it to I/O managers."""
        definition = self.spec.partitions_def
        if key is not None and isinstance(definition, dg.MultiPartitionsDefinition):
            return definition.get_partition_key_from_str(key)
        return key

    @cached_property
    def _output(self) -> Mapping[str, Any]:
        """What says that something is this asset's, in the contexts of loads and of writes."""
        shared = {"asset_key": self.key, "definition_metadata": self.spec.metadata}
        if not self.definition.is_executable:
            return shared
        name = self.definition.get_output_name_for_asset_key(self.key)
        return {**shared, "name": name, "op_def": self.definition.op}

    @cached_property
    def _type(self) -> dg.DagsterType:
        """What is asked for: the class that the producer returns, if its objects are the values."""
        if self.definition.is_executable:
            name = self.definition.get_output_name_for_asset_key(self.key)
            found = self.definition.node_def.output_def_named(name).dagster_type
            if _is_value(found.typing_type):
                return found
        return _anything()

    def load(self, manager: Manager, partition: str | None) -> Any:
        """The value that this manager has, as ``load_asset_value`` would give it."""
        of_partition: dict[str, Any] = {}
        if partition is not None:
            of_partition = {
                "partition_key": partition,
                "asset_partition_key_range": dg.PartitionKeyRange(partition, partition),
                "asset_partitions_def": self.spec.partitions_def,
            }
        context = dg.build_input_context(
            asset_key=self.key,
            dagster_type=self._type,
            upstream_output=dg.build_output_context(**self._output, **manager.context),
            **of_partition,
            **manager.context,
        )
        return manager.manager.load_input(context)

    def write(self, manager: Manager, partition: str | None, value: Any) -> None:
        """Write the value, as a run over this partition would."""
        context = dg.build_output_context(
            **self._output,
            **manager.context,
            partition_key=partition,
            asset_partitions_def=self.spec.partitions_def if partition is not None else None,
            dagster_type=_anything(),
        )
        manager.manager.handle_output(context, value)


def _is_value(cls: Any) -> bool:
    """Whether an annotation is the class of a partition's value, not of what gives it later."""
    if not isinstance(cls, type) or cls.__name__ in _LATER:
        return False
    if comes_in_parts(cls) or comes_in_lists(cls):
        return False
    return not issubclass(cls, PartitionStream)


def _anything() -> dg.DagsterType:
    from dagster._core.types.dagster_type import Any as Anything

    return Anything


def hand_over(old: Manager, new: Manager, asset: Asset, partition: str | None) -> None:
    """Load a value, write it, load it again, and compare.

    Raises:
        IntegrityError: The new manager gives another value back; what it wrote is removed, if it
            is one of ours.
        Exception: Whatever the two managers raise.
    """
    value = asset.load(old, partition)
    asset.write(new, partition, value)
    back = asset.load(new, partition)
    if not alike(value, back):
        msg = f"{new.key!r} gives another value back than the {type(value).__name__} it was given"
        raise IntegrityError(msg, hint=_removed(new, asset, partition))


def is_there(old: Manager, new: Manager, asset: Asset, partition: str | None) -> bool | None:
    """Whether the new manager has the same value already; ``None`` if it has another one.

    What cannot be loaded there counts as missing: other managers raise what they like for it.
    """
    try:
        found = asset.load(new, partition)
    except Exception:  # noqa: BLE001 - see above; a write that fails will say why
        return False
    return True if alike(asset.load(old, partition), found) else None


def _removed(new: Manager, asset: Asset, partition: str | None) -> str:
    if not new.is_ours:
        return "materialize it, or remove what was written there"
    address, options = address_of(asset.spec, partition)
    values = new.manager.values.laid_out(options.layout, address.path)
    for located in values.locate([address], listed=True):
        if located is not None:
            values.store.delete([located.key])
    return "it was removed again; name a format that holds such values"
