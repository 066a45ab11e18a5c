"""The points that are measured, by section: writes, loads and listings, keys, and what joins in.

Each function measures one section and gives its rows. They count first of all: counts are the same
on a busy machine.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.clients import ours
from benchmarks.meter import Meter
from benchmarks.scale.in_dagster import dagster_keys, events
from benchmarks.scale.records import Row, check
from benchmarks.scale.throttling import throttling
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

__all__ = ["LATENCY", "POINTS", "RATE"]

MIB = 1024**2
#: Of the cloud: seconds of a request, bytes a second of a connection.
LATENCY, RATE = 0.03, 90e6
#: Through Dagster, and without its run.
COUNTS, MANY = (10, 1_000, 10_000), 100_000
SIZES = (MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB)
LAYOUTS = {
    "hive": "hive",
    "template": "template:{asset}/{partition}.{ext}",
    "template with {shard}": "template:{asset}/{shard}/{partition}.{ext}",
}


def partitions() -> list[Row]:
    """Partitions of a few bytes: all written by one run, all loaded, all listed."""
    list(_moved(1))  # imports, and Dagster's first run
    return [row for count in COUNTS for row in _moved(count)]


def many() -> list[Row]:
    """As many as take Dagster long: by what it calls, the data path of the manager."""
    return list(_moved(MANY))


def _moved(count: int) -> Iterator[Row]:
    with cloud(LATENCY, RATE) as endpoint:
        for verb, measure in _verbs(count):
            meter = Meter(endpoint)
            measure(endpoint, meter)
            yield {"count": count, "verb": verb, **_figures(meter)}


def _verbs(count: int) -> Iterator[tuple[str, Callable[[str, Meter], None]]]:
    from dagster_buckets import AssetAddress
    from dagster_buckets.transfer import run_all

    from benchmarks.samples import keys
    from benchmarks.through_dagster import load_all, write_all

    def manager(endpoint: str) -> Any:
        return ours(endpoint, format="text")

    def write(endpoint: str, meter: Meter) -> None:
        values = dict.fromkeys(keys(count), "a few bytes")
        write_all(manager(endpoint), meter, dict[str, str], values, count)

    def load(endpoint: str, meter: Meter) -> None:
        found = load_all(manager(endpoint), meter, dict[str, str], count)
        check(len(found), count)

    def each(endpoint: str, meter: Meter, work: Callable[[Any, Any], Any]) -> None:
        values = manager(endpoint).values
        addresses = [AssetAddress.of(["orders"], f"{number:08}") for number in range(count)]
        with meter:
            done = run_all(lambda a: work(values, a), addresses, max_concurrency=32)
        check(sum(outcome.error is None for outcome in done), count)

    def listed(endpoint: str, meter: Meter) -> None:
        values = manager(endpoint).values
        with meter:
            found = sum(1 for _ in values.store.scan("orders/"))
        check(found, count)

    if count < MANY:
        yield "write", write
        yield "load", load
    else:
        yield "write", lambda e, m: each(e, m, lambda v, a: v.write(a, "a", format_name="text"))
        yield "load", lambda e, m: each(e, m, lambda v, a: v.read(a, format_name="text"))
    yield "list", listed


def sizes() -> list[Row]:
    """One value of so many bytes, written and loaded."""
    from benchmarks.cases.requests import sized

    rows = []
    with cloud(LATENCY, RATE) as endpoint:
        sized(Meter(endpoint), endpoint=endpoint, verb="load", size=1)  # imports
        for size in SIZES:
            for verb in ("write", "load"):
                meter = Meter(endpoint)
                sized(meter, endpoint=endpoint, verb=verb, size=size)
                rows.append({"size": size, "verb": verb, **_figures(meter)})
                forget(endpoint)
    return rows


def keys() -> list[Row]:
    """Addresses to keys and back, of a minute each, in memory."""
    from dagster_buckets import AssetAddress
    from dagster_buckets.plugins import get_layout

    rows = []
    for name, spec in LAYOUTS.items():
        layout = get_layout(spec)
        for count in (1_000_000, 10_000_000) if name == "hive" else (100_000,):
            seconds = {"key": 0.0, "parse": 0.0}
            for part in _minutes(count):
                begun = time.process_time()
                found = [layout.key(AssetAddress.of(["orders"], one), "parquet") for one in part]
                seconds["key"] += time.process_time() - begun
                begun = time.process_time()
                read = [layout.parse(key) for key in found]
                seconds["parse"] += time.process_time() - begun
                addresses = [AssetAddress.of(["orders"], one) for one in part]
                check(
                    sum(a == (b, "parquet") for a, b in zip(read, addresses, strict=True)),
                    len(part),
                )
            rows.append({"layout": name, "count": count, **seconds})
    return rows


def _minutes(count: int, at_once: int = 100_000) -> Iterator[list[str]]:
    import numpy as np

    start = np.datetime64("2000-01-01T00:00", "m")
    for first in range(0, count, at_once):
        some = np.datetime_as_string(start + np.arange(first, min(first + at_once, count)))
        yield [text.replace("T", "-") for text in some.tolist()]


def shards() -> list[Row]:
    """How even shards are: the fullest and emptiest beside the mean, and chi-squared."""
    from dagster_buckets import AssetAddress
    from dagster_buckets.layouts.template.shards import shard_of

    rows = []
    days = [part[0][:10] for part in _minutes(1440 * 3650, 1440)]
    known = {"days": days, "minutes": [one for part in _minutes(1_000_000) for one in part]}
    known["numbers"] = [str(number) for number in range(100_000)]
    for what, values in known.items():
        for width in (1, 2):
            found = Counter(shard_of(AssetAddress.of(["orders"], one), width) for one in values)
            many = 16**width
            mean = len(values) / many
            counts = [found.get(f"{n:0{width}x}", 0) for n in range(many)]
            chi = sum((one - mean) ** 2 / mean for one in counts)
            row = {"what": what, "count": len(values), "shards": many, "chi": chi}
            rows.append({**row, "fullest": max(counts) / mean, "emptiest": min(counts) / mean})
    return rows


def _figures(meter: Meter) -> Row:
    found = meter.record()
    return {name: found[name] for name in ("seconds", "cpu", "memory", "requests")}


POINTS: dict[str, Callable[[], list[Row]]] = {
    "partitions": partitions,
    "many": many,
    "sizes": sizes,
    "keys": keys,
    "shards": shards,
    "dagster": dagster_keys,
    "events": events,
    "throttling": throttling,
}
