"""A cloud that is far away: an S3 in a process of its own, with a latency and slow connections.

Loopback hides what matters: there a request costs nothing and one connection carries everything.
Here each request waits before it is answered, and each connection carries so many bytes a second in
either direction, while any number of connections do so at the same time. Objects are in memory;
nothing is verified and no sum is computed, so that it is never the server that is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

__all__ = ["Cloud", "Traffic", "cloud"]

_END = b"\r\n\r\n"
_CHUNK = 256 * 1024
_HEAD = 64 * 1024
#: Seconds that are not worth a turn of the loop.
_TURN = 0.002


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a cloud has seen.

    Attributes:
        requests: How many, by method.
        received: Bytes of bodies that were sent to it.
        sent: Bytes of bodies that it sent.
    """

    requests: dict[str, int]
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running cloud.

    Attributes:
        endpoint: For clients.
        process: The one that it runs in.
    """

    endpoint: str
    process: subprocess.Popen[str]

    def take(self) -> Traffic:
        """What it has seen since the last call."""
        assert self.process.stdin is not None  # noqa: S101 - for the type checker
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write("take\n")
        self.process.stdin.flush()
        return Traffic(**json.loads(self.process.stdout.readline()))


@contextmanager
def cloud(seconds: float = 0.0, bytes_a_second: float = 0.0) -> Iterator[Cloud]:
    """Run one on the loopback interface, and end it.

    Args:
        seconds: From the end of a request to the beginning of its answer.
        bytes_a_second: What one connection carries; 0 for what it can.
    """
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "benchmarks.cloud", str(seconds), str(bytes_a_second)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            yield Cloud(process.stdout.readline().strip(), process)
        finally:
            process.kill()


@dataclass(slots=True)
class _Object:
    data: bytearray
    etag: str
    modified: float
    metadata: dict[str, str]


@dataclass(slots=True)
class _Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytearray


@dataclass(slots=True)
class _Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: memoryview | bytes = b""


class _Bucket:
    """Everything that is stored, and what is counted."""

    def __init__(self) -> None:
        self.objects: dict[str, _Object] = {}
        self.uploads: dict[str, dict[int, bytearray]] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.numbers = itertools.count(1)
        self.take()

    def take(self) -> str:
        """What was counted."""
        seen = getattr(self, "seen", {})
        self.seen: dict[str, Any] = {"requests": {}, "received": 0, "sent": 0}
        return json.dumps(seen)

    def answer(self, request: _Request) -> _Answer:
        """Do what a request wants."""
        counts = self.seen["requests"]
        counts[request.method] = counts.get(request.method, 0) + 1
        self.seen["received"] += len(request.body)
        found: _Answer = getattr(self, f"_{request.method.lower()}")(request)
        if request.method != "HEAD":
            self.seen["sent"] += len(found.body)
        return found

    def _put(self, request: _Request) -> _Answer:
        if "uploadId" in request.query:
            parts = self.uploads[request.query["uploadId"]]
            parts[int(request.query["partNumber"])] = request.body
            return _Answer(200, {"etag": f'"{next(self.numbers):032x}"'})
        if request.path.count("/") < 2:  # noqa: PLR2004 - a bucket
            return _Answer(200)
        known = self.objects.get(request.path)
        wanted = request.headers.get("if-match")
        if (request.headers.get("if-none-match") and known) or (
            wanted and (known is None or known.etag != wanted)
        ):
            return _refusal(412, "PreconditionFailed")
        return self._stored(request.path, request.body, _metadata(request))

    def _post(self, request: _Request) -> _Answer:
        if "uploads" in request.query:
            name = f"upload-{next(self.numbers)}"
            self.uploads[name], self.metadata[name] = {}, _metadata(request)
            return _xml(
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        if "uploadId" in request.query:
            name = request.query["uploadId"]
            parts = self.uploads.pop(name)
            data = bytearray().join(parts[number] for number in sorted(parts))
            stored = self._stored(request.path, data, self.metadata.pop(name))
            return _xml(
                "<CompleteMultipartUploadResult>"
                f"<ETag>{stored.headers['etag']}</ETag></CompleteMultipartUploadResult>"
            )
        keys = re.findall(rb"<Key>(.*?)</Key>", bytes(request.body))
        bucket = request.path.split("/")[1]
        for key in keys:
            self.objects.pop(f"/{bucket}/{key.decode()}", None)
        gone = "".join(f"<Deleted><Key>{key.decode()}</Key></Deleted>" for key in keys)
        return _xml(f"<DeleteResult>{gone}</DeleteResult>")

    def _delete(self, request: _Request) -> _Answer:
        self.uploads.pop(request.query.get("uploadId", ""), None)
        self.objects.pop(request.path, None)
        return _Answer(204)

    def _get(self, request: _Request) -> _Answer:  # noqa: PLR0911 - one for each status
        if "list-type" in request.query:
            return self._listed(request)
        known = self.objects.get(request.path)
        if known is None:
            return _refusal(404, "NoSuchKey")
        if request.headers.get("if-match", known.etag) != known.etag:
            return _refusal(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == known.etag:
            return _Answer(304, {"etag": known.etag})
        headers = {
            "etag": known.etag,
            "last-modified": time.strftime(
                "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(known.modified)
            ),
            "accept-ranges": "bytes",
            **known.metadata,
        }
        view, size = memoryview(known.data), len(known.data)
        span = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", request.headers.get("range", ""))
        if span is None:
            return _Answer(200, headers, view)
        if not span[1]:
            start, stop = max(0, size - int(span[2])), size
        else:
            start, stop = int(span[1]), min(size, int(span[2]) + 1 if span[2] else size)
        if start >= size:
            return _refusal(416, "InvalidRange")
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        return _Answer(206, headers, view[start:stop])

    _head = _get

    def _listed(self, request: _Request) -> _Answer:
        bucket = request.path.split("/")[1]
        prefix = f"/{bucket}/{request.query.get('prefix', '')}"
        entries = "".join(
            f"<Contents><Key>{path.removeprefix(f'/{bucket}/')}</Key><Size>{len(known.data)}</Size>"
            f"<ETag>{known.etag}</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for path, known in sorted(self.objects.items())
            if path.startswith(prefix)
        )
        return _xml(
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        )

    def _stored(self, path: str, data: bytearray, metadata: dict[str, str]) -> _Answer:
        etag = f'"{next(self.numbers):032x}"'
        self.objects[path] = _Object(data, etag, time.time(), metadata)
        return _Answer(200, {"etag": etag})


class _Connection(asyncio.BufferedProtocol):
    """One connection: takes requests, one after another, and answers them."""

    def __init__(self, bucket: _Bucket, seconds: float, rate: float) -> None:
        self._bucket, self._seconds, self._rate = bucket, seconds, rate
        self._buffer = memoryview(bytearray(_HEAD))
        self._filled = 0
        self._request: _Request | None = None
        self._free_at = 0.0

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
        body = bytearray(int(headers.get("content-length") or 0))
        rest = data[end + len(_END) :]
        body[: len(rest)] = rest
        self._request = _Request(method, unquote(path), known, headers, body)
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
        asyncio.get_running_loop().call_later(self._seconds, self._answer, request)

    def _answer(self, request: _Request) -> None:
        answer = self._bucket.answer(request)
        lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if request.method != "HEAD":
            self._send(memoryview(answer.body))

    def _send(self, left: memoryview) -> None:
        if self._transport.is_closing() or not left:
            return
        if not self._rate:
            self._transport.write(left)
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._free_at = max(self._free_at, now)
        while left and self._free_at - now < _TURN:
            self._transport.write(left[:_CHUNK])
            self._free_at += min(len(left), _CHUNK) / self._rate
            left = left[_CHUNK:]
        if left:
            loop.call_at(self._free_at, self._send, left)


def _metadata(request: _Request) -> dict[str, str]:
    return {k: v for k, v in request.headers.items() if k.startswith("x-amz-meta-")}


def _xml(text: str) -> _Answer:
    return _Answer(
        200, {"content-type": "application/xml"}, f"<?xml version='1.0'?>{text}".encode()
    )


def _refusal(status: int, code: str) -> _Answer:
    said = _xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")
    return _Answer(status, said.headers, said.body)


async def _run(seconds: float, rate: float) -> None:
    bucket = _Bucket()
    loop = asyncio.get_running_loop()
    make: Callable[[], _Connection] = lambda: _Connection(bucket, seconds, rate)  # noqa: E731
    listening = socket.socket()
    if rate:
        # What the kernel takes ahead of us would be carried for nothing.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
    listening.bind(("127.0.0.1", 0))
    await loop.create_server(make, sock=listening, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    # At the end of the input whoever started it is gone.
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(bucket.take() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(float(sys.argv[1]), float(sys.argv[2])))
