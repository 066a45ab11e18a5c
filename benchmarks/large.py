"""One large value, up and down: ours beside the clients that others use, and the floor.

512 MiB of bytes through a cloud with 30 ms and 90 MB/s a connection, and through one without. Each
way runs in a process of its own, once in each of five rounds: seconds, CPU-seconds of the client,
and the peak of its memory above what it had with the value (writes) or without it (reads).
"""

from __future__ import annotations

import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cloud import Cloud, cloud

__all__ = ["WAYS", "main"]

MIB = 1024 * 1024
SIZE = 512 * MIB
ROUNDS = 5
_ROOT = Path(__file__).parents[1]
_KEYS: dict[str, Any] = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "of-no-account",
}
_BUCKET = "bench"


def _ours(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    from dagster_buckets import Body
    from dagster_buckets_s3 import S3Store

    store = S3Store(_BUCKET, endpoint_url=endpoint, region_name="us-east-1", **_KEYS)
    return lambda key, data: store.put(key, Body.of(data)), lambda key: store.get(key).data


def _obstore(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        _BUCKET,
        endpoint=endpoint,
        region="us-east-1",
        access_key_id=_KEYS["aws_access_key_id"],
        secret_access_key=_KEYS["aws_secret_access_key"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    part = 16 * MIB

    def put(key: str, data: Any) -> None:
        if len(data) <= part:
            obstore.put(store, key, data, use_multipart=False)
            return
        view = memoryview(data)
        parts = (view[start : start + part] for start in range(0, len(data), part))
        obstore.put(store, key, parts, chunk_size=part, max_concurrency=12)

    return put, lambda key: obstore.get(store, key).bytes()


def _boto3(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    import io

    import boto3
    from boto3.s3.transfer import TransferConfig

    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **_KEYS)
    config = TransferConfig(max_concurrency=10)

    def get(key: str) -> bytes:
        target = io.BytesIO()
        client.download_fileobj(_BUCKET, key, target, Config=config)
        return target.getvalue()

    return (
        lambda key, data: client.upload_fileobj(io.BytesIO(data), _BUCKET, key, Config=config),
        get,
    )


def _single(endpoint: str) -> tuple[Callable[[str, Any], Any], Callable[[str], Any]]:
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **_KEYS)
    return (
        lambda key, data: client.put_object(Bucket=_BUCKET, Key=key, Body=data),
        lambda key: client.get_object(Bucket=_BUCKET, Key=key)["Body"].read(),
    )


#: By what they are; what Dagster's own S3 manager does is ``one stream``.
WAYS = {"ours": _ours, "obstore": _obstore, "boto3, parallel": _boto3, "one stream": _single}


def _peak() -> int:
    """The peak of this process' memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _measure(way: str, endpoint: str, verb: str) -> dict[str, float]:
    """In a process of its own."""
    put, get = WAYS[way](endpoint)
    put("warm", b"warm")
    get("warm")
    data = random.Random(7).randbytes(64 * MIB) * (SIZE // (64 * MIB)) if verb == "write" else b""  # noqa: S311
    gc.collect()
    base, begun, cpu = _memory(), time.perf_counter(), time.process_time()
    if verb == "write":
        put("large", data)
    else:
        found = get("large")
        assert len(found) == SIZE  # noqa: S101 - a measurement of nothing
    took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    return {**took, "memory": max(0, _peak() - base) / SIZE}


def _run(way: str, server: Cloud, verb: str) -> dict[str, float]:
    server.take()
    command = [sys.executable, "-m", "benchmarks.large", way, server.endpoint, verb]
    done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    found["requests"] = sum(server.take().requests.values()) - 2
    return found


def main() -> None:
    """Measure and print."""
    sys.stdout.write(
        "| network | way | verb | seconds | of ours | CPU-s | memory / value | requests |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for seconds, rate in ((0.03, 90e6), (0.0, 0.0)):
        with cloud(seconds, rate) as server:
            found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
            for _ in range(ROUNDS):
                for verb in ("write", "read"):
                    for way in WAYS:
                        found[way, verb].append(_run(way, server, verb))
        network = "30 ms, 90 MB/s a connection" if rate else "none"
        for verb in ("write", "read"):
            medians = {
                way: {
                    k: statistics.median(f[k] for f in found[way, verb])
                    for k in found[way, verb][0]
                }
                for way in WAYS
            }
            for way, of in medians.items():
                sys.stdout.write(
                    f"| {network} | {way} | {verb} | {of['seconds']:.2f} "
                    f"| {of['seconds'] / medians['ours']['seconds']:.2f} | {of['cpu']:.2f} "
                    f"| {of['memory']:.2f} | {of['requests']:.0f} |\n"
                )
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(_measure(*sys.argv[1:])))
    else:
        main()
