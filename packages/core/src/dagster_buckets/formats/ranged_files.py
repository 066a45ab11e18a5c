"""Ranged files: objects of which only what Arrow reads is fetched, ahead where that is known."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, cast

from dagster_buckets.formats import leaving
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.objects import Buffer
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RangedFile", "joined", "open_ranges"]

#: How many ranges are fetched, or wait to be read, at the same time.
_AT_ONCE = 12
#: What one request carries; also how much of an object may wait, times four.
_ONE_REQUEST = 16 * 1024 * 1024
_WAITING = 4 * _ONE_REQUEST
#: A gap that costs less to read than another request.
_GAP = 8 * 1024

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, neighbours put together as far as one request carries them.

    Example:
        >>> joined([(100_000, 100_010), (0, 10), (12, 20)])
        [(0, 20), (100000, 100010)]
    """
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1] + _GAP and stop - found[-1][0] <= _ONE_REQUEST:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return [
        (at, min(at + _ONE_REQUEST, stop))
        for start, stop in found
        for at in range(start, stop, _ONE_REQUEST)
    ]


def open_ranges(ref: ObjectRef, plan: Sequence[Range] = ()) -> pa.NativeFile:
    """A file of Arrow's, of which only the ranges that are read are fetched; see RangedFile."""
    import pyarrow as pa

    return pa.PythonFile(cast("io.IOBase", RangedFile(ref, plan)), mode="r")


class RangedFile:
    """A seekable reader of an object as Arrow calls it, which gets buffers of Arrow's memory.

    What the reference holds of the end of the object is not fetched again. Of the ranges that are
    known to be read, twelve are fetched at a time, in their order, 64 MiB ahead at most.

    Args:
        ref: The object.
        plan: The ranges that will be read, in order and apart from each other.
    """

    def __init__(self, ref: ObjectRef, plan: Sequence[Range] = ()) -> None:
        self._ref = ref
        self._position = 0
        self._closed = False
        self._file: BinaryIO | None = None
        self._plan: list[Range] = []
        self._fetched: dict[Range, Future[Buffer]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self.plan(plan)
        leaving.held(self)

    def plan(self, ranges: Sequence[Range]) -> None:
        """Say what is going to be read."""
        self._plan = [r for r in ranges if r[0] < self._ref.size - len(self._ref.tail)]

    @property
    def closed(self) -> bool:
        """Whether it can still be read."""
        return self._closed

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        start = self._position
        stop = self._ref.size if size < 0 else min(start + size, self._ref.size)
        self._position = max(start, stop)
        if stop <= start:
            return b""
        with leaving.called():
            return bytes(self._range(start, stop))

    def read_buffer(self, size: int = -1) -> pa.Buffer:
        """As :meth:`read`; Arrow prefers it."""
        buffer = arrow_buffer(self.read(size))
        # Batches of an Arrow IPC file refer to it, and so to an object of Python's.
        leaving.held(buffer)
        return buffer

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there, without a request."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ref.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def close(self) -> None:
        """Let go of what it holds."""
        self._closed = True
        self._fetched.clear()
        if self._file is not None:
            self._file.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _range(self, start: int, stop: int) -> Buffer:
        tail = self._ref.tail
        base = self._ref.size - len(tail)
        if start >= base:
            return memoryview(tail)[start - base : stop - base]
        planned = self._planned(start, stop)
        if planned is not None:
            return planned
        if self._file is None:
            # Joins small reads, of which there are many in a row.
            self._file = self._ref.open()
        self._file.seek(start)
        parts = []
        while start < stop and (part := self._file.read(stop - start)):
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _planned(self, start: int, stop: int) -> Buffer | None:
        """The bytes of one or several planned ranges; ``None`` if they are not all planned."""
        used = [r for r in self._plan if r[0] < stop and start < r[1]]
        reached = start
        for block in used:
            if block[0] > reached:
                return None
            reached = block[1]
        if not used or reached < stop:
            return None
        self._fetch_ahead(used)
        pieces = []
        for block in used:
            data = memoryview(self._fetched[block].result())
            pieces.append(data[max(start - block[0], 0) : stop - block[0]])
        for block in used:
            # Arrow reads each of them once, and most from their start to their end.
            if block[1] <= stop:
                self._plan.remove(block)
                del self._fetched[block]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fetch_ahead(self, used: list[Range]) -> None:
        """Fetch these, and of the others as many as may wait."""
        size = 0
        others = [block for block in self._plan if block not in used]
        for count, block in enumerate([*used, *others]):
            size += block[1] - block[0]
            if count >= len(used) and (count >= _AT_ONCE or size > _WAITING):
                return
            if block not in self._fetched:
                self._start(block)

    def _start(self, block: Range) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="buckets-range")
        self._fetched[block] = self._pool.submit(self._ref.store.read_range, self._ref.info, *block)
