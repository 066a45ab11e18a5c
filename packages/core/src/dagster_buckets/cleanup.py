"""Cleanup: a job that deletes what wiped assets and old runs left, and a sensor that starts it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Optional, Self

import dagster as dg
from pydantic import Field

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.definitions import address_of, settings_of
from dagster_buckets.io_manager import BucketIOManager
from dagster_buckets.layouts.runs import RUNS
from dagster_buckets.objects import ObjectInfo
from dagster_buckets.parts import PartFolder, whose
from dagster_buckets.values import ValueStore

# Dagster reads the annotations of ops, which therefore are no strings here.

__all__ = ["build_cleanup"]

_NAME = "dagster_buckets_cleanup"
#: Wipes that one tick of the sensor looks at.
_AT_ONCE = 1000
#: Objects that one request deletes.
_BATCH = 1000


class Wiped(dg.Config):
    """An asset, or some of its partitions, whose materializations somebody has wiped."""

    asset: list[str] = Field(description="The parts of the asset key.")
    partitions: Optional[list[str]] = Field(  # noqa: UP045 - Dagster reads the annotation
        default=None, description="The partition keys; null for the whole asset."
    )
    at: float = Field(description="When, in seconds since 1970. What was written later stays.")


class Cleanup(dg.Config):
    """What to delete."""

    wiped: list[Wiped] = Field(default_factory=list, description="Wiped assets and partitions.")
    runs_older_than_days: Optional[float] = Field(  # noqa: UP045
        default=None, ge=0, description="Outputs of ops of runs that ended so long ago."
    )


def build_cleanup(
    definitions: dg.Definitions, *, runs_older_than: timedelta | None = None
) -> dg.Definitions:
    """A job and a sensor that delete the objects of wiped assets, and of old runs.

    The sensor is off until somebody turns it on, and sees only what is wiped from then on. What
    was written after the wipe, or materialized again, stays. Values of assets that these
    definitions do not have, or that another manager stores, are left alone.

    Args:
        definitions: With the assets, and our managers among the resources. What is returned has
            neither: join it with ``dg.Definitions.merge``.
        runs_older_than: How long the outputs of ops of finished runs are kept; forever by default.
            They are looked for once a day.

    Example:
        >>> from dagster_buckets import MemoryIOManager
        >>> defs = dg.Definitions(resources={"io_manager": MemoryIOManager()})
        >>> defs = dg.Definitions.merge(defs, build_cleanup(defs))
        >>> [sensor.name for sensor in defs.sensors]
        ['dagster_buckets_cleanup_sensor']
    """
    kept = _Kept.of(definitions)

    @dg.op(name=_NAME, required_resource_keys=set(kept.managers))
    def delete(context: dg.OpExecutionContext, config: Cleanup) -> None:
        for wiped in config.wiped:
            kept.delete_wiped(context, wiped)
        if config.runs_older_than_days is not None:
            kept.delete_runs(context, timedelta(days=config.runs_older_than_days))

    @dg.job(name=f"{_NAME}_job", description="Deletes what wiped assets and old runs left.")
    def job() -> None:
        delete()

    @dg.sensor(
        name=f"{_NAME}_sensor",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Starts the cleanup after a wipe.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        config = _due(context, runs_older_than)
        if not config:
            return dg.SkipReason("nothing was wiped")
        run_config = {"ops": {_NAME: {"config": config}}}
        return dg.RunRequest(run_key=context.cursor, run_config=run_config)

    return dg.Definitions(jobs=[job], sensors=[sensor])


@dataclass(frozen=True, slots=True)
class _Kept:
    """What our managers store.

    Attributes:
        managers: The keys of their resources.
        assets: The definition of each asset, and the key of its manager.
    """

    managers: tuple[str, ...]
    assets: Mapping[dg.AssetKey, tuple[dg.AssetSpec, str]]

    @classmethod
    def of(cls, definitions: dg.Definitions) -> Self:
        resources = (definitions.resources or {}).items()
        ours = [name for name, resource in resources if isinstance(resource, BucketIOManager)]
        made = [a for a in definitions.assets or [] if isinstance(a, dg.AssetsDefinition)]
        return cls(
            tuple(sorted(ours)),
            {
                key: (asset.get_asset_spec(key), asset.get_io_manager_key_for_asset_key(key))
                for asset in made
                for key in asset.keys
            },
        )

    def delete_wiped(self, context: dg.OpExecutionContext, wiped: Wiped) -> None:
        """Delete the objects of one wipe that nothing has replaced since."""
        key = dg.AssetKey(wiped.asset)
        spec, manager = self.assets.get(key, (None, ""))
        if spec is None or manager not in self.managers:
            context.log.warning("none of our managers here stores %s", key.to_user_string())
            return
        left = _still_wiped(context.instance, key, wiped)
        if left is not None and not left:
            context.log.info("%s was materialized again", key.to_user_string())
            return
        values: ValueStore = getattr(context.resources, manager).values
        limit = datetime.fromtimestamp(wiped.at, UTC)
        found = [info for info in _objects_of(values, spec, left) if info.modified <= limit]
        _delete(context, values, found)

    def delete_runs(self, context: dg.OpExecutionContext, older_than: timedelta) -> None:
        """Delete the outputs of ops of old runs, of all managers."""
        limit = datetime.now(UTC) - older_than
        for manager in self.managers:
            values: ValueStore = getattr(context.resources, manager).values
            _delete(context, values, _of_old_runs(values, context.instance, limit))


def _due(context: dg.SensorEvaluationContext, runs_older_than: timedelta | None) -> dict[str, Any]:
    """The configuration of the run that is due, nothing if none is; moves the cursor."""
    today = datetime.now(UTC).date().isoformat()
    config: dict[str, Any] = {}
    if context.cursor is None:
        after, day = _newest_wipe(context.instance), ""
    else:
        seen = json.loads(context.cursor)
        after, day = seen["after"], seen["day"]
        wipes = list(_wipes(context.instance, after))
        if wipes:
            after = wipes[-1][0]
            config["wiped"] = [wiped for _, wiped in wipes]
    if runs_older_than is not None and day != today:
        config["runs_older_than_days"] = runs_older_than / timedelta(days=1)
    context.update_cursor(json.dumps({"after": after, "day": today}))
    return config


def _wipes(instance: dg.DagsterInstance, after: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The wipes after one, each with its number."""
    # The instance's own method is deprecated, and no other one knows this kind of event.
    records = instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_WIPED, after_cursor=after),
        limit=_AT_ONCE,
        ascending=True,
    )
    for record in records:
        event = record.event_log_entry.dagster_event
        data: Any = event.event_specific_data if event else None
        if data is None:
            continue
        partitions = None if data.partition_keys is None else list(data.partition_keys)
        wiped = {"asset": list(data.asset_key.path), "partitions": partitions}
        yield record.storage_id, {**wiped, "at": record.timestamp}


