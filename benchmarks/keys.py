"""How long it takes to map 100,000 partition keys to object keys.

Beside it, in the same run and in turn, the path mapping of Dagster's own filesystem I/O manager,
which all stock managers share. Prints a Markdown table; ``nox -s bench`` runs it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import dagster as dg
from dagster._core.storage.fs_io_manager import PickledObjectFilesystemIOManager
from dagster_buckets import AssetAddress
from dagster_buckets.contexts import load_request
from dagster_buckets.plugins import get_layout

KEYS = 100_000
ROUNDS = 5
#: The stock manager takes so long that a part has to do.
STOCK_KEYS = KEYS // 10

Work = Callable[[], int]


def partition_keys(count: int) -> list[str]:
    """Hourly keys, which have colons to be encoded."""
    return list(dg.HourlyPartitionsDefinition("2010-01-01-00:00").get_partition_keys()[:count])


def context(count: int) -> dg.InputContext:
    """The input of a step that loads that many partitions."""
    definition = dg.StaticPartitionsDefinition(partition_keys(count))
    first, last = definition.get_first_partition_key(), definition.get_last_partition_key()
    return dg.build_input_context(
        asset_key=dg.AssetKey(["sales", "orders"]),
        partition_key=None,
        asset_partition_key_range=dg.PartitionKeyRange(first or "", last or ""),
        asset_partitions_def=definition,
    )


def mapping(layout_name: str) -> Work:
    """From partition key to object key."""
    layout = get_layout(layout_name)
    wanted = partition_keys(KEYS)

    def work() -> int:
        path = ("sales", "orders")
        return len([layout.key(AssetAddress.of(path, key), "parquet") for key in wanted])

    return work


def whole_input(layout_name: str) -> Work:
    """From Dagster's context to object keys, the order of the partitions included."""
    layout, given = get_layout(layout_name), context(KEYS)

    def work() -> int:
        return len([layout.key(t.address, "parquet") for t in load_request(given).targets])

    return work


def stock() -> Work:
    """From Dagster's context to the paths of its filesystem manager."""
    given = context(STOCK_KEYS)
    manager = PickledObjectFilesystemIOManager("/base")  # type: ignore[no-untyped-call]

    def work() -> int:
        return len(manager._get_paths_for_partitions(given))  # noqa: SLF001 - what load_input calls

    return work


def main() -> None:
    """Measure all in turn, and print the medians."""
    subjects: dict[str, tuple[Work, int]] = {
        "hive, partition key to object key": (mapping("hive"), KEYS),
        "legacy:s3, partition key to object key": (mapping("legacy:s3"), KEYS),
        "template {asset}/{partition}.{ext}, partition key to object key": (
            mapping("template:{asset}/{partition}.{ext}"),
            KEYS,
        ),
        "hive, Dagster's context to object keys": (whole_input("hive"), KEYS),
        "stock filesystem manager, Dagster's context to paths": (stock(), STOCK_KEYS),
    }
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS + 1):
        for name, (work, count) in subjects.items():
            start = time.process_time()
            done = work()
            times[name].append((time.process_time() - start) / count * 1e6)
            if done != count:
                msg = f"{name}: {done} keys instead of {count}"
                raise RuntimeError(msg)
    lines = ["| what | µs of CPU a key, median of 5 | least | most |", "|---|---|---|---|"]
    for name, (_, *measured) in times.items():  # the first round warms up
        median, least, most = statistics.median(measured), min(measured), max(measured)
        lines.append(f"| {name} | {median:.2f} | {least:.2f} | {most:.2f} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
