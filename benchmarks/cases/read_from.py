"""Loads of a branch: from it and from production, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.cases.partitions import RATE, SECONDS, THREADS
from benchmarks.clients import ours
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.samples import ROWS, frame, keys
from benchmarks.servers.cloud import cloud

COUNT = 1000
#: How many of them the branch has.
BRANCHES = (0, 10, 1000)


def load(meter: Meter, *, endpoint: str, branch: int | None, count: int) -> None:
    """All of them; ``None`` for production alone."""
    import pyarrow as pa

    from benchmarks.through_dagster import load_all

    manager = ours(endpoint, prefix="prod", format="parquet")
    if branch is not None:
        manager = ours(endpoint, prefix=f"branch-{branch}", format="parquet", read_from=manager)
    found = load_all(manager, meter, pa.Table, count)
    if found.num_rows != count * ROWS:
        raise RuntimeError(found.num_rows)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """The cloud, filled."""
    from dagster_buckets import AssetAddress

    with cloud(SECONDS, RATE) as endpoint:
        days = keys(COUNT)
        with ThreadPoolExecutor(THREADS) as pool:
            for prefix, count in [("prod", COUNT), *((f"branch-{n}", n) for n in BRANCHES)]:
                values = ours(endpoint, prefix=prefix).values

                def put(item: tuple[int, str], values: Any = values) -> None:
                    address = AssetAddress.of(["orders"], item[1])
                    values.write(address, frame(item[0]), format_name="parquet")

                list(pool.map(put, enumerate(days[:count])))
        yield {"endpoint": endpoint, "count": COUNT}


_WARM = {"count": 20}
_ALONE = "production alone"


def _name(branch: int) -> str:
    return f"a branch with {branch:,} of them"


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = []
    for branch in BRANCHES:
        own = found[_name(branch)]
        out.append(Bound(f"{_name(branch)}: requests", own.most("requests"), COUNT + 2))
        out.append(Bound(f"{_name(branch)}: to production alone", own.over(found[_ALONE]), 1.3))
    return out


CASE = Case(
    name="read_from",
    title="A branch that reads from production",
    about=(
        "1,000 partitions of 20 KiB as one `pa.Table`, through a manager whose `read_from` is "
        "production's; to the same from production alone."
    ),
    limit=(
        "As above, and one listing of the branch's folder before it, which takes its 30 ms for "
        "each 1,000 objects that it finds; a second one, if it lacks something, because a listing "
        "may be behind."
    ),
    ways=[
        Way(_ALONE, "load", {"branch": None}, warm=_WARM),
        *(
            Way(_name(branch), "load", {"branch": branch}, warm=_WARM, beside=_ALONE)
            for branch in BRANCHES
        ),
    ],
    serving=serving,
    bounds=bounds,
)
