"""What it costs to verify: the checks alone, beside the requests that they belong to.

In one run and one process, on local files and on SeaweedFS without a network in between, where the
share of a check is the largest that it can be. Medians; the shares say which part of a call it is.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import google_crc32c
from dagster_buckets.objects import Body, digest_of
from dagster_buckets.stores.base import ObjectStore
from dagster_buckets_local import LocalStore
from dagster_buckets_s3 import S3Store, etags

from tests.seaweed_server import CREDENTIALS, seaweed_server

MIB = 1024 * 1024
GIB = 1024 * MIB
#: Bytes of an object, and how often each call is measured.
SIZES = {"200 kB": (200_000, 101), "64 MiB": (64 * MIB, 9)}


def median(call: Callable[[], object], times: int) -> float:
    """Seconds of one call."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def sums(data: bytes) -> dict[str, Callable[[], object]]:
    """What is computed of bytes, by name."""
    return {
        "XXH3-128 (digest in the header)": lambda: digest_of([data]),
        "CRC-32C (Google's)": lambda: google_crc32c.value(data),
    }


def rows(name: str, store: ObjectStore) -> Iterator[str]:
    """The lines of one store."""
    for label, (size, times) in SIZES.items():
        data = random.Random(1).randbytes(size)  # noqa: S311 - repeatable, not secret
        check = median(lambda data=data: digest_of([data]), times)  # type: ignore[misc]
        put = median(lambda data=data: store.put("x", Body.of(data)), times)  # type: ignore[misc]
        get = median(lambda: store.get("x"), times)
        yield (
            f"| {name} | {label} | {put * 1e3:.2f} ms, {check / put:.1%} "
            f"| {get * 1e3:.2f} ms, {check / get:.1%} |"
        )
    if isinstance(store, S3Store):
        size, times = SIZES["64 MiB"]
        data = random.Random(1).randbytes(size)  # noqa: S311 - repeatable, not secret
        store.put("y", Body(iter([data])))
        payload: Any = store.get("y")
        check = median(lambda: etags.found(payload), times)
        get = median(lambda: store.get("y"), times)
        yield f"| {name} | 64 MiB, streamed | | {get * 1e3:.2f} ms, {check / get:.1%} (MD5) |"


def main() -> None:
    """Measure and print."""
    data = random.Random(1).randbytes(64 * MIB) * 4  # noqa: S311 - repeatable, not secret
    out = ["| of 1 GiB, on one core | CPU-seconds |", "|---|---|"]
    for name, call in sums(data).items():
        begun = time.process_time()
        call()
        out.append(f"| {name} | {(time.process_time() - begun) * GIB / len(data):.3f} |")
    out += [
        "",
        "| store | object | write, and the share of the digest | full read |",
        "|---|---|---|---|",
    ]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        out += rows("local files", LocalStore(folder))
        endpoint = stack.enter_context(seaweed_server())
        bucket = f"bench-{uuid.uuid4().hex[:8]}"
        client = boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS)
        client.create_bucket(Bucket=bucket)
        store = S3Store(bucket, endpoint_url=endpoint, **CREDENTIALS)
        out += rows("S3 (SeaweedFS)", store)
        store.close()
        client.close()
    sys.stdout.write("\n".join([*out, ""]))


if __name__ == "__main__":
    main()
