"""Partitioned assets that write their own key, and consumers that report what they were given."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from dagster_buckets import BucketIOManager
from dagster_buckets.address import AssetAddress
from dagster_buckets.transfer import run_all

from tests.integration.support import run

LETTERS = dg.StaticPartitionsDefinition(["c", "a", "b"])
DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-04-01")
HOURS = dg.HourlyPartitionsDefinition("2024-01-30-00:00", end_date="2024-02-02-00:00")
#: The partition before, of which the first one has none.
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def keyed(name: str, definition: dg.PartitionsDefinition[Any]) -> dg.AssetsDefinition:
    """An asset whose value in each partition is the name of the asset and the partition key."""

    @dg.asset(name=name, partitions_def=definition)
    def made(context: dg.AssetExecutionContext) -> str:
        return value_of(name, context.partition_key)

    return made


def value_of(name: str, key: str) -> str:
    return f"{name} {key}"


def pairs(name: str, partition_keys: Iterable[str]) -> list[tuple[str, str]]:
    """What a load of these partitions of :func:`keyed` gives, in this order."""
    return [(key, value_of(name, key)) for key in partition_keys]


def write(
    manager: Any, asset: dg.AssetsDefinition, *partition_keys: str, **options: Any
) -> list[dg.ExecuteInProcessResult]:
    """Materialise these partitions, each in a run of its own."""
    return [run([asset], manager, partition_key=key, **options) for key in partition_keys]


def plant_partitions(manager: BucketIOManager, name: str, partition_keys: Sequence[str]) -> None:
    """Store what :func:`keyed` would have, without a run for each."""
    values = manager.values
    outcomes = run_all(
        lambda key: values.write(AssetAddress.of([name], key), value_of(name, key)),
        partition_keys,
        max_concurrency=values.max_concurrency,
    )
    assert [outcome.error for outcome in outcomes if outcome.error] == []


def load(
    manager: Any,
    upstream: Any,
    *,
    by: dg.PartitionMapping | None = None,
    as_type: Any = Any,
    into: dg.PartitionsDefinition[Any] | None = None,
    **options: Any,
) -> Any:
    """What a consumer in a run of its own is given.

    Args:
        manager: Of both assets.
        upstream: What it depends on, which is not materialised again; of several assets the last.
        by: How its partitions map to the consumer's.
        as_type: The annotation of the consumer's parameter.
        into: The consumer's partitions.
        options: The metadata of the consumer's input, and what ``run`` takes: the partition
            key, tags, the instance.
    """
    found = []
    assets = upstream if isinstance(upstream, list) else [upstream]
    metadata = options.pop("metadata", None)
    given = dg.AssetIn(
        assets[-1].key, partition_mapping=by, dagster_type=as_type, metadata=metadata
    )

    @dg.asset(ins={"value": given}, partitions_def=into)
    def consumer(value: Any) -> None:
        found.append(value)

    run([*assets, consumer], manager, selection=[consumer], **options)
    (value,) = found
    return value


def load_pairs(manager: Any, upstream: Any, **how: Any) -> list[tuple[str, str]]:
    """As :func:`load`, of strings by partition key; in the order in which they came."""
    found = load(manager, upstream, as_type=dict[str, str], **how)
    assert isinstance(found, dict)
    return [(str(key), value) for key, value in found.items()]
