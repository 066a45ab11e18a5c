"""The client: gcsfs' session, credentials and loop thread, with our own retries and deadline."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from dagster_buckets.objects import Buffer

from dagster_buckets_gcs.errors import TRANSIENT
from dagster_buckets_gcs.login import open_files
from dagster_buckets_gcs.settings import Settings

__all__ = ["Answer", "Client", "Request"]

_FIRST_WAIT = 0.1
_LONGEST_WAIT = 4.0
#: Slices that are handed to the socket; larger ones hold up the loop that all stores share.
_SLICE = 256 * 1024
_AT_ONCE = 32
_REFUSED = 400
#: Where Google's JSON interface lies; its XML one has the buckets' names there.
_JSON = ("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request that can be sent again.

    Attributes:
        method: The HTTP verb.
        path: From the host's root and percent-encoded, or an absolute URL that Google gave.
        params: The query.
        headers: Beside those of the credentials.
        body: The bytes, not joined; ``()`` for none.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: tuple[Buffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status.

    Attributes:
        status: The HTTP status; a transient one only when the retries are used up.
        headers: Case-insensitive.
        body: All of it, as stored: never decompressed.
        attempts: How often it was sent.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return 200 <= self.status < 300  # noqa: PLR2004

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        found: dict[str, Any] = json.loads(self.body)
        return found


# A thread of the parent may hold the lock at the moment of the fork and is not there to free it.
_lock = threading.Lock()
_left_behind: list[Any] = []


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Client:
    """Sends requests from any thread; connects at first use and anew in each process.

    Safe under a running event loop: the requests run on gcsfs' own loop thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        #: Their loop alone would forget them.
        self._running: set[asyncio.Task[Answer]] = set()
        self._opened: tuple[int, Any] | None = None

    def send(self, request: Request) -> Answer:
        """Send one request; transient failures are repeated within the deadline."""
        answered: SimpleQueue[asyncio.Task[Answer]] = SimpleQueue()
        self.begin(request, answered.put)
        # Not by fsspec's sync(), whose waiting costs half as much as the request, nor by asyncio's
        # own futures for threads, with which a load of many took 8 to 17 % longer.
        return answered.get().result()

    def begin(self, request: Request, then: Callable[[asyncio.Task[Answer]], None]) -> None:
        """Begin to send one request, as :meth:`send`.

        Args:
            request: To send.
            then: Called on the loop's thread, which must not be held up, once it is done.
        """
        files = self._ready()

        def start() -> None:
            task = files.loop.create_task(self._persist(files, request))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(then)

        files.loop.call_soon_threadsafe(start)

    def send_all(self, requests: Sequence[Request]) -> list[Answer | BaseException]:
        """Send requests side by side. Answers and failures come in the order of the requests."""
        from fsspec.asyn import sync

        files = self._ready()

        async def all_of_them() -> list[Answer | BaseException]:
            gate = asyncio.Semaphore(_AT_ONCE)

            async def one(request: Request) -> Answer:
                async with gate:
                    return await self._persist(files, request)

            return await asyncio.gather(*map(one, requests), return_exceptions=True)

        answers: list[Answer | BaseException] = sync(files.loop, all_of_them)
        return answers

    def _ready(self) -> Any:
        files = self._filesystem()
        # Here and not on the loop thread, where it would hold up the requests of every store.
        files.credentials.maybe_refresh()
        return files

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with _lock:
            opened, self._opened = self._opened, None
        if opened and opened[0] == os.getpid():
            _close(opened[1].loop, opened[1].session, opened[0])

    def _filesystem(self) -> Any:
        opened = self._opened
        if opened and opened[0] == os.getpid():
            return opened[1]
        with _lock:
            if self._opened and self._opened[0] == os.getpid():
                return self._opened[1]
            if self._opened:
                # The parent's sockets: not ours to close, and closing would reach its event loop.
                _left_behind.append(self._opened[1])
            self._opened = (os.getpid(), open_files(self.settings))
            return self._opened[1]

    async def _persist(self, files: Any, request: Request) -> Answer:
        """One request with its retries: the last answer, or the last failure raised."""
        import aiohttp

        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.deadline
        attempt = 0
        while True:
            attempt += 1
            # What is left bounds the silences of the last attempt, but not a transfer that flows.
            left = max(1.0, end - loop.time())
            failure: Exception | None = None
            answer: Answer | None = None
            try:
                answer = await self._once(files, request, left, attempt)
            except aiohttp.ClientConnectorCertificateError:
                raise
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as exc:
                failure = exc
            except (TimeoutError, ConnectionError) as exc:
                failure = exc
            if answer is not None and answer.status not in TRANSIENT:
                return answer
            wait = _wait(attempt, answer)
            if attempt >= self.settings.max_attempts or loop.time() + wait >= end:
                if answer is None:
                    assert failure is not None  # noqa: S101 - one of the two is set
                    raise failure
                return answer
            await asyncio.sleep(wait)

    async def _once(self, files: Any, request: Request, left: float, attempt: int) -> Answer:
        import aiohttp
        from yarl import URL

        session = await _session(files)
        size = sum(memoryview(buffer).nbytes for buffer in request.body)
        # Metadata must come as it is, and a gzipped object must not be unpacked on the way.
        headers = {"Accept-Encoding": "identity", "Content-Length": str(size), **request.headers}
        if request.method == "GET":
            del headers["Content-Length"]
        # Through the credentials, then ours: they may name another project for their own quota.
        headers = files._get_headers(headers)  # noqa: SLF001
        path, params = request.path, dict(request.params)
        if self.settings.user_project:
            headers["x-goog-user-project"] = self.settings.user_project
            if path.startswith(_JSON):
                params["userProject"] = self.settings.user_project
        url = URL(path if "://" in path else f"{files._location}{path}", encoded=True)  # noqa: SLF001
        async with session.request(
            request.method,
            url.update_query(params) if params else url,
            headers=headers,
            # aiohttp warns of large bytes objects; a generator sends them without a copy.
            data=_slices(request.body) if size else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=min(self.settings.connect_timeout, left),
                sock_read=min(self.settings.read_timeout, left),
            ),
        ) as response:
            body = await response.read()
        sent = _token_in(headers)
        if response.status >= _REFUSED and sent:
            # Google does not repeat tokens, but a proxy that reports the request might.
            body = body.replace(sent.encode(), b"***")
        return Answer(response.status, response.headers, body, attempt)


