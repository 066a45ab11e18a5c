"""Transfer: many reads or writes at once, bounded, in order, with every failure kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from dagster_buckets.errors import PartitionError

__all__ = ["Outcome", "failure", "run_all"]

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


def run_all(
    work: Callable[[Item], Result], items: Sequence[Item], *, max_concurrency: int
) -> list[Outcome[Item, Result]]:
    """Do ``work`` for every item, at most ``max_concurrency`` at once, and wait for all.

    A failure stops nothing else. The outcomes come in the order of the items. An interrupt
    (Ctrl-C, a terminated run) is raised at once: what has not begun never begins.

    Args:
        work: Called on worker threads, so it must be thread-safe.
        items: What to do it for.
        max_concurrency: At least 1.
    """

    def attempt(item: Item) -> Outcome[Item, Result]:
        try:
            return Outcome(item, result=work(item))
        except Exception as error:  # noqa: BLE001 - kept, and raised by the caller
            return Outcome(item, error=error)

    if not items:
        return []
    # Also for a single item: a thread that waits can be interrupted, a call into Rust cannot.
    pool = ThreadPoolExecutor(min(max_concurrency, len(items)), thread_name_prefix="buckets")
    try:
        futures = [pool.submit(attempt, item) for item in items]
        return [_wait_for(future) for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _wait_for(future: Future[Result]) -> Result:
    while True:
        try:
            return future.result(timeout=_WAKE)
        except TimeoutError:
            # Nothing ends a wait for a signal that came just before it but its own end.
            continue


def failure(errors: Mapping[str, Exception], done: tuple[str, ...], verb: str) -> Exception:
    """The error to raise for what failed, by partition key: of one value its own, else one of all.

    Args:
        errors: At least one.
        done: The keys of what did not fail.
        verb: ``read`` or ``written``.
    """
    if len(errors) == 1 and not done:
        return next(iter(errors.values()))
    msg = f"{len(errors)} of {len(errors) + len(done)} partitions could not be {verb}"
    hint = f"see the error of each above; the others were {verb}"
    return PartitionError(msg, failures=errors, succeeded=done, hint=hint)
