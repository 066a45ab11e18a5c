"""The model: requests, dollars and seconds for so many partitions of so many bytes. Pure functions.

What it assumes, and leaves out, stands on the page that it is for, ``docs/explanation/scale.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagster_buckets_s3.uploads import PARTS
from dagster_buckets_s3.wire import PARALLEL_RANGES, PART, RANGE

__all__ = [
    "GB",
    "LARGEST",
    "PAGE",
    "PB",
    "PRICES",
    "TB",
    "Place",
    "Requests",
    "Times",
    "event_log",
    "get_requests",
    "list_pages",
    "put_requests",
    "storage",
    "times",
]

GB, TB, PB = 10**9, 10**12, 10**15
TIB = 1024**4
#: Keys of one answer to a listing.
PAGE = 1000
#: Bytes of an object in S3, as most of its documentation says.
LARGEST = 5 * TIB
#: S3 Standard in us-east-1: dollars for a request of each kind, by the name of :class:`Requests`.
PRICES = {"writes": 0.005 / 1000, "reads": 0.0004 / 1000, "lists": 0.005 / 1000}
#: Dollars for a GB and a month: up to so many bytes, then the next.
STORAGE = ((50 * TB, 0.023), (500 * TB, 0.022), (float("inf"), 0.021))


@dataclass(frozen=True, slots=True)
class Requests:
    """How many of each kind.

    Attributes:
        writes: PUT and POST; uploads in parts have both.
        reads: GET and HEAD.
        lists: Pages of listings.
    """

    writes: int = 0
    reads: int = 0
    lists: int = 0

    @property
    def dollars(self) -> float:
        """What they cost."""
        counts = {"writes": self.writes, "reads": self.reads, "lists": self.lists}
        return sum(counts[kind] * price for kind, price in PRICES.items())


@dataclass(frozen=True, slots=True)
class Place:
    """Where it runs, and what S3 gives.

    Attributes:
        latency: Seconds of a request without its body.
        rate: Bytes a second of one connection.
        network: Bytes a second of one run's machine.
        concurrency: Partitions that a run moves at the same time (``max_concurrency``).
        runs: That do a part of the work each, at the same time.
        cpu: Seconds of one processor for a partition.
        writes: A second that S3 takes under one prefix.
        reads: A second that S3 takes under one prefix.
        prefixes: That S3 serves apart.
    """

    latency: float = 0.03
    rate: float = 90e6
    network: float = 1.25e9
    concurrency: int = 32
    runs: int = 1
    cpu: float = 0.0
    writes: float = 3500.0
    reads: float = 5500.0
    prefixes: int = 1


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that each limit alone would take. They overlap: the longest is what it takes.

    Attributes:
        waiting: For answers, and for what the connections carry.
        computing: Of the processor, for each partition.
        network: Of the machine.
        prefix: By the rate at which S3 takes requests.
    """

    waiting: float
    computing: float
    network: float
    prefix: float

    @property
    def seconds(self) -> float:
        """What it takes."""
        return max(self.waiting, self.computing, self.network, self.prefix)

    @property
    def limit(self) -> str:
        """What it is that takes longest."""
        names = ("waiting", "computing", "network", "prefix")
        return max(names, key=lambda name: float(getattr(self, name)))


def put_requests(size: int) -> int:
    """Of a value in buffers: one, or its parts and what begins and completes their upload."""
    if size <= PART:
        return 1
    part = max(RANGE, -(-size // PARTS))
    return -(-size // part) + 2


def get_requests(size: int) -> int:
    """Of a value that is read as a whole: one, and the ranges of what is beyond it."""
    return 1 + max(0, -(-(size - PART) // RANGE))


def list_pages(keys: int) -> int:
    """Of one listing; at least one, which says that there is nothing."""
    return max(1, -(-keys // PAGE))


def storage(size: int) -> float:
    """Dollars a month for so many bytes."""
    dollars, known = 0.0, 0.0
    for up_to, price in STORAGE:
        here = min(size, up_to) - known
        dollars += max(0.0, here) / GB * price
        known = up_to
    return dollars


def times(partitions: int, size: int, place: Place, *, write: bool) -> Times:
    """How long it takes to write or load so many partitions of so many bytes each."""
    requests = partitions * (put_requests(size) if write else get_requests(size))
    runs = min(place.runs, partitions)
    each = -(-partitions // runs)
    connections = min(each, place.concurrency) * (1 if size <= PART else PARALLEL_RANGES)
    rate = place.writes if write else place.reads
    return Times(
        waiting=(requests * place.latency + partitions * size / place.rate) / (connections * runs),
        computing=each * place.cpu,
        network=partitions * size / (place.network * runs),
        prefix=requests / (rate * place.prefixes),
    )


def event_log(partitions: int, event: float, run: float, runs: int) -> float:
    """Bytes of Dagster's event log for one materialization of each partition.

    Args:
        partitions: How many.
        event: Bytes for a partition.
        run: Bytes for a run, whatever it does.
        runs: Over which they are spread.
    """
    return partitions * event + runs * run