def _newest_wipe(instance: dg.DagsterInstance) -> int:
    records = instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_WIPED), limit=1
    )
    return records[0].storage_id if records else 0


def _still_wiped(
    instance: dg.DagsterInstance, key: dg.AssetKey, wiped: Wiped
) -> Sequence[str] | None:
    """The partitions that were not materialized again; ``None`` for a whole asset that was not.

    Nothing for a whole asset that was: which of its objects are new, their times alone would tell.
    """
    if wiped.partitions is None:
        return None if instance.get_latest_materialization_event(key) is None else ()
    again = instance.get_materialized_partitions(key)
    return [partition for partition in wiped.partitions if partition not in again]


def _objects_of(
    values: ValueStore, spec: dg.AssetSpec, partitions: Sequence[str] | None
) -> list[ObjectInfo]:
    """The objects of an asset, or of some of its partitions, in whatever format.

    Raises:
        ConfigurationError: The keys of the layout do not tell which are its.
    """
    path, options = settings_of(spec)
    values = values.laid_out(options.layout, path)
    found: list[tuple[AssetAddress, ObjectInfo]] = []
    if partitions is not None:
        addresses = [address_of(spec, partition)[0] for partition in partitions]
        listed = values.places.listed(addresses)
        found = [(address, info) for address in addresses for _, info in listed[address]]
        for address in addresses:
            folder = PartFolder(values.store, values.layout.stem(address)).key("")
            found += [(address, info) for info in values.store.scan(folder)]
    else:
        for info in values.store.scan(values.layout.prefix(path)):
            owner = _owner(values, info)
            if isinstance(owner, AssetAddress) and owner.path == path:
                found.append((owner, info))
    if not values.layout.exclusive:
        # A key can be another's: the object says whose it is.
        found = [(address, values.store.head(info.key)) for address, info in found]
        for address, info in found:
            values.places.check_owner(address, info)
    return [info for _, info in found]


def _of_old_runs(
    values: ValueStore, instance: dg.DagsterInstance, limit: datetime
) -> list[ObjectInfo]:
    """The outputs of ops of finished runs that wrote nothing since."""
    runs: dict[str, list[ObjectInfo]] = {}
    for info in values.store.scan(f"{RUNS}/"):
        address = _owner(values, info)
        if isinstance(address, OpAddress):
            runs.setdefault(address.run_id, []).append(info)
    return [
        info
        for run_id, infos in runs.items()
        if max(info.modified for info in infos) < limit and _is_over(instance, run_id)
        for info in infos
    ]


def _owner(values: ValueStore, info: ObjectInfo) -> Address | None:
    found = whose(values.layout, info.key)
    return found[0] if found else None


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _delete(
    context: dg.OpExecutionContext, values: ValueStore, found: Iterable[ObjectInfo]
) -> None:
    infos = list(found)
    for start in range(0, len(infos), _BATCH):
        batch = infos[start : start + _BATCH]
        values.store.delete([info.key for info in batch])
        for info in batch:
            context.log.info("deleted %s", info.uri)
