"""100,000 partition keys to object keys, and what Dagster itself needs for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way

KEYS = 100_000


def _keys(count: int) -> list[str]:
    """Hourly keys, which have colons to be encoded."""
    import dagster as dg

    return list(dg.HourlyPartitionsDefinition("2010-01-01-00:00").get_partition_keys()[:count])


def _context(count: int) -> Any:
    """The input of a step that loads that many partitions."""
    import dagster as dg

    definition = dg.StaticPartitionsDefinition(_keys(count))
    first, last = definition.get_first_partition_key(), definition.get_last_partition_key()
    return dg.build_input_context(
        asset_key=dg.AssetKey(["sales", "orders"]),
        partition_key=None,
        asset_partition_key_range=dg.PartitionKeyRange(first or "", last or ""),
        asset_partitions_def=definition,
    )


def mapping(meter: Meter, *, layout: str, count: int) -> None:
    """From partition keys to object keys."""
    from dagster_buckets import AssetAddress
    from dagster_buckets.plugins import get_layout

    known, wanted = get_layout(layout), _keys(count)
    with meter:
        for key in wanted:
            known.key(AssetAddress.of(("sales", "orders"), key), "parquet")


def whole(meter: Meter, *, count: int) -> None:
    """From Dagster's context to object keys, the order of the partitions included."""
    from dagster_buckets.contexts import load_request
    from dagster_buckets.plugins import get_layout

    layout, given = get_layout("hive"), _context(count)
    with meter:
        found = [layout.key(t.address, "parquet") for t in load_request(given).targets]
    if len(found) != count:
        raise RuntimeError(len(found))


def dagster_alone(meter: Meter, *, count: int) -> None:
    """What Dagster needs to say which partitions they are."""
    given = _context(count)
    with meter:
        _ = given.asset_partition_keys


def stock(meter: Meter, *, count: int) -> None:
    """From the context to the paths of Dagster's filesystem manager, which all of them share."""
    from dagster._core.storage.fs_io_manager import PickledObjectFilesystemIOManager

    given = _context(count)
    manager = PickledObjectFilesystemIOManager("/base")  # type: ignore[no-untyped-call]
    with meter:
        manager._get_paths_for_partitions(given)  # noqa: SLF001 - what load_input calls


@contextlib.contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """No server."""
    yield {"count": KEYS}


_WARM = {"count": 1000}
_WHOLE, _DAGSTER = "ours, hive: context to object keys", "Dagster: `asset_partition_keys`"


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    beyond = found[_WHOLE].median("seconds") - found[_DAGSTER].median("seconds")
    return [Bound("100,000 keys: seconds beyond Dagster's own", beyond, 0.3)]


CASE = Case(
    name="keys",
    title="100,000 partition keys to object keys",
    about="Hourly keys, whose colons are encoded, of one asset. Nothing is requested.",
    limit=(
        "Python: an address, a tuple and a few strings for each key. A third is their encoding, "
        "and a part of the rest the collector, which looks for cycles among so many new objects."
    ),
    ways=[
        Way("ours, hive: partition keys to object keys", "mapping", {"layout": "hive"}, _WARM),
        Way("ours, legacy:s3: the same", "mapping", {"layout": "legacy:s3"}, _WARM),
        Way(
            "ours, template: the same",
            "mapping",
            {"layout": "template:{asset}/{partition}.{ext}"},
            _WARM,
        ),
        Way(_DAGSTER, "dagster_alone", warm=_WARM),
        Way(_WHOLE, "whole", warm=_WARM),
        Way("stock filesystem manager: context to paths", "stock", warm={"count": 100}),
    ],
    serving=serving,
    bounds=bounds,
    columns=("seconds", "spread", "cpu"),
)
