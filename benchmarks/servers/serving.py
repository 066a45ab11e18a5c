"""Running a server in a process of its own, and asking it what it has seen."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FORGET", "TRAFFIC", "Traffic", "forget", "serving", "until_left"]

#: The path of the request that is not counted: what was seen since the last one.
TRAFFIC = "/-/traffic"
#: The path of one that takes everything from the cloud.
FORGET = "/-/forget"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a server has seen.

    Attributes:
        requests: How many, by method; listings are called ``LIST``.
        received: Bytes of the bodies that were sent to it.
        sent: Bytes of the bodies that it sent.
    """

    requests: dict[str, int]
    received: int
    sent: int

    @property
    def count(self) -> int:
        """All requests."""
        return sum(self.requests.values())

    @classmethod
    def of(cls, endpoint: str) -> Traffic:
        """What the server there has seen since it was asked last."""
        with urllib.request.urlopen(endpoint + TRAFFIC) as answer:  # noqa: S310 - our own server
            return cls(**json.load(answer))


def forget(endpoint: str) -> None:
    """Make a cloud empty: large objects of one way must not take the memory of the next."""
    with urllib.request.urlopen(endpoint + FORGET):  # noqa: S310 - our own server
        pass


@contextmanager
def serving(module: str, *args: object) -> Iterator[str]:
    """Run a module that prints its endpoint and ends with its input; give the endpoint."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", module, *map(str, args)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def until_left(endpoint: str) -> None:
    """In the server: say where it is, and wait until whoever started it is gone."""
    sys.stdout.write(f"{endpoint}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
