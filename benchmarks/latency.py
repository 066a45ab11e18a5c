"""A network that is far away: a proxy, in a process of its own, that delays each request.

The delay is paid once for a request, not for a packet, and by each request alone: any number of
them wait at the same time. Connections stay open as long as client and server keep them open.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Proxy", "Traffic", "latency_proxy"]

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through a proxy.

    Attributes:
        requests: Method and target of each, as ``GET /bucket/key``.
        connections: How many a client opened.
        most_at_once: How many requests were delayed at the same time.
        received: The bytes of the answers, with their heads.
    """

    requests: tuple[str, ...]
    connections: int
    most_at_once: int
    received: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy.

    Attributes:
        endpoint: What to give to clients instead of the server's.
        process: The one that it runs in.
    """

    endpoint: str
    process: subprocess.Popen[str]

    def take(self) -> Traffic:
        """What went through since the last call."""
        assert self.process.stdin is not None  # noqa: S101 - for the type checker
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write("take\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Traffic(
            tuple(answer["requests"]),
            answer["connections"],
            answer["most_at_once"],
            answer["received"],
        )


@contextmanager
def latency_proxy(upstream: str, seconds: float) -> Iterator[Proxy]:
    """Run a proxy on the loopback interface, and end it.

    Args:
        upstream: The server's endpoint, ``http://host:port``.
        seconds: By which each request reaches it later.
    """
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "benchmarks.latency", upstream, str(seconds)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            yield Proxy(process.stdout.readline().strip(), process)
        finally:
            process.kill()


class _Relay:
    """What all connections of the proxy have in common, inside its process."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.host, self.port, self.seconds = host, port, seconds
        self.requests: list[str] = []
        self.connections = self.waiting = self.most = self.received = 0

    def take(self) -> str:
        taken = {"requests": self.requests, "connections": self.connections}
        taken |= {"most_at_once": self.most, "received": self.received}
        self.requests, self.connections, self.most, self.received = [], 0, 0, 0
        return json.dumps(taken)


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
        self._relay.connections += 1
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
        self._delayed = True
        relay = self._relay
        relay.requests.append(head.partition(b" HTTP/")[0].decode())
        relay.waiting += 1
        relay.most = max(relay.most, relay.waiting)
        asyncio.get_running_loop().call_later(relay.seconds, self._send, head)

    def _send(self, head: bytes) -> None:
        self._relay.waiting -= 1
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
        self._relay.received += len(data)
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        # The client must not use a connection again that the server has ended.
        self._client.close()


async def _run(upstream: str, seconds: float) -> None:
    parts = urlsplit(upstream)
    relay = _Relay(parts.hostname or "", parts.port or 80, seconds)
    loop = asyncio.get_running_loop()
    # One client may connect with all its threads at once.
    server = await loop.create_server(lambda: _Requests(relay), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    # At the end of the input whoever started the proxy is gone.
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(relay.take() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], float(sys.argv[2])))
