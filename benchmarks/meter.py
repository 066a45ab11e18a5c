"""What is measured of one piece of work: time, CPU, memory, and what went over the wire."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.servers.serving import Traffic

__all__ = ["Meter", "peak"]

_STATUS = Path("/proc/self/status")


def _memory(name: str) -> int:
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    msg = f"{_STATUS} has no {name}: memory is measured on Linux only"
    raise RuntimeError(msg)


def _touch(size: int) -> None:
    """Make sure that the machine has so much memory for what is measured.

    A virtual machine may have given memory that nobody used back to its host: the first touch of it
    then takes ten times as long, and whoever happens to get it looks slow.
    """
    import numpy as np

    # NumPy asks for large pages, as Arrow does: small ones would be other memory.
    np.empty(size, np.uint8)[:: 4 * 1024] = 1


def peak() -> int:
    """The peak of this process' memory since it was reset, in bytes."""
    return _memory("VmHWM")


@dataclass(slots=True)
class Meter:
    """Measures the block that it is used for; the last one, if it is used more than once.

    Args:
        endpoint: Of the server whose traffic counts; none if there is none.
        room: Bytes that this process and the server will need, more or less.

    Attributes:
        seconds: Of wall time.
        cpu: Seconds of this process on all its threads, in the kernel, too.
        memory: Bytes of its peak above what it had before.
        requests: By method.
        up: Bytes of bodies to the server.
        down: Bytes of bodies from it.
    """

    endpoint: str = ""
    room: int = 1024 * 1024 * 1024
    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    up: int = 0
    down: int = 0
    _base: int = 0

    def __enter__(self) -> Self:
        gc.collect()
        if self.endpoint:
            Traffic.of(self.endpoint)
        _touch(self.room)
        # The kernel's own mark: it forgets the peak of what came before.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._base = _memory("VmRSS")
        self.cpu = time.process_time()
        self.seconds = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self.seconds
        self.cpu = time.process_time() - self.cpu
        self.memory = max(0, peak() - self._base)
        if self.endpoint and error is None:
            seen = Traffic.of(self.endpoint)
            self.requests, self.up, self.down = seen.requests, seen.received, seen.sent

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {k: v for k, v in asdict(self).items() if k not in {"endpoint", "room", "_base"}}
