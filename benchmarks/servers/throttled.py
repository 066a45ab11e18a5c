"""A cloud that asks to slow down: each prefix takes so many requests a second and refuses the rest.

As S3 does, with a 503 of the code ``SlowDown``. What a prefix is, S3 decides by itself, over time;
here it is fixed. A prefix that was idle takes the requests of one second at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AbstractContextManager

from benchmarks.servers.cloud import run
from benchmarks.servers.objects import Answer, Bucket, Request
from benchmarks.servers.serving import FORGET, TRAFFIC, serving

__all__ = ["REFUSED", "throttled"]

#: What refusals are called in the traffic, beside the methods.
REFUSED = "503"
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>slow</Message></Error>"


def throttled(
    seconds: float, writes: float, reads: float, depth: int
) -> AbstractContextManager[str]:
    """Run one on the loopback interface, and end it; gives its endpoint.

    Args:
        seconds: From the end of a request to the beginning of its answer.
        writes: PUT, POST and DELETE a second and prefix.
        reads: GET and HEAD a second and prefix, listings included.
        depth: How many folders of a key, from the first on, are its prefix.
    """
    return serving("benchmarks.servers.throttled", seconds, writes, reads, depth)


class _Throttled(Bucket):
    """A bucket that refuses what comes too fast."""

    def __init__(self, writes: float, reads: float, depth: int) -> None:
        super().__init__()
        self._rates = {True: writes, False: reads}
        self._depth = depth
        #: By prefix and whether it is for writes: how many may come, and since when that is known.
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}

    def answer(self, request: Request) -> Answer:
        if request.path in {TRAFFIC, FORGET} or self._may(request):
            return super().answer(request)
        counts = self._seen["requests"]
        counts[REFUSED] = counts.get(REFUSED, 0) + 1
        return Answer(503, {"content-type": "application/xml"}, [memoryview(_SLOW_DOWN)])

    def _may(self, request: Request) -> bool:
        _, _, *folders = (request.path + request.query.get("prefix", "")).split("/")
        writes = request.method in {"PUT", "POST", "DELETE"}
        known = "/".join(folders[:-1][: self._depth]), writes
        rate, now = self._rates[writes], time.monotonic()
        left, since = self._left.get(known, (rate, now))
        left = min(rate, left + (now - since) * rate)
        self._left[known] = (left - 1 if left >= 1 else left), now
        return left >= 1


if __name__ == "__main__":
    latency, *given = map(float, sys.argv[1:4])
    asyncio.run(run(_Throttled(given[0], given[1], int(sys.argv[4])), latency, 0.0))
