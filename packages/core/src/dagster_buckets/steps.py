"""Steps: what a manager does in a run, joined from contexts, values and metadata."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster_buckets.chain import Chain, Link
from dagster_buckets.checks import check_setting
from dagster_buckets.choosing import Formats
from dagster_buckets.contexts import load_request, write_request
from dagster_buckets.definitions import AssetLike, PartitionLike, address_of, settings_of
from dagster_buckets.errors import UnsupportedTypeError
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.formats.table_refs import TableRef
from dagster_buckets.loading import load
from dagster_buckets.metadata import Recording, Shown, describe_load
from dagster_buckets.plugins import get_layout
from dagster_buckets.requests import LoadRequest, Target
from dagster_buckets.stores.cache_folder import CacheFolder
from dagster_buckets.stores.cached import CachedStore
from dagster_buckets.values import ValueStore, scheme_of
from dagster_buckets.writing import write

if TYPE_CHECKING:
    from dagster import InputContext, OutputContext

    from dagster_buckets.io_manager import BucketIOManager

__all__ = ["chain_of", "read_input", "table_of", "value_store", "write_output"]


def value_store(manager: BucketIOManager) -> ValueStore:
    """The data path of a manager's settings, which are known by now, those of the environment too.

    Raises:
        BucketsError: They cannot work.
    """
    for name in ("prefix", "format", "layout", "pickle_key"):
        check_setting(name, getattr(manager, name))
    store = manager.make_store()
    if manager.cache is not None:
        store = CachedStore(store, CacheFolder(manager.cache, manager.cache_max_bytes))
    formats = Formats(
        manager.format_options,
        allow_pickle=manager.allow_pickle,
        limit=Limit(manager.max_decoded_bytes, manager.max_expansion),
        signing_keys=SigningKeys.parse(manager.pickle_key) if manager.pickle_key else None,
    )
    formats.check()
    layout = get_layout(manager.layout, scheme=scheme_of(store))
    values = ValueStore(store, layout, manager.max_concurrency, formats=formats)
    chain_of(manager, values).check()
    return values


def chain_of(manager: BucketIOManager, values: ValueStore) -> Chain:
    """A manager's values, and behind them those of the manager that it reads from."""
    behind = manager.read_from.chain.links if manager.read_from else ()
    return Chain((Link(values, manager.format), *behind))


def write_output(manager: BucketIOManager, context: OutputContext, value: Any) -> None:
    """Write the output of a step, and tell Dagster what was written."""
    request = write_request(context)
    rows = request.options.preview_rows
    values = replace(manager.values, preview_rows=manager.preview_rows if rows is None else rows)
    shown = Shown(
        masked=frozenset((*manager.mask_columns, *request.options.mask_columns)),
        data_version=manager.data_version,
    )
    with Recording(context, len(request.targets), shown) as record:
        write(values, request, value, default_format=manager.format, record=record)


def read_input(manager: BucketIOManager, context: InputContext) -> Any:
    """Read the input of a step, and tell Dagster what was read."""
    request = load_request(context)
    loaded = load(
        manager.chain, request, default_on_missing=manager.on_missing, log=context.log.info
    )
    describe_load(context, loaded)
    return loaded.value


def table_of(
    manager: BucketIOManager, asset: AssetLike, partitions: Iterable[PartitionLike] | None
) -> TableRef:
    """The stored table of an asset, or of some of its partitions, as in an input of a step."""
    keys = [None] if partitions is None else list(partitions)
    targets = [Target(None, address_of(asset, key)[0]) for key in keys]
    _, options = settings_of(asset)
    request = LoadRequest(targets, partitions is not None, TableRef, None, options)
    loaded = load(
        manager.chain, request, default_on_missing=manager.on_missing, log=lambda _: None
    ).value
    if not isinstance(loaded, TableRef):
        msg = f"{targets[0].address} holds None, which is no table"
        raise UnsupportedTypeError(msg, hint="load it, to see that it is None")
    return loaded
