"""Transfer: many reads or writes at once, bounded, in order, with every failure kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Outcome", "run_all"]

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
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
