"""Uploads: a body cut into parts, one request for a small one and a session for the others."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import google_crc32c
from dagster_buckets.errors import StoreUnavailableError
from dagster_buckets.objects import Buffer

from dagster_buckets_gcs.client import Answer, Request

__all__ = ["PART", "Target", "checksum", "cut", "encoded", "upload_at_once", "upload_in_session"]

#: Up to here an object is one request. Google wants a multiple of 256 KiB.
PART = 16 * 1024 * 1024

_MEDIA_TYPE = "application/octet-stream"
_RESUME = 308
#: A part of which Google keeps a piece is continued; without any progress this often it fails.
_FUTILE = 5

Part = tuple[Buffer, ...]
Send = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upload goes and what is written beside its bytes.

    Attributes:
        bucket: The bucket's name.
        name: The full key.
        attributes: The user metadata.
        generation: Write only over this generation (0: only if there is none); ``None``: always.
        boundary: What separates the parts of a request; must not occur in the bytes.
        kms_key_name: The key that encrypts it; ``None``: the bucket's.
        storage_class: ``None``: the bucket's.
    """

    bucket: str
    name: str
    attributes: dict[str, str]
    generation: str | None
    boundary: str
    kms_key_name: str | None = None
    storage_class: str | None = None

    @property
    def path(self) -> str:
        """The upload endpoint."""
        return f"/upload/storage/v1/b/{quote(self.bucket, safe='')}/o"

    def params(self, kind: str) -> dict[str, str]:
        """The query of the first request of an upload."""
        known = {"uploadType": kind, "name": self.name}
        if self.generation is not None:
            known["ifGenerationMatch"] = self.generation
        if self.kms_key_name is not None:
            # In the query: the description has it only in answers.
            known["kmsKeyName"] = self.kms_key_name
        return known

    def resource(self, **more: str) -> bytes:
        """The object's JSON description."""
        known = {"name": self.name, "contentType": _MEDIA_TYPE, "metadata": self.attributes}
        if self.storage_class is not None:
            known["storageClass"] = self.storage_class
        return json.dumps(known | more).encode()


def cut(buffers: Iterable[Buffer], size: int = PART) -> Iterator[Part]:
    """The same bytes in parts of exactly ``size``; only the last is shorter. Copies nothing."""
    part: list[Buffer] = []
    room = size
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        while view.nbytes:
            piece, view = view[:room], view[room:]
            part.append(piece)
            room -= piece.nbytes
            if room == 0:
                yield tuple(part)
                part, room = [], size
    if part:
        yield tuple(part)


def checksum(buffers: Iterable[Buffer], before: int = 0) -> int:
    """The CRC-32C of the buffers, continued from ``before``."""
    found = before
    step = 1024 * 1024
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        for start in range(0, view.nbytes, step):
            # google-crc32c takes nothing but bytes; a piece at a time keeps the copy small.
            found = google_crc32c.extend(found, bytes(view[start : start + step]))
    return found


def encoded(crc: int) -> str:
    """A CRC-32C the way Google writes it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def upload_at_once(send: Send, target: Target, part: Part) -> Answer:
    """Upload in one request. Google checks the bytes against our checksum before it stores them."""
    mark = f"--{target.boundary}"
    resource = target.resource(crc32c=encoded(checksum(part)))
    head = f"{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode()
    middle = f"\r\n{mark}\r\nContent-Type: {_MEDIA_TYPE}\r\n\r\n".encode()
    return send(
        Request(
            "POST",
            target.path,
            target.params("multipart"),
            {"Content-Type": f'multipart/related; boundary="{target.boundary}"'},
            (head + resource + middle, *part, f"\r\n{mark}--\r\n".encode()),
        )
    )


def upload_in_session(
    send: Send, target: Target, parts: Iterator[Part], uri: str
) -> tuple[Answer, int, int]:
    """Upload part by part; the object appears with the last one, or not at all.

    An exception, of the body's iterator too, cancels the session and is raised unchanged.

    Args:
        send: Sends a request, with retries.
        target: Where to.
        parts: As from :func:`cut`.
        uri: For errors.

    Returns:
        The last answer, the size in bytes and the CRC-32C of what was sent.
    """
    start = Request(
        "POST",
        target.path,
        target.params("resumable"),
        {"Content-Type": "application/json", "X-Upload-Content-Type": _MEDIA_TYPE},
        (target.resource(),),
    )
    answer = send(start)
    if not answer.ok:
        return answer, 0, 0
    location = answer.headers["Location"]
    offset = crc = 0
    try:
        part = next(parts, ())
        while True:
            following = next(parts, None)
            crc = checksum(part, crc)
            end = offset + _size(part)
            sending = _Part(location, part, offset, None if following else end, crc)
            answer = _send_part(send, sending, uri)
            if following is None:
                break
            if answer.status != _RESUME:
                break
            part, offset = following, end
    except BaseException:
        _cancel(send, location)
        raise
    if not answer.ok:
        _cancel(send, location)
    return answer, end, crc


@dataclass(frozen=True, slots=True)
class _Part:
    """A part on its way; ``total`` is known, and the CRC-32C of the object, with the last one."""

    location: str
    buffers: Part
    offset: int
    total: int | None
    crc: int

    def request(self, done: int) -> Request:
        rest = next(cut(_without(self.buffers, done), PART), ())
        first, stop = self.offset + done, self.offset + _size(self.buffers)
        total = "*" if self.total is None else self.total
        headers = {
            "Content-Type": _MEDIA_TYPE,
            "Content-Range": f"bytes {first}-{stop - 1}/{total}",
        }
        if self.total is not None:
            # With it Google refuses damaged bytes instead of publishing them.
            headers["X-Goog-Hash"] = f"crc32c={encoded(self.crc)}"
        # Sending a part again after a lost answer is safe: Google ignores the bytes it has.
        # POST, because aiohttp itself repeats a PUT, with a body that is used up by then.
        return Request("POST", self.location, {}, headers, rest)


def _send_part(send: Send, part: _Part, uri: str) -> Answer:
    done = futile = 0
    while True:
        answer = send(part.request(done))
        if answer.status != _RESUME:
            return answer
        kept = _kept(answer) - part.offset
        if kept >= _size(part.buffers):
            return answer
        futile = 0 if kept > done else futile + 1
        if futile >= _FUTILE or kept < 0:
            msg = f"Google keeps none of the bytes sent to {uri}"
            raise StoreUnavailableError(msg, uri=uri, hint="run it again")
        done = kept


def _kept(answer: Answer) -> int:
    found = re.search(r"-(\d+)$", answer.headers.get("Range", ""))
    return int(found[1]) + 1 if found else 0


def _cancel(send: Send, location: str) -> None:
    # Best effort: an abandoned session holds no object and expires after a week.
    with contextlib.suppress(Exception):
        send(Request("DELETE", location, {}, {"Content-Length": "0"}))


def _size(buffers: Iterable[Any]) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)


def _without(buffers: Part, count: int) -> Iterator[memoryview]:
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        yield view[min(count, view.nbytes) :]
        count = max(0, count - view.nbytes)
