"""Runs that take long or hold much, each in a process of its own: ``python -m … <what> <folder>``.

Prints ``ready`` when the work has begun, and at its end a line of JSON.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from dagster_buckets import AssetAddress, PartitionStream
from dagster_buckets_local import LocalIOManager, LocalStore

MANY = [f"{number:04}" for number in range(800)]
LARGE = [f"{number:03}" for number in range(160)]
LARGE_BYTES = 6 * 1024 * 1024
SINGLE = dg.BackfillPolicy.single_run()


class SlowStore(LocalStore):
    """A store that takes a fifth of a second for everything."""

    def get(self, key: str) -> Any:
        time.sleep(0.2)
        return super().get(key)

    def peek(self, key: str, size: int) -> Any:
        time.sleep(0.2)
        return super().peek(key, size)

    def put(self, *args: Any, **options: Any) -> Any:
        time.sleep(0.2)
        return super().put(*args, **options)


class SlowIOManager(LocalIOManager):
    """Local files, slowly."""

    def make_store(self) -> Any:
        """See the base class."""
        return SlowStore(self.root, self.prefix)


def many_assets() -> dict[str, Any]:
    """Assets that write and read many partitions."""
    definition = dg.StaticPartitionsDefinition(MANY)

    @dg.asset(name="many", partitions_def=definition, backfill_policy=SINGLE)
    def as_dict(context: dg.AssetExecutionContext) -> dict[str, str]:
        say("ready")
        return {key: key for key in context.partition_keys}

    @dg.asset(name="many", partitions_def=definition, backfill_policy=SINGLE)
    def as_stream(context: dg.AssetExecutionContext) -> PartitionStream[str]:
        say("ready")
        return PartitionStream((key, key) for key in context.partition_keys)

    @dg.asset(ins={"many": dg.AssetIn("many")})
    def reads_dict(many: dict[str, str]) -> int:
        return len(many)

    @dg.asset(ins={"many": dg.AssetIn("many")})
    def reads_stream(many: PartitionStream[str]) -> int:
        say("ready")
        return len(list(many))

    return {
        "write_dict": as_dict,
        "write_stream": as_stream,
        "read_dict": reads_dict,
        "read_stream": reads_stream,
        "source": dg.AssetSpec("many", partitions_def=definition),
    }


def interrupted(what: str, folder: Path, instance: dg.DagsterInstance) -> dict[str, Any]:
    """A run that somebody interrupts; says what it raised."""
    manager = SlowIOManager(root=str(folder / "objects"), max_concurrency=8)
    assets = many_assets()
    tags = {}
    if what.startswith("write"):
        tags = {
            "dagster/asset_partition_range_start": MANY[0],
            "dagster/asset_partition_range_end": MANY[-1],
        }
        chosen = [assets[what]]
    else:
        plain = LocalIOManager(root=str(folder / "objects")).values
        for key in MANY:
            plain.write(AssetAddress.of(["many"], key), key)
        chosen = [assets["source"], assets[what]]
        say("ready")
    try:
        selection = chosen[-1:]
        resources = {"io_manager": manager}
        dg.materialize(
            chosen, selection=selection, resources=resources, tags=tags, instance=instance
        )
    except BaseException as error:  # noqa: BLE001 - what it is, is the result
        raised = type(error).__name__
    else:
        raised = ""
    shown = instance.get_materialized_partitions(dg.AssetKey("many"))
    return {"raised": raised, "materialized": sorted(shown)}


def large(what: str, folder: Path, instance: dg.DagsterInstance) -> dict[str, Any]:
    """A stream that does not fit; says how many bytes the process held at most, and before."""
    definition = dg.StaticPartitionsDefinition(LARGE)
    manager = LocalIOManager(root=str(folder / "objects"))

    def pairs(keys: Sequence[str]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        for number, key in enumerate(keys):
            yield key, np.full(LARGE_BYTES, number, dtype=np.uint8)

    @dg.asset(
        name="large",
        partitions_def=definition,
        backfill_policy=SINGLE,
        metadata={"dagster_buckets/format": "pickle"},
    )
    def writes(context: dg.AssetExecutionContext) -> PartitionStream[np.ndarray]:
        return PartitionStream(pairs(sorted(context.partition_keys)))

    @dg.asset(ins={"large": dg.AssetIn(metadata={"dagster_buckets/format": "pickle"})})
    def reads(large: PartitionStream[np.ndarray]) -> int:
        return sum(int(value[0]) == number for number, (_, value) in enumerate(large))

    options: dict[str, Any] = {"resources": {"io_manager": manager}, "instance": instance}
    tags = {
        "dagster/asset_partition_range_start": LARGE[0],
        "dagster/asset_partition_range_end": LARGE[-1],
    }
    # Everything that is imported once is imported now.
    dg.materialize([writes], partition_key=LARGE[0], **options)
    before = peak()
    if what == "write":
        dg.materialize([writes], tags=tags, **options)
        return {"held": peak() - before, "stored": len(list(manager.values.store.scan()))}
    for key, value in pairs(LARGE):
        manager.values.write(AssetAddress.of(["large"], key), value, format_name="pickle")
    before = peak()
    result = dg.materialize([writes, reads], selection=[reads], **options)
    return {"held": peak() - before, "right": result.output_for_node("reads")}


def say(line: str) -> None:
    """Tell the parent process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def peak() -> int:
    """The most bytes that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Run what the arguments name."""
    kind, what, place = sys.argv[1:]
    folder = Path(place)
    home = folder / "home"
    home.mkdir()
    instance = dg.DagsterInstance.local_temp(str(home))
    result = {"interrupted": interrupted, "large": large}[kind](what, folder, instance)
    say(json.dumps(result))


if __name__ == "__main__":
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    main()
