"""Kinds: the labels by which Dagster's UI shows where an asset lies, and in which format."""

from __future__ import annotations

import dagster as dg
from dagster_shared.record import replace

from dagster_buckets.choosing import first_named
from dagster_buckets.definitions import options_of
from dagster_buckets.io_manager import BucketIOManager
from dagster_buckets.names import AUTO

__all__ = ["with_kinds"]

#: Dagster refuses more.
_MOST = 3


def with_kinds(definitions: dg.Definitions) -> dg.Definitions:
    """The definitions, with kinds on each asset that one of our managers stores.

    They are where it lies (``s3``, ``gcs``, ``file``) and, where metadata or the manager name it,
    its format (``parquet``). The kinds that an asset has already stay; Dagster takes three.

    Args:
        definitions: With the managers among their resources.

    Example:
        >>> from dagster_buckets import MemoryIOManager
        >>> @dg.asset
        ... def orders() -> int:
        ...     return 1
        >>> manager = MemoryIOManager(format="json")
        >>> defs = with_kinds(dg.Definitions([orders], resources={"io_manager": manager}))
        >>> sorted(defs.resolve_asset_graph().get(orders.key).kinds)
        ['json', 'memory']
    """
    resources = definitions.resources or {}
    kept_by = {
        key: resources.get(asset.get_io_manager_key_for_asset_key(key))
        for asset in definitions.assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }

    def labelled(spec: dg.AssetSpec) -> dg.AssetSpec:
        manager = kept_by.get(spec.key)
        if not isinstance(manager, BucketIOManager):
            return spec
        chosen = first_named(options_of(spec.metadata).format, manager.format)
        wanted = [manager.kind, *([] if chosen == AUTO else [chosen])]
        missing = [kind for kind in wanted if kind not in spec.kinds]
        room = max(0, _MOST - len(spec.kinds))
        return spec.replace_attributes(kinds={*spec.kinds, *missing[:room]})

    assets = [
        asset
        if not isinstance(asset, dg.AssetsDefinition)
        else next(iter(dg.map_asset_specs(labelled, [asset])))
        for asset in definitions.assets or []
    ]
    return replace(definitions, assets=assets)
