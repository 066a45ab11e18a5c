"""The tables of ``docs/explanation/scale.md``, from the model and from what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.report import lines
from benchmarks.scale import model
from benchmarks.scale.model import GB, LARGEST, PB, PRICES, TB, Place, Requests
from benchmarks.scale.points import LATENCY, RATE
from benchmarks.scale.shown import shown_dollars, shown_size, shown_time
from benchmarks.scale.throttling import LIMITS

__all__ = ["TABLES", "expected", "measured_place", "per_event"]

Records = Mapping[str, Any]
_COUNTS = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_TOTALS = {"1 GB": GB, "1 TB": TB, "1 PB": PB}
_RUNS = 100
#: Of `{shard}`, once S3 serves each apart.
_SHARDS = 256


def inputs(_: Records) -> str:
    """What the model is given."""
    place = Place()
    rows = [
        ("PUT, POST, LIST", f"${PRICES['writes'] * 1000:g} for 1,000"),
        ("GET, HEAD", f"${PRICES['reads'] * 1000:g} for 1,000"),
        ("DELETE, and transfer within the region", "nothing"),
    ]
    before = 0.0
    for up_to, price in model.STORAGE:
        what = f"above {shown_size(before)}" if before else f"up to {shown_size(up_to)}"
        rows.append((f"storage, {what}", f"${price:g} for a GB and month"))
        before = up_to
    rows += [
        ("PUT, POST, DELETE under one prefix", f"{place.writes:,.0f} a second"),
        ("GET, HEAD under one prefix", f"{place.reads:,.0f} a second"),
        ("keys in one answer to LIST", f"{model.PAGE:,}"),
        ("the largest object", "5 TiB"),
        ("latency of a request", f"{place.latency * 1000:.0f} ms"),
        ("one connection", f"{shown_size(place.rate)} a second"),
        ("the network of one run", f"{shown_size(place.network)} a second"),
        ("partitions that a run moves at a time", f"{place.concurrency} (`max_concurrency`)"),
    ]
    return lines(["input", "value"], rows)


def requests(_: Records) -> str:
    """Requests and dollars."""

    def row(count: int, name: str, total: int) -> Sequence[str]:
        size = total // count
        if size > LARGEST:
            return [f"{count:,}", name, shown_size(size), "too large", *[""] * 5]
        puts, gets = count * model.put_requests(size), count * model.get_requests(size)
        pages = model.list_pages(count)
        spent = (Requests(writes=puts), Requests(reads=gets), Requests(lists=pages))
        counts = [f"{number:,}" for number in (puts, gets, pages)]
        return [
            f"{count:,}",
            name,
            shown_size(size),
            *counts,
            *(shown_dollars(one.dollars) for one in spent),
        ]

    head = ["partitions", "bytes", "of each", "write", "load", "list", "write, $", "load, $"]
    return lines([*head, "list, $"], itertools.starmap(row, _works()))


def storage(_: Records) -> str:
    """Dollars a month."""
    rows = [(name, shown_dollars(model.storage(total))) for name, total in _TOTALS.items()]
    return lines(["bytes", "storage, $ a month"], rows)


def _works() -> Iterable[tuple[int, str, int]]:
    return [(count, name, total) for name, total in _TOTALS.items() for count in _COUNTS]


def times(records: Records) -> str:
    """How long it takes."""
    ways = [(1, 1), (_RUNS, 1), (_RUNS, _SHARDS)]

    def row(count: int, name: str, total: int) -> Sequence[str]:
        size = total // count
        if size > LARGEST:
            return [f"{count:,}", name, "too large", *[""] * 5]
        cells = []
        for write, (runs, prefixes) in itertools.product((True, False), ways):
            cpu = measured_place(records, write=write).cpu
            found = model.times(
                count, size, Place(cpu=cpu, runs=runs, prefixes=prefixes), write=write
            )
            cells.append(f"{shown_time(found.seconds)} {found.limit[0]}")
        return [f"{count:,}", name, *cells]

    names = ["1 run", f"{_RUNS} runs", f"{_RUNS} runs, `{{shard}}`"]
    head = [f"{verb}, {name}" for verb in ("write", "load") for name in names]
    return lines(["partitions", "bytes", *head], itertools.starmap(row, _works()))


def measured_place(records: Records, *, write: bool) -> Place:
    """The place of the measured points: its cloud, and the processor's time for a partition."""
    verb = "write" if write else "load"
    rows = [row for row in records["partitions"]["rows"] if row["verb"] == verb]
    (cpu,) = (row["cpu"] / row["count"] for row in rows if row["count"] == 10_000)  # noqa: PLR2004
    return Place(latency=LATENCY, rate=RATE, cpu=cpu)


def expected(records: Records, row: Mapping[str, Any], size: int) -> tuple[int, float]:
    """By the model: the requests and the seconds of a measured row."""
    count, write = row.get("count", 1), row["verb"] == "write"
    if row["verb"] == "list":
        pages = model.list_pages(count)
        return pages, pages * LATENCY
    each = model.put_requests(size) if write else model.get_requests(size)
    place = measured_place(records, write=write)
    return count * each, model.times(count, size, place, write=write).seconds


def _beside(records: Records, row: Mapping[str, Any], size: int) -> list[str]:
    requests, seconds = expected(records, row, size)
    found = sum(row["requests"].values())
    ratio = row["seconds"] / seconds
    return [
        f"{found:,}",
        f"{requests:,}",
        f"{row['seconds']:.3g}",
        f"{seconds:.3g}",
        f"{ratio:.1f}",
    ]


