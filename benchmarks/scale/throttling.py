"""How our S3 store behaves where S3 asks to slow down, and what a shard in the keys changes."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from benchmarks.clients import ours
from benchmarks.scale.records import Row
from benchmarks.servers.serving import Traffic
from benchmarks.servers.throttled import REFUSED, throttled

__all__ = ["LIMITS", "throttling"]

#: Of the throttled cloud: writes and reads a second and prefix, a tenth of those of S3.
LIMITS = (350.0, 550.0)
_THROTTLED, _NEAR = 4_000, 0.005
PLAIN, SHARDED = "{asset}/{partition}.{ext}", "{asset}/{shard:1}/{partition}.{ext}"


def throttling() -> list[Row]:
    """A cloud that asks to slow down: without that, under one prefix, and with a shard."""
    plain, sharded = {"layout": f"template:{PLAIN}"}, {"layout": f"template:{SHARDED}"}
    ways: tuple[tuple[str, int, float, dict[str, Any], int], ...] = (
        ("no limit, 1 run", 1, 1e9, plain, 1),
        ("no limit, 4 runs", 4, 1e9, plain, 1),
        ("one prefix, 1 run", 1, LIMITS[0], plain, 1),
        ("one prefix, 4 runs", 4, LIMITS[0], plain, 1),
        ("one prefix, 4 runs, `max_attempts=20`", 4, LIMITS[0], {**plain, "max_attempts": 20}, 1),
        ("`{shard:1}`, 1 run", 1, LIMITS[0], sharded, 2),
        ("`{shard:1}`, 4 runs", 4, LIMITS[0], sharded, 2),
    )
    rows: list[Row] = []
    for name, processes, writes, how, depth in ways:
        reads = LIMITS[1] * writes / LIMITS[0]
        with throttled(_NEAR, writes, reads, depth) as endpoint:
            rows += [
                {"name": name, "verb": verb, **_together(endpoint, verb, how, processes)}
                for verb in ("write", "load")
            ]
    return rows


def _together(endpoint: str, verb: str, how: dict[str, Any], processes: int) -> Row:
    share = _THROTTLED // processes
    spawning = multiprocessing.get_context("spawn")
    move = partial(_moved, endpoint, verb, how)
    with ProcessPoolExecutor(processes, mp_context=spawning) as pool:
        # Processes that have imported everything.
        list(pool.map(move, [0] * processes, [0] * processes))
        Traffic.of(endpoint)
        begun = time.perf_counter()
        done = list(pool.map(move, range(0, _THROTTLED, share), [share] * processes))
        seconds = time.perf_counter() - begun
    seen = Traffic.of(endpoint).requests
    row = {"count": _THROTTLED, "failed": sum(done), "seconds": seconds}
    return {**row, "refused": seen.pop(REFUSED, 0), "requests": sum(seen.values())}


def _moved(endpoint: str, verb: str, how: dict[str, Any], first: int, count: int) -> int:
    """Write or load some partitions; how many failed. In a process of its own."""
    from dagster_buckets import AssetAddress, ObjectNotFoundError
    from dagster_buckets.transfer import run_all

    values = ours(endpoint, format="text", **how).values
    addresses = [AssetAddress.of(["orders"], f"{n:08}") for n in range(first, first + count)]

    def move(address: AssetAddress) -> None:
        if verb == "write":
            values.write(address, "a few bytes", format_name="text")
            return
        # What could not be written is not there: that is an answer, too.
        with suppress(ObjectNotFoundError):
            values.read(address, format_name="text")

    done = run_all(move, addresses, max_concurrency=32)
    return sum(outcome.error is not None for outcome in done)
