"""How long it takes to load 1,000 partitions of 20 KiB at 30 ms per request.

Ours, as Dagster calls it, beside what the bare client needs to fetch and decode the same objects
(no digest, no retry, no Dagster) and beside Dagster's own S3 manager; all in turn, in one run, on
one server behind a proxy that delays each request. The server is SeaweedFS, because moto would be
what is measured: 32 threads got these objects from it in 2.6 to 3.0 s without any delay, from
SeaweedFS in 0.24 to 0.31 s.

The stock manager waits, the others compute: on a machine that is busy otherwise their distance
shrinks, that of the bare client included, which stands beside it in the table.

Prints a Markdown table; ends with code 1 where a bound does not hold. ``nox -s bench`` runs it in
an environment that has Dagster's own managers.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Before Dagster is imported.
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

from benchmarks.latency import Proxy, Traffic, latency_proxy
from benchmarks.loads import PARTITIONS, Load, bare_and_ours, count, stock, write
from tests.seaweed_server import seaweed_server

SECONDS_PER_REQUEST = 0.030
#: After one that warms up.
ROUNDS = 7
#: The stock manager takes so long that one will do.
STOCK_ROUNDS = 1
#: As a multiple of the bare client's time, at most.
SLOWER = 1.3
#: The stock manager's time as a multiple of ours, at least.
FASTER = 25.0


@dataclass(slots=True)
class Measured:
    """What one load took, round by round."""

    load: Load
    size: int
    seconds: list[float] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    def over(self, bare: Measured) -> float:
        """As a multiple of the bare client's time: the median of what it was in each round.

        What else the machine does then weighs on both alike.
        """
        pairs = zip(self.seconds, bare.seconds, strict=True)
        return statistics.median(own / others for own, others in pairs)

    def requests(self) -> tuple[int, int]:
        """The fewest and the most in one load."""
        counts = [len(traffic.requests) for traffic in self.traffic]
        return min(counts), max(counts)


def measure(measured: Measured, proxy: Proxy, *, keep: bool = True) -> None:
    """Load once, and look at the clock and at what went through the proxy."""
    gc.collect()
    proxy.take()
    seconds, loaded = measured.load.run()
    found = count(loaded)
    if found != PARTITIONS:
        msg = f"{measured.load.name}: {found} partitions instead of {PARTITIONS}"
        raise RuntimeError(msg)
    if keep:
        measured.seconds.append(seconds)
        measured.traffic.append(proxy.take())


def measured() -> list[Measured]:
    """All of it, the stock manager last."""
    with (
        seaweed_server() as server,
        latency_proxy(server, SECONDS_PER_REQUEST) as proxy,
    ):
        written = write(server)
        sizes = {kind: sum(info.size for info in infos) for kind, infos in written.items()}
        every = [Measured(x, sizes[x.kind]) for x in bare_and_ours(proxy.endpoint, written)]
        slow = stock(proxy.endpoint)
        theirs = Measured(slow, sizes[slow.kind])
        for number in range(ROUNDS + 1):
            # Forth and back: nobody always follows the same one.
            for one in every if number % 2 else reversed(every):
                measure(one, proxy, keep=number > 0)
            # Amid the others, in case the machine is busier at one end of the run.
            if ROUNDS // 2 < number <= ROUNDS // 2 + STOCK_ROUNDS:
                measure(theirs, proxy)
        return [*every, theirs]


def rows(results: Sequence[Measured]) -> Iterator[str]:
    """The table."""
    by_name, theirs = {one.load.name: one for one in results}, results[-1]
    yield "| what | s, median | least | most | MB/s | requests | to bare client | stock to it |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for one in results:
        name, seconds, beside = one.load.name, one.seconds, one.load.beside
        least, most = one.requests()
        cells = [
            name,
            f"{one.median:.2f}",
            f"{min(seconds):.2f}",
            f"{max(seconds):.2f}",
            f"{one.size / 1e6 / one.median:.1f}",
            f"{least:,}" if least == most else f"{least:,} to {most:,}",
            f"{one.over(by_name[beside]):.2f}" if beside else "",
            f"{theirs.median / one.median:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"


def broken(results: Sequence[Measured]) -> Iterator[str]:
    """The bounds that do not hold."""
    by_name, theirs = {one.load.name: one for one in results}, results[-1]
    for one in results:
        if one.load.beside is None:
            continue
        over = one.over(by_name[one.load.beside])
        if over > SLOWER:
            yield f"{one.load.name} takes {over:.2f} times the bare client's time, over {SLOWER}"
        faster = theirs.median / one.median
        if faster < FASTER:
            yield f"{one.load.name} is {faster:.1f} times faster than stock, under {FASTER:.0f}"
        for traffic in one.traffic:
            listings = [line for line in traffic.requests if "list-type=" in line]
            objects = {line for line in traffic.requests if line.startswith("GET ")}
            objects.difference_update(listings)
            if len(objects) != PARTITIONS or len(listings) > one.load.listings:
                yield f"{one.load.name} reads {len(objects)} objects by {len(listings)} listings"
            if len(traffic.requests) != len(objects) + len(listings):
                yield f"{one.load.name} makes {len(traffic.requests)} requests"


def main() -> None:
    """Measure, print, judge."""
    results = measured()
    sys.stdout.write("\n".join([*rows(results), ""]))
    if faults := list(broken(results)):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
