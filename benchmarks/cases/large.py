"""512 MiB of bytes through slow connections, and through none."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.clients import BUCKET, bare, boto3_client, ours
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

MIB = 1024 * 1024
SIZE = 512 * MIB
_PART = 8 * MIB


def value(size: int) -> bytes:
    """Random bytes."""
    import random

    block = min(size, 64 * MIB)
    return random.Random(7).randbytes(block) * (size // block)  # noqa: S311 - not secret


def _ours(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    from dagster_buckets import Body

    store = ours(endpoint).make_store()
    return lambda key, data: store.put(key, Body.of(data)), lambda key: store.get(key).data


def _obstore(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    import obstore

    store = bare(endpoint)

    def put(key: str, data: Any) -> None:
        obstore.put(store, key, data, chunk_size=_PART, max_concurrency=16)

    return put, lambda key: obstore.get(store, key).bytes()


def _boto3(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    client = boto3_client(endpoint)

    def get(key: str) -> bytes:
        target = io.BytesIO()
        client.download_fileobj(BUCKET, key, target)
        return target.getvalue()

    return lambda key, data: client.upload_fileobj(io.BytesIO(data), BUCKET, key), get


def _single(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    client = boto3_client(endpoint)
    return (
        lambda key, data: client.put_object(Bucket=BUCKET, Key=key, Body=data),
        lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
    )


_CLIENTS = {"ours": _ours, "obstore": _obstore, "boto3": _boto3, "single": _single}


def _warm(put: Callable[[str, Any], Any], get: Callable[[str], Any]) -> None:
    """Import and connect what the process needs once, for small objects and for large ones."""
    for size in (1, 20 * MIB):
        put("warm", bytes(size))
        get("warm")


def write(meter: Meter, *, endpoint: str, client: str, size: int, **_: str) -> None:
    """Write one object."""
    put, get = _CLIENTS[client](endpoint)
    _warm(put, get)
    data = value(size)
    with meter:
        put(f"written-by-{client}", data)


def read(meter: Meter, *, endpoint: str, client: str, size: int, **_: str) -> None:
    """Read one object, which that client has written: the whole of it, in memory."""
    put, get = _CLIENTS[client](endpoint)
    key = f"read-by-{client}-{size}"
    _warm(put, get)
    put(key, value(size))
    with meter:
        found = get(key)
    if memoryview(found).nbytes != size:
        msg = f"{memoryview(found).nbytes} bytes instead of {size}"
        raise RuntimeError(msg)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """A cloud with slow connections and one without."""
    with ExitStack() as stack:
        slow = stack.enter_context(cloud(0.03, 90e6))
        fast = stack.enter_context(cloud())
        yield {"slow": slow, "fast": fast, "endpoint": slow, "size": SIZE}


def on(meter: Meter, *, verb: str, network: str, **given: Any) -> None:
    """One of both, through one of both."""
    meter.endpoint = given["endpoint"] = given[network]
    (write if verb == "write" else read)(meter, **given)
    forget(given["endpoint"])


_NAMES = {
    "ours": "ours",
    "obstore": "obstore",
    "boto3": "boto3, in parallel",
    "single": "boto3, one stream",
}
_NETWORKS = {"slow": "30 ms, 90 MB/s", "fast": "no network"}


def _name(client: str, verb: str, network: str) -> str:
    return f"{verb}, {_NETWORKS[network]}: {_NAMES[client]}"


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    write, read = found[_name("ours", "write", "slow")], found[_name("ours", "read", "slow")]
    fast = found[_name("ours", "read", "fast")]
    others = [found[_name(client, "read", "fast")] for client in ("obstore", "boto3", "single")]
    return [
        Bound("write 512 MiB of bytes, 30 ms, 90 MB/s: seconds", write.median("seconds"), 1.1),
        Bound("read the same: seconds", read.median("seconds"), 1.0),
        Bound(
            "read at 0 ms: to the fastest of the others",
            max(fast.over(other) for other in others),
            1.05,
        ),
        Bound("write: peak of memory / value", write.median("memory") / SIZE, 0.25),
        Bound("read: peak of memory / value", read.median("memory") / SIZE, 1.15),
    ]


CASE = Case(
    name="large",
    title="512 MiB of bytes",
    about=(
        "One value, by the store that is under the manager, beside the clients that others use. "
        "What Dagster's own S3 manager does on a read is boto3's one stream."
    ),
    limit=(
        "Sixteen connections of 90 MB/s carry 512 MiB in 0.37 s, and the first answer takes 30 "
        "ms; above that are the pages of the result, which the system makes when they are first "
        "touched. Without a network it is the speed of memory."
    ),
    ways=[
        Way(
            _name(client, verb, network),
            "on",
            {"client": client, "verb": verb, "network": network},
            beside="" if client == "obstore" else _name("obstore", verb, network),
        )
        for network in _NETWORKS
        for verb in ("write", "read")
        for client in ("obstore", "ours", "boto3", "single")
    ],
    serving=serving,
    bounds=bounds,
)