_MODEL = ["requests", "by the model", "s", "by the model", "ratio"]


def partitions(records: Records) -> str:
    """Partitions beside the model."""
    rows = (
        [f"{row['verb']} {row['count']:,}", *_beside(records, row, 11)]
        for row in records["partitions"]["rows"] + records["many"]["rows"]
    )
    return lines(["partitions", *_MODEL], rows)


def sizes(records: Records) -> str:
    """Large values beside the model."""
    rows = (
        [f"{row['verb']} {row['size'] // 1024**2:,} MiB", *_beside(records, row, row["size"])]
        for row in records["sizes"]["rows"]
    )
    return lines(["one value", *_MODEL], rows)


def keys(records: Records) -> str:
    """Layouts."""
    rows = (
        [
            row["layout"],
            f"{row['count']:,}",
            *(f"{row[verb] / row['count'] * 1e6:.1f}" for verb in ("key", "parse")),
            *(shown_time(row[verb]) for verb in ("key", "parse")),
        ]
        for row in records["keys"]["rows"]
    )
    head = ["layout", "keys", "µs to make one", "µs to read one", "all made", "all read"]
    return lines(head, rows)


def shards(records: Records) -> str:
    """How even shards are."""
    rows = (
        [
            f"{row['count']:,} {row['what']}",
            f"{row['shards']}",
            f"{row['fullest']:.2f}",
            f"{row['emptiest']:.2f}",
            f"{row['chi']:.0f}",
            f"{row['shards'] - 1} ± {(2 * (row['shards'] - 1)) ** 0.5:.0f}",
        ]
        for row in records["shards"]["rows"]
    )
    head = [
        "partition keys",
        "shards",
        "fullest, to the mean",
        "emptiest",
        "chi-squared",
        "by chance",
    ]
    return lines(head, rows)


def dagster(records: Records) -> str:
    """What keys cost Dagster."""
    rows = (
        [
            f"{row['count']:,} {row['what']}",
            f"{row['defining']:.2f}",
            f"{row['memory'] / 1024**2:,.0f}",
            f"{row['telling']:.2f}",
            shown_size(row["told"]),
        ]
        for row in records["dagster"]["rows"]
    )
    head = [
        "partitions",
        "all keys, CPU-s",
        "MiB",
        "code location described, CPU-s",
        "its description",
    ]
    return lines(head, rows)


def per_event(records: Records, value: str, runs: str, what: str) -> tuple[float, float]:
    """Bytes for a partition, and for a run beside them, of ``texts`` or ``files``."""
    rows = [r for r in records["events"]["rows"] if r["value"] == value and r["runs"] == runs]
    first, last = rows[-2], rows[-1]
    slope = (last[what] - first[what]) / (last["count"] - first["count"])
    if runs == "each":
        return 0.0, slope
    return slope, max(0.0, rows[0][what] - rows[0]["count"] * slope)


def events(records: Records) -> str:
    """Measured events."""
    rows = (
        [
            f"{row['count']:,} of {'text' if row['value'] == 'text' else 'a frame of 4 columns'}",
            "one" if row["runs"] == "one" else f"{row['count']:,}",
            f"{row['events']:,}",
            shown_size(row["texts"] / row["count"]),
            shown_size(row["files"] / row["count"]),
            f"{row['cpu'] / row['count'] * 1000:.1f}",
        ]
        for row in records["events"]["rows"]
    )
    head = ["partitions", "runs", "events", "events, each", "SQLite, each", "CPU-ms, each"]
    return lines(head, rows)


def log(records: Records) -> str:
    """The event log by the model."""
    rows = []
    for count in _COUNTS:
        cells = []
        for value, runs in itertools.product(("text", "frame"), ("one", "each")):
            event, run = per_event(records, value, runs, "texts")
            cells.append(
                shown_size(model.event_log(count, event, run, 1 if runs == "one" else count))
            )
        rows.append([f"{count:,}", *cells])
    names = [
        f"{what}, {how}" for what in ("text", "frame") for how in ("one run", "a run for each")
    ]
    return lines(["partitions", *names], rows)


def throttling(records: Records) -> str:
    """How the store behaves where it is asked to slow down."""

    def row(found: Mapping[str, Any]) -> Sequence[str]:
        limit = LIMITS[0] if found["verb"] == "write" else LIMITS[1]
        # An idle prefix takes those of one second at once.
        least = (found["count"] - limit) / limit if "prefix" in found["name"] else 0.0
        return [
            f"{found['verb']}, {found['name']}",
            f"{found['refused']:,}",
            f"{found['failed']:,}",
            f"{found['seconds']:.1f}",
            f"{least:.1f}" if least else "",
        ]

    head = ["what", "answers of 503", "failed", "s", "s, least by the limit"]
    return lines(head, map(row, records["throttling"]["rows"]))


def measured(records: Records) -> str:
    """Where, and when."""
    places = sorted({section["machine"] for section in records.values()})
    days = sorted({section["day"] for section in records.values()})
    beside = "Other work ran beside the measurements of shards and of throttling."
    return f"Measured on {' and '.join(days)}: {'; and '.join(places)}. {beside}\n"


#: By the name that stands in the page.
TABLES: dict[str, Callable[[Records], str]] = {
    table.__name__: table
    for table in (
        inputs, requests, storage, times, partitions, sizes, keys, shards, dagster, events, log,
        throttling, measured,
    )
}  # fmt: skip
