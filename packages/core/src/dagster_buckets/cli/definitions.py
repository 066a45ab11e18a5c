"""Definitions: the I/O manager and the assets of a module, as Dagster itself loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import dagster as dg

from dagster_buckets.address import AssetAddress
from dagster_buckets.cli.managers import made, said
from dagster_buckets.cli.request import Request
from dagster_buckets.cli.source import KnownAsset, Source
from dagster_buckets.definitions import dimensions_of, options_of
from dagster_buckets.errors import BucketsError, ConfigurationError
from dagster_buckets.io_manager import BucketIOManager
from dagster_buckets.stores.cached import CachedStore
from dagster_buckets.values import ValueStore

__all__ = ["assets_of", "load_managers", "load_repository", "load_source", "values_of"]

_DEFAULT = "io_manager"


def load_source(request: Request) -> Source:
    """The bucket of the I/O manager of a module, and the assets that it stores.

    Raises:
        ConfigurationError: The module does not load, has no ``Definitions``, or none or several of
            our managers without one being named.
    """
    repository = load_repository(request)
    managers = _managers_of(repository)
    key = _chosen(managers, request.resource)
    return Source(_initialized(repository, key), assets_of(repository, key))


def load_managers(request: Request, keys: Sequence[str]) -> list[Source]:
    """The buckets of several I/O managers of one module; raises as :func:`load_source`."""
    repository = load_repository(request)
    managers = _managers_of(repository)
    found = []
    for key in keys:
        values = _initialized(repository, _chosen(managers, key))
        found.append(Source(values, assets_of(repository, None)))
    return found


def load_repository(request: Request) -> dg.RepositoryDefinition:
    """What the module defines.

    Raises:
        ConfigurationError: It does not load, or has no ``Definitions``.
    """
    from dagster._core.definitions.reconstruct import repository_def_from_target_def
    from dagster._core.workspace import autodiscovery

    folder = request.working_directory or "."
    name = request.module_name or request.python_file
    try:
        if request.attribute is not None:
            target: Any = getattr(_load_module(request, folder), request.attribute)
        elif request.module_name is not None:
            found = autodiscovery.loadable_targets_from_python_module(request.module_name, folder)
            target = found[0].target_definition
        else:
            path = str(request.python_file)
            found = autodiscovery.loadable_targets_from_python_file(path, folder)
            target = found[0].target_definition
        repository = repository_def_from_target_def(target)
    except BucketsError:
        raise
    except Exception as error:
        # The module is a user's own code: any exception can come out of it.
        msg = f"{name} does not load: {said(error)}"
        hint = "see where: dagster definitions validate"
        raise ConfigurationError(msg, hint=hint) from error
    if repository is None:
        msg = f"{name}: {request.attribute} is no Definitions"
        raise ConfigurationError(msg, hint="name another --attribute")
    return repository


def _load_module(request: Request, folder: str) -> Any:
    from dagster._core.code_pointer import load_python_file, load_python_module

    if request.module_name is not None:
        return load_python_module(request.module_name, folder)
    return load_python_file(str(request.python_file), folder)


def _managers_of(repository: dg.RepositoryDefinition) -> Mapping[str, dg.ResourceDefinition]:
    return {
        key: resource
        for key, resource in repository.get_top_level_resources().items()
        if _is_manager(getattr(resource, "configurable_resource_cls", None))
    }


def _is_manager(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, BucketIOManager)


def _chosen(managers: Mapping[str, dg.ResourceDefinition], key: str | None) -> str:
    listed = ", ".join(sorted(managers)) or "none"
    if key is not None:
        if key not in managers:
            msg = f"there is no I/O manager of dagster-buckets under the resource key {key!r}"
            raise ConfigurationError(msg, hint=f"these are there: {listed}")
        return key
    if not managers:
        msg = "none of the resources is an I/O manager of dagster-buckets"
        raise ConfigurationError(msg, hint="give the bucket's URI instead of -m or -f")
    if len(managers) == 1:
        return next(iter(managers))
    if _DEFAULT in managers:
        return _DEFAULT
    msg = "several resources are I/O managers of dagster-buckets"
    raise ConfigurationError(msg, hint=f"name one with --resource: {listed}")


def _initialized(repository: dg.RepositoryDefinition, key: str) -> ValueStore:
    """The data path of a manager, with the values of its environment variables."""
    with made(repository, [key]) as managers:
        return values_of(key, managers[key].manager)


def values_of(key: str, manager: BucketIOManager) -> ValueStore:
    """The data path of a manager: what is in the bucket, and no cache in between.

    Raises:
        ConfigurationError: Its settings cannot work.
    """
    try:
        values = manager.values
    except BucketsError:
        raise
    except Exception as error:
        # Whoever wrote the manager may raise anything.
        msg = f"the resource {key!r} cannot be made: {said(error)}"
        raise ConfigurationError(msg, hint="correct its settings") from error
    if isinstance(values.store, CachedStore):
        # What is in the bucket is asked for, and nothing that is looked at is kept.
        return replace(values, store=values.store.store)
    return values


def assets_of(
    repository: dg.RepositoryDefinition, key: str | None
) -> Mapping[tuple[str, ...], KnownAsset]:
    """The assets that this I/O manager stores; those of all for ``None``."""
    found: dict[tuple[str, ...], KnownAsset] = {}
    for asset_key, definition in repository.assets_defs_by_key.items():
        if not _has_value(definition, asset_key):
            continue
        if key is None or definition.get_io_manager_key_for_asset_key(asset_key) == key:
            path = tuple(asset_key.path)
            found[path] = _known(path, definition.get_asset_spec(asset_key))
    return found


def _has_value(definition: dg.AssetsDefinition, key: dg.AssetKey) -> bool:
    """Whether an I/O manager may get a value: of external assets another tool may store it."""
    if not definition.is_executable:
        return True
    name = definition.get_output_name_for_asset_key(key)
    return not definition.node_def.output_def_named(name).dagster_type.is_nothing


def _known(path: tuple[str, ...], spec: dg.AssetSpec) -> KnownAsset:
    options = options_of(spec.metadata)
    definition = spec.partitions_def

    def address(partition: str | None) -> AssetAddress:
        if partition is None:
            return AssetAddress(path)
        return AssetAddress.of(path, dimensions_of(partition, definition, options.partition_name))

    @cache
    def partitions() -> Sequence[str] | None:
        if definition is None:
            return None
        try:
            instance = dg.DagsterInstance.get() if _dynamic(definition) else None
        except Exception:  # noqa: BLE001 - without an instance there are no dynamic partitions
            return ()
        return definition.get_partition_keys(dynamic_partitions_store=instance)

    return KnownAsset(path, options.layout, address, partitions)


def _dynamic(definition: dg.PartitionsDefinition[Any]) -> bool:
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return any(_dynamic(one.partitions_def) for one in definition.partitions_defs)
    return isinstance(definition, dg.DynamicPartitionsDefinition)
