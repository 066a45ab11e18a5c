"""Transfer: many reads or writes at once, bounded, in order, with every failure kept."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from dagster_buckets.errors import PartitionError
from dagster_buckets.stores.base import Answered
from dagster_buckets.threads import Pool

__all__ = [
    "IN_FLIGHT",
    "Outcome",
    "Progress",
    "failure",
    "run_ahead",
    "run_all",
    "run_each",
    "shortened",
]

#: Bytes of encoded values that a stream may have in flight, where one value is not larger.
IN_FLIGHT = 64 * 1024 * 1024

#: Seconds after which a wait looks for an interrupt that it may have missed.
_WAKE = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result or an error."""

    item: Item
    result: Result | None = None
    error: Exception | None = None


class Progress:
    """Says now and then how far a long transfer is. Silent about a short one.

    Args:
        log: Takes one line.
        doing: ``read`` or ``wrote``.
        total: How many partitions there are; ``None`` if nobody knows.
        every: Seconds between two lines, and before the first.
    """

    def __init__(
        self, log: Callable[[str], None], doing: str, total: int | None, *, every: float = 10.0
    ) -> None:
        self._log = log
        self._doing = doing
        self._total = total
        self._every = every
        self._last = time.monotonic()
        self.done = 0
        self.size = 0

    def add(self, size: int) -> None:
        """Count one partition of so many bytes."""
        self.done += 1
        self.size += size
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            self._log(f"{self._doing} {self.done:,}{of} partitions, {self.size / 1e6:,.1f} MB")


def run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    max_concurrency: int,
    then: Callable[[Outcome[Item, Result]], None] | None = None,
) -> list[Outcome[Item, Result]]:
    """Do ``work`` for every item, at most ``max_concurrency`` at once, and wait for all.

    A failure stops nothing else. The outcomes come in the order of the items. An interrupt
    (Ctrl-C, a terminated run) is raised at once: what has not begun never begins.

    Args:
        work: Called on worker threads, so it must be thread-safe.
        items: What to do it for.
        max_concurrency: At least 1.
        then: Called in this thread with every outcome, in order, as soon as it is there.
    """
    if not items:
        return []
    # Also for a single item: a thread that waits can be interrupted, a call into Rust cannot.
    pool = Pool(min(max_concurrency, len(items)), "buckets")
    try:
        futures = deque(pool.submit(_attempt, work, item) for item in items)
        return _in_order(futures, then)
    finally:
        pool.shutdown()


def run_ahead(
    begin: Callable[[Item, Callable[[Answered], None]], None],
    work: Callable[[Item, Answered], Result],
    items: Sequence[Item],
    *,
    max_concurrency: int,
    then: Callable[[Outcome[Item, Result]], None] | None = None,
) -> list[Outcome[Item, Result]]:
    """As :func:`run_all`, of work on objects that a store reads without a thread for each.

    There are as many threads as processors for what has come: more of them would take Python's
    lock from each other, and from the one that receives. What has to ask again has threads of its
    own, so that it holds up nothing.

    Args:
        begin: Begins to read an item's object; see
            :meth:`~dagster_buckets.stores.base.SupportsPrefetch.prefetch`.
        work: Is given what came of it.
        items: What to do it for.
        max_concurrency: How many are begun, and not yet taken up by ``work``.
        then: See :func:`run_all`.
    """
    near = Pool(min(os.cpu_count() or 1, max_concurrency), "buckets")
    far = Pool(max_concurrency, "buckets_again")
    futures: deque[Future[Outcome[Item, Result]]] = deque(Future() for _ in items)
    # One after another is taken from it on several threads, each by one call into C.
    left = iter(list(zip(items, futures, strict=True)))

    def begin_next() -> None:
        for item, future in left:
            try:
                begin(item, partial(answered, item, future))
            except Exception as error:  # noqa: BLE001 - kept, and raised by the caller
                future.set_result(Outcome(item, error=error))
            else:
                return

    def answered(item: Item, future: Future[Outcome[Item, Result]], found: Answered) -> None:
        try:
            (near if found.complete else far).submit_to(future, take_up, item, found)
        except RuntimeError as error:
            # There is no thread for it. After an interrupt nobody waits for it either.
            future.set_result(Outcome(item, error=error))

    def take_up(item: Item, found: Answered) -> Outcome[Item, Result]:
        begin_next()
        return _attempt(lambda item: work(item, found), item)

    try:
        for _ in range(max_concurrency):
            begin_next()
        return _in_order(futures, then)
    finally:
        near.shutdown()
        far.shutdown()


def _in_order(
    futures: deque[Future[Outcome[Item, Result]]],
    then: Callable[[Outcome[Item, Result]], None] | None,
) -> list[Outcome[Item, Result]]:
    outcomes = []
    while futures:
        outcomes.append(_wait_for(futures.popleft()))
        if then:
            then(outcomes[-1])
    return outcomes


def run_each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    max_concurrency: int,
    weigh: Callable[[Result], int],
) -> Generator[Outcome[Item, Result], None, None]:
    """Do ``work`` for items that come one by one, and give the outcomes in the same order.

    Ahead of the caller at most ``max_concurrency`` items are taken, and fewer if their results are
    large: as many of the largest so far as :data:`IN_FLIGHT` holds, two until the first is known.
    The items are taken in the caller's thread. An interrupt is raised at once, and a caller that
    stops asking stops the work.

    Args:
        work: Called on worker threads, so it must be thread-safe.
        items: What to do it for.
        max_concurrency: At least 1.
        weigh: Bytes of a result.
    """
    pool = Pool(max_concurrency, "buckets")
    waiting: deque[Future[Outcome[Item, Result]]] = deque()
    ahead, largest = min(2, max_concurrency), 0
    source = iter(items)
    try:
        while True:
            while len(waiting) < ahead:
                try:
                    item = next(source)
                except StopIteration:
                    break
                waiting.append(pool.submit(_attempt, work, item))
                # Whoever is done with it is the last that holds it.
                del item
            if not waiting:
                return
            outcome = _wait_for(waiting.popleft())
            if outcome.result is not None:
                largest = max(largest, weigh(outcome.result), 1)
                ahead = max(1, min(max_concurrency, IN_FLIGHT // largest))
            yield outcome
            del outcome
    finally:
        pool.shutdown()


def _attempt(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, result=work(item))
    except Exception as error:  # noqa: BLE001 - kept, and raised by the caller
        return Outcome(item, error=error)


def _wait_for(future: Future[Result]) -> Result:
    while True:
        try:
            return future.result(timeout=_WAKE)
        except TimeoutError:
            # Nothing ends a wait for a signal that came just before it but its own end.
            continue


def failure(errors: Mapping[str, Exception], done: Sequence[str], verb: str) -> Exception:
    """The error to raise for what failed, by partition key: of one value its own, else one of all.

    Args:
        errors: At least one.
        done: The keys of what did not fail.
        verb: ``read`` or ``written``.
    """
    if len(errors) == 1 and not done:
        return next(iter(errors.values()))
    msg = f"{len(errors)} of {len(errors) + len(done)} partitions could not be {verb}"
    hint = f"see the error of each above; {verb} all the same: {shortened(done) or 'none'}"
    return PartitionError(msg, failures=errors, succeeded=tuple(done), hint=hint)


def shortened(names: Sequence[str], limit: int = 20) -> str:
    """Names for a message: the first ones, and how many there are beside them."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
