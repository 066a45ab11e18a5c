"""Ranged files: objects of which only what Arrow reads is fetched, ahead where that is known."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from dagster_buckets.formats import leaving
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.objects import Buffer
from dagster_buckets.references import ObjectRef
from dagster_buckets.threads import Pool

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Range", "RangedFile", "joined", "open_ranges", "with_footer"]

#: How many ranges are fetched, or wait to be read, at the same time.
_AT_ONCE = 12
#: What one request carries; also how much of an object may wait, times four.
_ONE_REQUEST = 16 * 1024 * 1024
_WAITING = 4 * _ONE_REQUEST
#: What is fetched of the end of an object at first: most footers are smaller.
_FOOTER = 64 * 1024
#: Of these last bytes footers tell their length.
_END = 16
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


def with_footer(ref: ObjectRef, length: Callable[[bytes], int | None]) -> ObjectRef:
    """The reference with the whole footer of its object in its tail; at most two requests.

    Args:
        ref: The object.
        length: Tells from the end of the object how long its footer is; ``None`` if it has none.
            Such an object comes back as it is: whoever reads it says so.
    """
    tail = ref.tail
    if len(tail) < min(ref.size, _END):
        tail = bytes(ref.store.read_range(ref.info, max(0, ref.size - _FOOTER), ref.size))
    missing = (length(tail) or 0) - len(tail)
    if 0 < missing <= ref.size - len(tail):
        start = ref.size - len(tail) - missing
        tail = bytes(ref.store.read_range(ref.info, start, start + missing)) + tail
    return replace(ref, tail=tail)


def open_ranges(ref: ObjectRef, plan: Sequence[Range] = ()) -> pa.NativeFile:
    """A file of Arrow's, of which only the ranges that are read are fetched; see RangedFile."""
    return RangedFile(ref, plan).for_arrow()


class _Ranges:
    """What is fetched of an object, and what is going to be."""

    def __init__(self, ref: ObjectRef, plan: Sequence[Range]) -> None:
        self._ref = ref
        self._file: BinaryIO | None = None
        self._plan = [r for r in plan if r[0] < ref.size - len(ref.tail)]
        self._fetched: dict[Range, Future[Buffer]] = {}
        self._pool: Pool | None = None

    def read(self, start: int, stop: int, *, keep: bool) -> Buffer:
        """These bytes; planned ones are let go of unless they are kept."""
        tail = self._ref.tail
        base = self._ref.size - len(tail)
        if start >= base:
            return memoryview(tail)[start - base : stop - base]
        planned = self._planned(start, stop, keep=keep)
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

    def begin(self) -> None:
        """Fetch of the plan as much as may wait."""
        self._fetch_ahead([])

    def close(self) -> None:
        """Let go of everything."""
        self._fetched.clear()
        if self._file is not None:
            self._file.close()
        if self._pool is not None:
            self._pool.shutdown()

    def _planned(self, start: int, stop: int, *, keep: bool) -> Buffer | None:
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
            if block[1] <= stop and not keep:
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
            self._pool = Pool(_AT_ONCE, "buckets-range")
        self._fetched[block] = self._pool.submit(self._ref.store.read_range, self._ref.info, *block)


class RangedFile:
    """A seekable reader of an object as Arrow calls it, which gets buffers of Arrow's memory.

    What the reference holds of the end of the object is not fetched again. Of the ranges that are
    known to be read, twelve are fetched at a time, in their order, 64 MiB ahead at most.

    Args:
        ref: The object.
        plan: The ranges that will be read, in order and apart from each other.
        looked_at: What another file fetches: planned ranges stay, to be read once more.
    """

    def __init__(
        self, ref: ObjectRef, plan: Sequence[Range] = (), *, looked_at: _Ranges | None = None
    ) -> None:
        self._ref = ref
        self._keeps = looked_at is not None
        self._ranges = looked_at or _Ranges(ref, plan)
        self._position = 0
        self._closed = False
        leaving.held(self)

    def for_arrow(self) -> pa.NativeFile:
        """This file as Arrow's functions take it."""
        import pyarrow as pa

        return pa.PythonFile(cast("io.IOBase", self), mode="r")

    def begin(self) -> None:
        """Fetch the first of the planned ranges, which are going to be read."""
        self._ranges.begin()

    def looked_at(self) -> RangedFile:
        """The same file, of which planned ranges stay to be read once more."""
        return RangedFile(self._ref, looked_at=self._ranges)

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
            return bytes(self._ranges.read(start, stop, keep=self._keeps))

    def part(self, part: slice) -> memoryview:
        """Some bytes, wherever the position is."""
        return memoryview(self._ranges.read(part.start, part.stop, keep=self._keeps))

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
        if not self._keeps:
            self._ranges.close()
