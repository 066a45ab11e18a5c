"""A process that forks writers and kills them: started by the tests, driven by its input.

Every line of the input is one order, ``{"round", "kind", "delay"}``. A fork of this process, which
has imported everything and connected nowhere, then writes a value; it is killed after ``delay``
seconds, or left to finish where that is null. The answer says how long it took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from dagster_buckets.objects import Body
from dagster_buckets.stores.base import ObjectStore

__all__ = ["KEY", "KINDS", "content", "store_of"]

KEY = "asset/data.bin"
MIB = 1024 * 1024
#: Bytes of a value of each kind, and whether it comes as a stream.
KINDS = {"small": (200_000, False), "large": (20 * MIB, False), "stream": (20 * MIB, True)}


def content(number: int, kind: str) -> bytes:
    """What a round writes: every 16 bytes of it tell which round, and where."""
    size, _ = KINDS[kind]
    block = b"".join(b"%06d%010d" % (number, place) for place in range(4096))
    return (block * (size // len(block) + 1))[:size]


def store_of(backend: str, settings: dict[str, Any]) -> ObjectStore:
    """A store of a backend, which connects nowhere yet."""
    if backend == "local":
        from dagster_buckets_local import LocalStore

        return LocalStore(**settings)
    if backend == "s3":
        from dagster_buckets_s3 import S3Store

        return S3Store(**settings)
    from dagster_buckets_gcs import GCSStore

    return GCSStore(**settings)


def _write(store: ObjectStore, number: int, kind: str) -> None:
    data = content(number, kind)

    def stream() -> Iterator[bytes]:
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]

    store.put(KEY, Body(stream()) if KINDS[kind][1] else Body.of(data))


def _main(backend: str, settings: dict[str, Any]) -> None:
    if backend == "s3":
        import boto3  # noqa: F401
        import obstore.store  # noqa: F401
    if backend == "gcs":
        import aiohttp  # noqa: F401
        import gcsfs.core  # noqa: F401
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                _write(store_of(backend, settings), order["round"], order["kind"])
            except BaseException as error:  # noqa: BLE001 - told to whoever asked, then it ends
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(3)
            os._exit(0)
        if order["delay"] is not None:
            time.sleep(order["delay"])
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {"seconds": time.monotonic() - begun, "status": status}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1], json.loads(sys.argv[2]))
