"""What it costs to verify: the same with and without digests, at 30 ms and 90 MB/s a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from benchmarks.cases.large import value
from benchmarks.clients import ours
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

KIB, MIB = 1024, 1024 * 1024
#: Bytes of a value, and how many of them one after another.
SIZES = {"20 KiB": (20 * KIB, 50), "16 MiB": (16 * MIB, 5), "512 MiB": (512 * MIB, 1)}


def timed(  # noqa: PLR0913 - what a case gives
    meter: Meter, *, endpoint: str, verb: str, size: int, count: int, checks: bool
) -> None:
    """Write or read some values by the store."""
    from dagster_buckets import Body

    if not checks:
        _unchecked()
    data = value(size) if size >= MIB else bytes(size)
    store = ours(endpoint, **({} if checks else {"checksum_algorithm": None})).make_store()
    store.put("warm", Body.of(b"warm"))
    store.get("warm")
    if verb == "write":
        with meter:
            for number in range(count):
                store.put(f"written-{number}", Body.of(data))
    else:
        for number in range(count):
            store.put(f"read-{number}", Body.of(data))
        with meter:
            for number in range(count):
                _ = store.get(f"read-{number}")
    store.close()
    forget(endpoint)


def _unchecked() -> None:
    """Take the checks out: no digest is computed, none is compared, and no body is signed."""
    objects: Any = import_module("dagster_buckets.objects")
    wire: Any = import_module("dagster_buckets_s3.obstore_wire")
    configured = wire._config  # noqa: SLF001 - takes its place
    wire._config = lambda *given: {**configured(*given), "unsigned_payload": True}  # noqa: SLF001
    objects.digest_of = lambda buffers: "none"  # noqa: ARG005 - takes its place
    objects.Payload.verify = lambda self: self


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """The cloud."""
    with cloud(0.03, 90e6) as endpoint:
        yield {"endpoint": endpoint}


def _name(verb: str, label: str, *, checks: bool) -> str:
    return f"{verb} {label}{'' if checks else ', unchecked'}"


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    return [
        Bound(
            f"{verb} {label}: time to the same without checks",
            found[_name(verb, label, checks=True)].over(found[_name(verb, label, checks=False)]),
            1.10,
        )
        for label in SIZES
        for verb in ("write", "read")
    ]


CASE = Case(
    name="integrity",
    title="The cost of verifying",
    about=(
        "The same store with its checks and without: the XXH3-128 digest that is written beside an "
        "object and compared when it is read, and the CRC-64/NVME by which S3 checks an upload. "
        "50 values of 20 KiB or 5 of 16 MiB one after another, or one of 512 MiB."
    ),
    limit=(
        "XXH3-128 is as fast as memory, and runs before the first part is sent; CRC-64/NVME is "
        "computed part by part, beside the transfer of others."
    ),
    ways=[
        Way(
            _name(verb, label, checks=checks),
            "timed",
            {"verb": verb, "size": size, "count": count, "checks": checks},
            beside="" if not checks else _name(verb, label, checks=False),
        )
        for label, (size, count) in SIZES.items()
        for verb in ("write", "read")
        for checks in (False, True)
    ],
    serving=serving,
    bounds=bounds,
    columns=("seconds", "spread", "cpu"),
)
