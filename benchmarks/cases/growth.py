"""How it grows: 10 to 10,000 partitions, and 1 MiB to 8 GiB of one value."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.cases import large, partitions, streams
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud

KIB, MIB, GIB = 1024, 1024**2, 1024**3
COUNTS = (10, 100, 1_000, 10_000)
SIZES = {
    "1 MiB": MIB,
    "16 MiB": 16 * MIB,
    "128 MiB": 128 * MIB,
    "1 GiB": GIB,
    "8 GiB": 8 * GIB,
}
_ROUNDS = 5
#: Of those that take so long that their noise is small.
_FEW = 3


def load(meter: Meter, *, where: str, who: str, count: int, **_: Any) -> None:
    """Some of the partitions that are there, as a dict of tables."""
    meter.endpoint = where
    if who == "ours":
        partitions.load_ours(meter, endpoint=where, count=count, result="tables", format="parquet")
    else:
        partitions.load_bare(meter, endpoint=where, count=count, result="tables")


def write(meter: Meter, *, where: str, who: str, count: int, **_: Any) -> None:
    """So many by one run."""
    meter.endpoint = where
    way = partitions.write_ours if who == "ours" else partitions.write_bare
    way(meter, endpoint=where, count=count)


def sized(meter: Meter, *, endpoint: str, verb: str, size: int, **_: Any) -> None:
    """One value of bytes, by the store."""
    meter.room = size + GIB
    large.on(
        meter, endpoint=endpoint, slow=endpoint, network="slow", verb=verb, client="ours", size=size
    )


def streamed(meter: Meter, *, endpoint: str, verb: str, size: int, **_: Any) -> None:
    """A stream of record batches as an Arrow file, through Dagster, in a process of 4 GiB."""
    streams.stream(meter, endpoint=endpoint, form="arrow", verb=verb, size=size)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """Two clouds: one keeps the partitions, the other is emptied again and again."""
    with ExitStack() as stack:
        where = stack.enter_context(cloud(0.03, 90e6))
        partitions.fill(where, max(COUNTS))
        yield {"where": where, "endpoint": stack.enter_context(cloud(0.03, 90e6))}


def bounds(found: Results) -> list[Bound]:
    """What must hold: time grows no faster than the work, and streams take the same memory."""
    out = []
    for verb in ("load", "write"):
        first, last = (found[f"{verb} {count:,} partitions: ours"] for count in COUNTS[-2:])
        ratio = last.median("seconds") / first.median("seconds")
        out.append(Bound(f"{verb}: 10,000 partitions to 1,000, in time", ratio, 11))
    for verb in ("write", "read"):
        first, last = (found[f"{verb} {label} of bytes"] for label in ("1 GiB", "8 GiB"))
        ratio = last.median("seconds") / first.median("seconds")
        out.append(Bound(f"{verb} bytes: 8 GiB to 1 GiB, in time", ratio, 9))
        small, large_one = (found[f"{verb} a stream of {x}"] for x in ("1 GiB", "8 GiB"))
        more = large_one.median("memory") / small.median("memory")
        out.append(Bound(f"{verb} streams: 8 GiB to 1 GiB, in memory", more, 1.25))
    return out


CASE = Case(
    name="growth",
    title="Growth",
    about=(
        "Partitions of 20 KiB through Dagster beside the bare client with 32 threads; one value of "
        "bytes by the store; record batches as one Arrow file through Dagster, which makes and "
        "compares them meanwhile."
    ),
    limit=(
        "Partitions: as for 1,000. Values: the connections, until memory or the encoder is slower. "
        "Of 8 GiB also the machine: memory that it has not used for a while took 8.8 s to touch, "
        "and 0.4 s the next time. Before values of bytes it is touched; of streams it is the "
        "server, which receives them, that touches it while it is measured."
    ),
    ways=[
        *(
            Way(
                f"{verb} {count:,} partitions: {who}",
                verb,
                {"who": who, "count": count},
                warm={"count": 10},
                beside=f"{verb} {count:,} partitions: bare client" if who == "ours" else "",
                rounds=_ROUNDS if count < COUNTS[-1] else _FEW,
            )
            for verb, count, who in itertools.product(
                ("load", "write"), COUNTS, ("bare client", "ours")
            )
        ),
        *(
            Way(
                f"{verb} {label} of bytes",
                "sized",
                {"verb": verb, "size": size},
                rounds=_ROUNDS if size <= GIB else _FEW,
            )
            for verb, (label, size) in itertools.product(("write", "read"), SIZES.items())
        ),
        *(
            Way(
                f"{verb} a stream of {label}",
                "streamed",
                {"verb": verb, "size": size},
                warm={"size": 16 * MIB},
                rounds=_ROUNDS if size <= GIB else _FEW,
            )
            for verb, (label, size) in itertools.product(("write", "read"), SIZES.items())
            if size >= 16 * MIB
        ),
    ],
    serving=serving,
    bounds=bounds,
)
