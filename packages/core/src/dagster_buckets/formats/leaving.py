"""Leaving: the end of a process in which Arrow's threads may still be at work.

A thread of Arrow that needs the interpreter's lock while Python is ending takes the whole process
down with it (``terminate called without an active exception``, apache/arrow 45017). So Python does
not end before Arrow is out of our code.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from dagster_buckets.errors import StoreUnavailableError

__all__ = ["called", "held"]

#: Seconds to wait for calls to return: as long as a store may try.
_CALLS = 60.0
#: Seconds to wait for objects to be let go of, which somebody may hold for good.
_OBJECTS = 0.1
#: Seconds that a thread needs at most from our last line to where it needs no lock any more.
_STEP = 0.02

_changed = threading.Condition()
_calls = 0
_ending = False
_held: dict[int, weakref.ref[object]] = {}


def held(value: object) -> None:
    """Arrow is going to hold this object, and may let go of it on a thread of its own."""
    key = id(value)
    _held[key] = weakref.ref(value, lambda _: _held.pop(key, None))


@contextmanager
def called() -> Iterator[None]:
    """A call by Arrow.

    Raises:
        StoreUnavailableError: Python is ending, and nobody waits for the answer.
    """
    global _calls  # noqa: PLW0603 - one process has one end
    with _changed:
        if _ending:
            msg = "the process ends while a scan is still reading"
            raise StoreUnavailableError(msg, hint="read the scan to its end before leaving")
        _calls += 1
    try:
        yield
    finally:
        with _changed:
            _calls -= 1
            _changed.notify_all()


@atexit.register
def _wait() -> None:
    global _ending  # noqa: PLW0603
    with _changed:
        _ending = True
        busy = _calls > 0 or bool(_held)
        _changed.wait_for(lambda: _calls == 0, _CALLS)
    deadline = time.monotonic() + _OBJECTS
    while _held and time.monotonic() < deadline:
        time.sleep(_STEP / 4)
    if busy:
        time.sleep(_STEP)
