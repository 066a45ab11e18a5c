"""Threads: a pool whose threads no process waits for at its end."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["Pool"]

T = TypeVar("T")
_Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Pool:
    """Does work on threads, as ``concurrent.futures.ThreadPoolExecutor``, but on daemon threads.

    Python waits at its end for the threads of that one. Those here wait for servers, and a server
    that has fallen silent would keep a process from ending that somebody has interrupted. They end
    with the pool, or when it is not used any more.

    Args:
        max_workers: How many threads there are at most; they start when they are needed.
        name: What they are called, with a number.

    Example:
        >>> pool = Pool(2, "example")
        >>> [pool.submit(pow, 2, n).result() for n in (3, 4)]
        [8, 16]
        >>> pool.shutdown()
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self._max_workers = max_workers
        self._name = name
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._end = weakref.finalize(self, _stop, self._queue, max_workers)
        self._end.atexit = False

    def submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Do ``work(*args)`` on a thread, as soon as one is free.

        Raises:
            RuntimeError: The pool was shut down.
        """
        future: Future[T] = Future()
        self.submit_to(future, work, *args)
        return future

    def submit_to(self, future: Future[T], work: Callable[..., T], *args: Any) -> None:
        """As :meth:`submit`, where somebody waits for the future already."""
        with self._lock:
            if not self._end.alive:
                msg = "this pool was shut down"
                raise RuntimeError(msg)
            self._queue.put((future, work, args))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._max_workers:
                thread = threading.Thread(
                    target=_serve,
                    args=(self._queue, self._idle),
                    name=f"{self._name}_{len(self._threads)}",
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()

    def shutdown(self, *, wait: bool = False) -> None:
        """Begin nothing any more; what has not begun is cancelled.

        Args:
            wait: Until what has begun is done.
        """
        with self._lock:
            while True:
                try:
                    waiting = self._queue.get_nowait()
                except Empty:
                    break
                if waiting is not None:
                    waiting[0].cancel()
            self._end()
        if wait:
            for thread in self._threads:
                thread.join()


def _stop(queue: SimpleQueue[_Work | None], threads: int) -> None:
    for _ in range(threads):
        queue.put(None)


def _serve(queue: SimpleQueue[_Work | None], idle: threading.Semaphore) -> None:
    while True:
        try:
            item = queue.get_nowait()
        except Empty:
            idle.release()
            item = queue.get()
        if item is None:
            return
        future, work, args = item
        if future.set_running_or_notify_cancel():
            try:
                result = work(*args)
            except BaseException as error:  # noqa: BLE001 - raised to whoever asks for the result
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        # Nothing may live for as long as the thread waits.
        del item, future, work, args
