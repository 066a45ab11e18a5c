"""Real runs of Dagster, and a meter at the manager's two methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from benchmarks.meter import Meter

__all__ = ["DAYS", "days", "load_all", "load_one", "write_all", "write_one"]

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
#: Early enough for 10,000 of them until now.
DAYS = "1998-01-01"
ASSET = "orders"


def days(count: int) -> dg.DailyPartitionsDefinition:
    """So many partitions."""
    import datetime as dt

    end = dt.date.fromisoformat(DAYS) + dt.timedelta(days=count)
    return dg.DailyPartitionsDefinition(DAYS, end_date=end.isoformat())


class _Metered(dg.IOManager):
    """A manager, and a meter around what it does."""

    def __init__(self, manager: Any, meter: Meter, *, writes: bool, then: Any) -> None:
        self._manager, self._meter, self._writes, self._then = manager, meter, writes, then

    def load_input(self, context: dg.InputContext) -> Any:
        if self._writes:
            return self._manager.load_input(context)
        with self._meter:
            loaded = self._manager.load_input(context)
            if self._then:
                self._then(loaded)
            return loaded

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if not self._writes:
            self._manager.handle_output(context, obj)
            return
        with self._meter:
            self._manager.handle_output(context, obj)


def _run(
    assets: list[Any], manager: Any, meter: Meter, *, writes: bool, then: Any = None, **how: Any
) -> dg.ExecuteInProcessResult:
    """One run, with a manager of its own, which has to connect first."""

    @dg.io_manager(required_resource_keys={"inner"})
    def metered(context: dg.InitResourceContext) -> dg.IOManager:
        return _Metered(context.resources.inner, meter, writes=writes, then=then)

    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets,
            resources={"inner": manager, "io_manager": metered},
            instance=instance,
            run_config=_QUIET,
            **how,
        )


def load_all(manager: Any, meter: Meter, annotation: Any, count: int) -> Any:
    """Load all partitions by one input; give what came."""
    source = dg.AssetSpec(ASSET, partitions_def=days(count))
    return _loaded(manager, meter, annotation, source)


def load_one(
    manager: Any, meter: Meter, annotation: Any, then: Callable[[Any], None] | None = None
) -> Any:
    """Load an asset without partitions; give what came.

    Args:
        manager: Loads it.
        meter: Around the load.
        annotation: Of the input.
        then: Is given what came, within the meter.
    """
    return _loaded(manager, meter, annotation, dg.AssetSpec(ASSET), then)


def _loaded(
    manager: Any,
    meter: Meter,
    annotation: Any,
    source: dg.AssetSpec,
    then: Callable[[Any], None] | None = None,
) -> Any:
    loaded: list[Any] = []

    def taker(orders: Any) -> None:
        loaded.append(orders)

    taker.__annotations__["orders"] = annotation
    mapping = dg.AllPartitionMapping() if source.partitions_def else None
    asset = dg.asset(ins={ASSET: dg.AssetIn(partition_mapping=mapping)})(taker)
    _run([source, asset], manager, meter, writes=False, then=then)
    return loaded.pop()


def write_one(manager: Any, meter: Meter, annotation: Any, value: Any) -> None:
    """Materialize an asset without partitions."""
    _run([_annotated(value, annotation, None)], manager, meter, writes=True)


def write_all(
    manager: Any, meter: Meter, annotation: Any, values: Mapping[str, Any], count: int
) -> None:
    """Materialize all partitions by one run."""
    definition = days(count)
    keys = definition.get_partition_keys()
    asset = _annotated(values, annotation, definition)
    tags = {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
    if count == 1:
        _run([asset], manager, meter, writes=True, partition_key=keys[0])
        return
    _run([asset], manager, meter, writes=True, tags=tags)


def _annotated(value: Any, annotation: Any, definition: Any) -> Any:
    def made() -> Any:
        return value

    made.__annotations__["return"] = annotation
    policy = dg.BackfillPolicy.single_run() if definition else None
    return dg.asset(name=ASSET, partitions_def=definition, backfill_policy=policy)(made)
