"""Relays: an iterator that somebody else's runtime asks, run where the caller runs.

obstore asks the iterator of an upload from within its runtime, where nothing may wait for another
request: a stream whose producer reads from a bucket would end the upload with a panic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from dagster_buckets.threads import Pool

__all__ = ["relayed"]

T = TypeVar("T")
_Item = TypeVar("_Item")

_END = object()


def relayed(consume: Callable[[Iterator[_Item]], T], items: Iterable[_Item]) -> T:
    """Let another thread consume what this one produces, item by item, none ahead.

    Args:
        consume: Called in the other thread.
        items: Asked in this thread, as often as the other one asks.

    Returns:
        What ``consume`` returns.

    Raises:
        BaseException: What ``consume`` raises, which has got what the items raised; or an
            interrupt of this thread, once ``consume`` has ended with it.

    Example:
        >>> relayed(sum, (n * n for n in range(4)))
        14
    """
    asked: SimpleQueue[bool] = SimpleQueue()
    given: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def pulled() -> Iterator[_Item]:
        while True:
            asked.put(True)  # noqa: FBT003
            item, error = given.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
            del item

    pool = Pool(1, "relay")
    future = pool.submit(consume, pulled())
    future.add_done_callback(lambda _: asked.put(False))  # noqa: FBT003
    produced = iter(items)
    try:
        while asked.get():
            given.put(_next(produced))
    except BaseException as error:
        # An interrupt: nobody is left to produce anything.
        given.put((None, error))
        future.exception()
        raise
    finally:
        pool.shutdown()
    return future.result()


def _next(produced: Iterator[Any]) -> tuple[Any, BaseException | None]:
    try:
        return next(produced), None
    except StopIteration:
        return _END, None
    except BaseException as error:  # noqa: BLE001 - raised where it is asked for
        return None, error
