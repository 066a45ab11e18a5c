"""A network that breaks: a proxy in front of a server that does one thing wrong with a request.

It takes a request whole, lets a plan decide what happens to it, and passes the answer on in the way
the plan wants. One thread with an event loop; connections stay open where nothing breaks them.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Fault", "FaultProxy", "Request", "fault_proxy", "mixed"]

#: What can happen to a request:
#:
#: ``503``, ``500``, ``404``: answered with that, and the server never sees it.
#: ``reset``: the connection breaks before the server sees it.
#: ``lost``: the server does it, and the connection breaks before a word of the answer.
#: ``reset-body``: the connection breaks in the middle of the answer's body.
#: ``truncated``: it ends there in order, with fewer bytes than were promised.
#: ``short``: half of the body comes, and as many bytes as are promised.
#: ``stall``: nothing comes any more from there on, and the connection stays open.
#: ``flip-up``, ``flip-down``: one bit of the request's, or of the answer's body is another.
Fault = Literal[
    "503", "500", "404", "reset", "lost", "reset-body", "truncated", "short", "stall",
    "flip-up", "flip-down",
]  # fmt: skip

Plan = Callable[["Request"], Fault | None]

_END = b"\r\n\r\n"
#: What fails when an answer has no body to break.
_WITHOUT_BODY: dict[Fault, Fault] = {
    "reset-body": "lost",
    "truncated": "lost",
    "stall": "lost",
}
_REASONS = {
    "503": (503, "Slow Down", "SlowDown"),
    "500": (500, "Internal Server Error", "InternalError"),
    "404": (404, "Not Found", "NoSuchKey"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as the plan sees it.

    Attributes:
        number: How many came before it.
        method: The HTTP verb.
        target: Path and query.
        head: The whole head.
        body: All of its bytes.
    """

    number: int
    method: str
    target: str
    head: bytes
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass
class FaultProxy:
    """A running proxy.

    Attributes:
        endpoint: What clients are given instead of the server's.
        plan: Decides about each request; may be exchanged at any time.
        requests: All that came, as ``GET /bucket/key``.
        done: How often each fault happened.
    """

    endpoint: str
    rng: random.Random
    plan: Plan = lambda _: None
    requests: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def forget(self) -> None:
        """Start to count anew."""
        self.requests.clear()
        self.done.clear()


def mixed(rate: float, faults: Sequence[Fault], rng: random.Random) -> Plan:
    """A plan that breaks this share of all requests, each in one of these ways."""

    def plan(request: Request) -> Fault | None:
        return rng.choice(faults) if rng.random() < rate else None

    return plan


