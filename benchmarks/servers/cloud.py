"""A cloud that is far away: an S3 in a process of its own, with a latency and slow connections.

Loopback hides what matters: there a request costs nothing and one connection carries everything.
Here each request waits before it is answered, and each connection carries so many bytes a second in
either direction, while any number of connections do so at the same time. Objects are in memory;
nothing is verified and no sum is computed, so that it is never the server that is measured.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import parse_qs, unquote

from benchmarks.servers.objects import Answer, Bucket, Request
from benchmarks.servers.serving import FORGET, TRAFFIC, serving, until_left

__all__ = ["cloud", "run"]

_END = b"\r\n\r\n"
_CHUNK = 256 * 1024
_HEAD = 64 * 1024
#: Seconds that are not worth a turn of the loop.
_TURN = 0.002


def cloud(seconds: float = 0.0, bytes_a_second: float = 0.0) -> AbstractContextManager[str]:
    """Run one on the loopback interface, and end it; gives its endpoint.

    Args:
        seconds: From the end of a request to the beginning of its answer.
        bytes_a_second: What one connection carries; 0 for what it can.
    """
    return serving("benchmarks.servers.cloud", seconds, bytes_a_second)


class _Connection(asyncio.BufferedProtocol):
    """One connection: takes requests, one after another, and answers them."""

    def __init__(self, bucket: Bucket, seconds: float, rate: float) -> None:
        self._bucket, self._seconds, self._rate = bucket, seconds, rate
        self._buffer = memoryview(bytearray(_HEAD))
        self._filled = 0
        self._request: Request | None = None
        self._free_at = 0.0
        self._blocked = False
        self._unsent: Answer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=4 * _CHUNK)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        if self._request is not None:
            return memoryview(self._request.body)[self._filled : self._filled + _CHUNK]
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._request is None:
            self._look_for_head()
            return
        if self._rate:
            self._pace(nbytes)
        if self._filled == len(self._request.body):
            self._complete()

    def _look_for_head(self) -> None:
        data = bytes(self._buffer[: self._filled])
        end = data.find(_END)
        if end < 0:
            return
        line, *lines = data[:end].decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        known = {k: v[0] for k, v in parse_qs(query, keep_blank_values=True).items()}
        if headers.get("content-encoding", "").startswith("aws-chunked"):
            msg = "a body with checksums in between, which would be stored as they are"
            raise NotImplementedError(msg)
        body = bytearray(int(headers.get("content-length") or 0))
        rest = data[end + len(_END) :]
        body[: len(rest)] = rest
        self._request = Request(method, unquote(path), known, headers, body)
        self._filled = len(rest)
        if headers.get("expect"):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._filled == len(body):
            self._complete()

    def _pace(self, nbytes: int) -> None:
        """Read on when the connection has carried what came."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 0.005) + nbytes / self._rate
        if self._free_at - now > _TURN:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_at(self._free_at, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _complete(self) -> None:
        request, self._request, self._filled = self._request, None, 0
        assert request is not None  # noqa: S101 - for the type checker
        if request.path in {TRAFFIC, FORGET}:
            self._answer(request)
            return
        asyncio.get_running_loop().call_later(self._seconds, self._answer, request)

    def _answer(self, request: Request) -> None:
        if self._transport.is_closing():
            return
        answer = self._bucket.answer(request)
        lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {answer.size}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if request.method != "HEAD":
            self._send(answer)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._unsent is not None:
            self._send(self._unsent)

    def _send(self, answer: Answer) -> None:
        """As much as the connection carries by now, or takes; then again."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._free_at = max(self._free_at, now - 0.005)
        self._unsent = None
        while answer.body and not self._transport.is_closing():
            if self._rate and self._free_at - now >= _TURN:
                loop.call_at(self._free_at, self._send, answer)
                return
            if self._blocked and not self._rate:
                self._unsent = answer
                return
            piece = answer.body[0]
            self._transport.write(piece[:_CHUNK])
            if self._rate:
                self._free_at += min(len(piece), _CHUNK) / self._rate
            if len(piece) <= _CHUNK:
                del answer.body[0]
            else:
                answer.body[0] = piece[_CHUNK:]


async def run(bucket: Bucket, seconds: float, rate: float) -> None:
    """Answer for a bucket until whoever started the process is gone; see :func:`cloud`."""
    loop = asyncio.get_running_loop()
    make: Callable[[], _Connection] = lambda: _Connection(bucket, seconds, rate)  # noqa: E731
    listening = socket.socket()
    if rate:
        # What the kernel takes ahead of us would be carried for nothing.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
    listening.bind(("127.0.0.1", 0))
    await loop.create_server(make, sock=listening, backlog=1024)
    await until_left(f"http://127.0.0.1:{listening.getsockname()[1]}")


if __name__ == "__main__":
    asyncio.run(run(Bucket(), float(sys.argv[1]), float(sys.argv[2])))
