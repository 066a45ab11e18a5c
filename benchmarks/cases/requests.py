"""How many requests one write, one load and one construction make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import dagster_polars, on_s3fs, ours, stock
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

MIB = 1024 * 1024
#: Counts are the same each time: the second shows that.
_ROUNDS = 2


def _managers(endpoint: str) -> dict[str, Callable[[], Any]]:
    return {
        "ours": lambda: ours(endpoint, format="parquet"),
        "auto": lambda: ours(endpoint),
        "stock": lambda: stock(endpoint),
        "polars": lambda: dagster_polars(endpoint),
        "upath": lambda: on_s3fs(endpoint),
    }


def constructed(meter: Meter, *, endpoint: str, who: str) -> None:
    """Construct a manager, and let Dagster set it up for a run that needs it for nothing."""
    import dagster as dg

    with meter:
        manager = _managers(endpoint)[who]()
        if who != "upath":
            manager.with_resource_context(dg.build_init_resource_context())
    forget(endpoint)


def frames(meter: Meter, *, endpoint: str, verb: str, who: str) -> None:
    """A frame of 1,000 rows."""
    import polars as pl

    from benchmarks.through_dagster import load_one, write_one

    frame = pl.DataFrame({"n": range(1000)})
    write_one(_managers(endpoint)[who](), meter, pl.DataFrame, frame)
    if verb == "load":
        found = load_one(_managers(endpoint)[who](), meter, pl.DataFrame)
        if len(found) != len(frame):
            raise RuntimeError(len(found))
    forget(endpoint)


def sized(meter: Meter, *, endpoint: str, verb: str, size: int) -> None:
    """Bytes, by ours."""
    from benchmarks.through_dagster import load_one, write_one

    write_one(ours(endpoint, format="bytes"), meter, bytes, bytes(size))
    if verb == "load":
        found = load_one(ours(endpoint, format="bytes"), meter, bytes)
        if len(found) != size:
            raise RuntimeError(len(found))
    forget(endpoint)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """A cloud without a distance: nothing is timed here."""
    with cloud() as endpoint:
        yield {"endpoint": endpoint}


_WHO = {
    "ours": "ours",
    '`format="auto"`': "auto",
    "S3PickleIOManager": "stock",
    "dagster-polars": "polars",
    "UPathIOManager on s3fs": "upath",
}
_SIZES = {"16 MiB of bytes": 16 * MIB, "64 MiB of bytes": 64 * MIB}


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = [Bound("construction: requests", found["construction: ours"].most("requests"), 0)]
    for verb in ("write", "load"):
        for name in (f"{verb}, 1,000 rows", f"{verb}, 16 MiB of bytes"):
            requests = found[f"{name}: ours"].most("requests")
            out.append(Bound(f"{name}: requests", requests, 1))
    written = found["write, 64 MiB of bytes: ours"].most("requests")
    return [*out, Bound("write, 64 MiB of bytes: requests", written, 64 / 8 + 2)]


CASE = Case(
    name="requests",
    title="Requests",
    about=(
        "Ours with the format named; `auto` lists once to find the newest object. "
        "Of one write and one load through Dagster, and of the construction of a manager and its "
        "set-up for a run. Above 16 MiB ours writes in parts of 8 MiB, with two requests around "
        "them, and reads in ranges."
    ),
    limit=(
        "A load in format `auto` lists first, because only that tells which object is the newest; "
        "naming the format saves the request."
    ),
    ways=[
        *(
            Way(
                f"construction: {name}",
                "constructed",
                {"who": who},
                peer=who not in {"ours", "auto"},
                rounds=_ROUNDS,
            )
            for name, who in _WHO.items()
        ),
        *(
            Way(
                f"{verb}, 1,000 rows: {name}",
                "frames",
                {"verb": verb, "who": who},
                peer=who not in {"ours", "auto"},
                rounds=_ROUNDS,
            )
            for verb in ("write", "load")
            for name, who in _WHO.items()
        ),
        *(
            Way(f"{verb}, {name}: ours", "sized", {"verb": verb, "size": size}, rounds=_ROUNDS)
            for verb in ("write", "load")
            for name, size in _SIZES.items()
        ),
    ],
    serving=serving,
    bounds=bounds,
    columns=("requests", "methods"),
)
