"""A network that is far away: a proxy, in a process of its own, that delays each request.

The delay is paid once for a request, not for a packet, and by each request alone: any number of
them wait at the same time. Connections stay open as long as client and server keep them open.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from benchmarks.servers.serving import TRAFFIC, serving, until_left

__all__ = ["distance"]

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_ASKED = f"GET {TRAFFIC} ".encode()
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


def distance(upstream: str, seconds: float, port: int = 0) -> AbstractContextManager[str]:
    """Run a proxy on the loopback interface, and end it; gives the endpoint to use instead.

    Args:
        upstream: The server's endpoint, ``http://host:port``.
        seconds: By which each request reaches it later.
        port: Of the proxy; one that is free by default.
    """
    return serving("benchmarks.servers.distance", upstream, seconds, port)


class _Relay:
    """What all connections of the proxy have in common, inside its process."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.host, self.port, self.seconds = host, port, seconds
        self.seen: dict[str, Any] = {}
        self.take()

    def take(self) -> bytes:
        """What went through since the last call; heads of answers count as their bodies do."""
        seen, self.seen = self.seen, {"requests": {}, "received": 0, "sent": 0}
        return json.dumps(seen).encode()

    def count(self, head: bytes, body: int) -> None:
        """Count one request."""
        method = head.partition(b" ")[0].decode()
        counts = self.seen["requests"]
        counts[method] = counts.get(method, 0) + 1
        self.seen["received"] += body


class _Requests(asyncio.Protocol):
    """The client's side of one connection.

    Callbacks, not streams, for their cost: requests that come at once wait for each other's work
    in here, which is then measured as the client's time.
    """

    def __init__(self, relay: _Relay) -> None:
        self._relay = relay
        self._pending = bytearray()
        self._body = 0
        self._server: asyncio.WriteTransport | None = None
        self._delayed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._client = transport
        self._opening = asyncio.ensure_future(self._open())

    def data_received(self, data: bytes) -> None:
        self._pending += data
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._opening.cancel()
        if self._server is not None:
            self._server.close()

    async def _open(self) -> None:
        answers = functools.partial(_Answers, self._relay, self._client)
        loop = asyncio.get_running_loop()
        self._server, _ = await loop.create_connection(answers, self._relay.host, self._relay.port)
        self._delayed = False
        self._go_on()

    def _go_on(self) -> None:
        """Pass on what has come, up to the next request, which has to wait."""
        while self._pending and not self._delayed and self._server is not None:
            if self._body:
                # After its head: a client may wait for "100 Continue" before it sends the body.
                self._server.write(bytes(self._pending[: self._body]))
                taken = min(self._body, len(self._pending))
                self._body -= taken
                del self._pending[:taken]
                continue
            end = self._pending.find(_END)
            if end < 0:
                return
            head = bytes(self._pending[: end + len(_END)])
            del self._pending[: len(head)]
            self._delay(head)

    def _delay(self, head: bytes) -> None:
        if _CHUNKED.search(head):
            self._client.abort()
            msg = "a request in chunks, whose end this proxy cannot tell"
            raise NotImplementedError(msg)
        length = _LENGTH.search(head)
        self._body = int(length[1]) if length else 0
        relay = self._relay
        if head.startswith(_ASKED):
            seen = relay.take()
            self._client.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % len(seen) + seen)
            return
        self._delayed = True
        relay.count(head, self._body)
        asyncio.get_running_loop().call_later(relay.seconds, self._send, head)

    def _send(self, head: bytes) -> None:
        self._delayed = False
        if self._server is not None:
            self._server.write(head)
            self._go_on()


class _Answers(asyncio.Protocol):
    """The server's side of one connection: passes on what comes."""

    def __init__(self, relay: _Relay, client: asyncio.WriteTransport) -> None:
        self._relay = relay
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._relay.seen["sent"] += len(data)
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        # The client must not use a connection again that the server has ended.
        self._client.close()


async def _run(upstream: str, seconds: float, port: int) -> None:
    parts = urlsplit(upstream)
    relay = _Relay(parts.hostname or "", parts.port or 80, seconds)
    loop = asyncio.get_running_loop()
    # One client may connect with all its threads at once.
    server = await loop.create_server(lambda: _Requests(relay), "127.0.0.1", port, backlog=1024)
    await until_left(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
