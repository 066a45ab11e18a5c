"""Reading ahead: what lies in a row is fetched in parallel before a scan comes to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from dagster_buckets.threads import Pool

__all__ = ["MAX_BYTES", "MAX_OBJECTS", "Readahead"]

#: How many objects are fetched, or wait for the scan to come to them, at the same time.
MAX_OBJECTS = 32
#: How many bytes these objects have together.
MAX_BYTES = 64 * 1024 * 1024

#: Arrow has four files in work, and opens some of them twice.
_IN_WORK = 4
#: A run that was not continued while others were, so many times, is over.
_PATIENCE = 16

T = TypeVar("T")


@dataclass(slots=True)
class _Run:
    """Neighbours that were taken one after another."""

    start: int
    stop: int
    turn: int


class Readahead(Generic[T]):
    """Things in a row, fetched ahead of those who take one after another.

    Nothing is fetched before somebody takes it or its neighbours, and never more things than were
    taken in a row, so that a reader who skips things causes no requests for those. At most
    :data:`MAX_OBJECTS` things of :data:`MAX_BYTES` bytes are fetched ahead and held. May be used
    from many threads, by several readers at different places.

    Args:
        fetch: Gives the thing at a position; called on threads of its own.
        sizes: Of each thing, in bytes; ``None`` for what must not be fetched ahead.
        complete: Whether the reader is known to take all of them, unless he stops. Then as many
            are fetched ahead as were taken in a row, otherwise half as many.

    Example:
        >>> letters = Readahead("abc".__getitem__, [1, 1, 1], complete=True)
        >>> [letters.take(position) for position in range(3)]
        ['a', 'b', 'c']
    """

    def __init__(
        self, fetch: Callable[[int], T], sizes: Sequence[int | None], *, complete: bool
    ) -> None:
        self._fetch = fetch
        self._sizes = sizes
        self._complete = complete
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        # Those that were taken stay for a little while.
        self._held: dict[int, Future[T]] = {}
        self._taken: list[int] = []
        self._runs: list[_Run] = []
        self._turn = 0

    def take(self, position: int) -> T:
        """The thing at a position, waiting for it if need be. What ``fetch`` raises is raised."""
        with self._lock:
            future = self._held.get(position) or self._start(position)
            self._note(position)
            for ahead in self._ahead_of(self._advanced(position)):
                if ahead not in self._held and not self._started(ahead):
                    break
        try:
            return future.result()
        except Exception:
            with self._lock:
                # Whoever asks next gets an answer of his own.
                if self._held.get(position) is future:
                    self._drop(position)
            raise

    def _note(self, position: int) -> None:
        """Remember that this was taken, and let go of what was taken long ago."""
        if position in self._taken:
            self._taken.remove(position)
        self._taken.append(position)
        for old in self._taken[:-_IN_WORK]:
            self._drop(old)

    def _advanced(self, position: int) -> _Run:
        """The run that goes on, or begins, with this position."""
        self._turn += 1
        self._runs = [run for run in self._runs if self._turn - run.turn <= _PATIENCE]
        run = next((run for run in self._runs if run.stop == position), None)
        if run is None:
            run = _Run(position, position, self._turn)
            self._runs.append(run)
        run.stop, run.turn = position + 1, self._turn
        return run

    def _ahead_of(self, run: _Run) -> list[int]:
        length = run.stop - run.start
        count = min(MAX_OBJECTS, length if self._complete else length // 2)
        positions = range(run.stop, min(run.stop + count, len(self._sizes)))
        return [position for position in positions if self._sizes[position] is not None]

    def _started(self, position: int) -> bool:
        """Fetch this one ahead, if there is room or something that nobody waits for."""
        size = self._sizes[position] or 0
        awaited = {position for run in self._runs for position in self._ahead_of(run)}
        for idle in [held for held in self._held if held not in awaited]:
            if self._fits(size):
                break
            if idle != self._taken[-1]:
                self._drop(idle)
        if not self._fits(size):
            return False
        self._start(position)
        return True

    def _fits(self, size: int) -> bool:
        held = sum(self._sizes[position] or 0 for position in self._held)
        return len(self._held) < MAX_OBJECTS and held + size <= MAX_BYTES

    def _start(self, position: int) -> Future[T]:
        if self._pool is None:
            self._pool = Pool(MAX_OBJECTS, "buckets-ahead")
        future = self._pool.submit(self._fetch, position)
        self._held[position] = future
        return future

    def _drop(self, position: int) -> None:
        future = self._held.pop(position, None)
        if position in self._taken:
            self._taken.remove(position)
        elif future is not None:
            future.cancel()