def _token_in(headers: Mapping[str, str]) -> str:
    """The access token that the credentials put into these headers; empty for none."""
    found = (value for name, value in headers.items() if name.lower() == "authorization")
    return next(found, "").partition(" ")[2]


async def _slices(buffers: tuple[Buffer, ...]) -> AsyncIterator[memoryview]:
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        for start in range(0, view.nbytes, _SLICE):
            yield view[start : start + _SLICE]


def _wait(attempt: int, answer: Answer | None) -> float:
    asked = answer.headers.get("Retry-After", "") if answer else ""
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
    own = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
    return max(own, float(asked)) if asked.isdigit() else own


async def _session(files: Any) -> Any:
    if files.session is None:
        session = await files._set_session()  # noqa: SLF001
        if not hasattr(files, "_dagster_buckets_closes"):
            # Runs before gcsfs' own finalizer, which creates a task from the wrong thread.
            files._dagster_buckets_closes = weakref.finalize(  # noqa: SLF001
                files, _close, files.loop, session, os.getpid()
            )
    return files.session


def _close(loop: asyncio.AbstractEventLoop, session: Any, pid: int) -> None:
    if session is None or session.closed or pid != os.getpid() or not loop.is_running():
        return
    try:
        on_loop = asyncio.get_running_loop() is loop
    except RuntimeError:
        on_loop = False
    closing = asyncio.run_coroutine_threadsafe(session.close(), loop)
    if not on_loop:
        # Waiting on the loop's own thread, where a collection may run, would never end.
        closing.result(timeout=1)