@contextmanager
def fault_proxy(upstream: str, seed: int = 0, *, port: int = 0) -> Iterator[FaultProxy]:
    """Run a proxy on the loopback interface, and end it.

    Args:
        upstream: The server's endpoint, ``http://host:port``.
        seed: Of the places in bodies that are broken.
        port: Where to listen; any by default.
    """
    parts = urlsplit(upstream)
    loop = asyncio.new_event_loop()
    proxy = FaultProxy("", random.Random(seed))  # noqa: S311 - repeatable, not secret
    started = threading.Event()

    # The loop itself does not keep a task from being collected.
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(proxy, (parts.hostname or "", parts.port or 80))
        task = loop.create_task(connection.run(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def serve() -> None:
        server = await asyncio.start_server(
            begin,
            "127.0.0.1",
            port,
            backlog=1024,
            limit=2**20,
        )
        proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        with suppress(asyncio.CancelledError):
            await stopped.wait()
        server.close()
        # Some connections are accepted by now whose task begins in the next turn of the loop only,
        # and transports close one turn later.
        for _ in range(5):
            open_ones = list(tasks)
            for task in open_ones:
                task.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)
            await asyncio.sleep(0.002)

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Broken(Exception):  # noqa: N818 - no error, but the plan
    """The connection is to end without another word."""


class _Connection:
    """One connection of a client, with one to the server."""

    def __init__(self, proxy: FaultProxy, server: tuple[str, int]) -> None:
        self._proxy = proxy
        self._address = server
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except _Broken:
            # No orderly end, but a reset.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._leave()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on; whether the connection stays open."""
        head = await reader.readuntil(_END)
        if _field(head, b"expect"):
            # The body is wanted here, whatever the server says.
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = re.sub(rb"\r\nexpect:[^\r]*", b"", head, flags=re.IGNORECASE)
        body = await _body_of(head, reader)
        method, target = head.split(b" ", 2)[:2]
        proxy = self._proxy
        request = Request(len(proxy.requests), method.decode(), target.decode(), head, body)
        proxy.requests.append(f"{request.method} {request.target}")
        fault = proxy.plan(request)
        if fault in _REASONS:
            proxy.done[fault] += 1
            writer.write(_refusal(request, fault))
            await writer.drain()
            return True
        if fault == "reset":
            proxy.done[fault] += 1
            raise _Broken
        if fault == "flip-up" and body:
            proxy.done[fault] += 1
            body = self._flipped(body)
        start, answer = await self._asked(head + body, request.method)
        return await self._answered(writer, start, answer, fault)

    async def _answered(
        self, writer: asyncio.StreamWriter, head: bytes, body: bytes, fault: Fault | None
    ) -> bool:
        done = self._proxy.done
        fault = _WITHOUT_BODY.get(fault, fault) if fault and not body else fault
        half = len(body) // 2
        if fault in {"lost", "reset-body", "truncated", "stall", "short"} or (
            fault == "flip-down" and body
        ):
            done[fault] += 1
        if fault == "lost":
            raise _Broken
        if fault == "flip-down" and body:
            body = self._flipped(body)
        elif fault == "short":
            body = body[:half]
            head = re.sub(rb"\r\ncontent-length:[^\r]*", b"", head, flags=re.IGNORECASE)
            head = head[:-4] + b"\r\nContent-Length: %d\r\n\r\n" % half
        elif fault in {"reset-body", "truncated", "stall"}:
            writer.write(head + body[:half])
            await writer.drain()
            if fault == "stall":
                # Until the client has had enough.
                await asyncio.sleep(3600)
            if fault == "reset-body":
                # The half is to arrive first.
                await asyncio.sleep(0.005)
                raise _Broken
            return False
        writer.write(head + body)
        await writer.drain()
        return (_field(head, b"connection") or b"").lower() != b"close"

    async def _asked(self, request: bytes, method: str) -> tuple[bytes, bytes]:
        """The server's answer, its head with a length."""
        for last in (False, True):
            fresh = self._server is None
            if self._server is None:
                self._server = await asyncio.open_connection(*self._address, limit=2**20)
            reader, writer = self._server
            try:
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(_END)
                while head.startswith(b"HTTP/1.1 100"):
                    head = await reader.readuntil(_END)
                body = b"" if method == "HEAD" else await _answer_body(head, reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._leave()
                if fresh or last:
                    raise
                continue
            if (_field(head, b"connection") or b"").lower() == b"close":
                self._leave()
            if _field(head, b"transfer-encoding") and method != "HEAD":
                head = re.sub(rb"\r\ntransfer-encoding:[^\r]*", b"", head, flags=re.IGNORECASE)
                head = head[:-4] + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            return head, body
        raise AssertionError

    def _leave(self) -> None:
        if self._server is not None:
            self._server[1].close()
        self._server = None

    def _flipped(self, body: bytes) -> bytes:
        place = self._proxy.rng.randrange(len(body))
        changed = bytearray(body)
        changed[place] ^= 1 << self._proxy.rng.randrange(8)
        return bytes(changed)


def _field(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"\r\n" + name + rb": *([^\r]*)", head, re.IGNORECASE)
    return found[1] if found else None


async def _body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if _field(head, b"transfer-encoding"):
        msg = "a request in chunks, which this proxy does not pass on"
        raise NotImplementedError(msg)
    return await reader.readexactly(int(_field(head, b"content-length") or 0))


async def _answer_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    status = int(head.split(b" ", 2)[1])
    if status in {204, 304}:
        return b""
    if _field(head, b"transfer-encoding"):
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    length = _field(head, b"content-length")
    return await (reader.read() if length is None else reader.readexactly(int(length)))


def _refusal(request: Request, fault: Fault) -> bytes:
    status, reason, code = _REASONS[fault]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{reason}</Message></Error>"
    content = b"" if request.method == "HEAD" else body.encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
