"""What the cloud stores, and its answers to those of S3's requests that are sent here."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers.serving import FORGET, TRAFFIC

__all__ = ["Answer", "Bucket", "Request"]

_MODIFIED = "2026-01-01T00:00:00.000Z"


@dataclass(slots=True)
class Request:
    """One request, complete."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytearray


@dataclass(slots=True)
class Answer:
    """One answer; its body in pieces, which are sent one after another."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: list[memoryview] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(len(piece) for piece in self.body)


@dataclass(slots=True)
class _Object:
    #: As they were uploaded: nothing is copied, whatever the size.
    parts: list[bytearray]
    size: int
    etag: str
    modified: float
    metadata: dict[str, str]

    def between(self, start: int, stop: int) -> Iterable[memoryview]:
        """The pieces of a range."""
        for part in self.parts:
            if start < len(part) and stop > 0:
                yield memoryview(part)[max(0, start) : stop]
            start, stop = start - len(part), stop - len(part)


class Bucket:
    """Everything that is stored, and what is counted. Nothing is verified."""

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, dict[int, bytearray]] = {}
        self._metadata: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count(1)
        self._seen: dict[str, Any] = {"requests": {}, "received": 0, "sent": 0}

    def answer(self, request: Request) -> Answer:
        """Do what a request wants."""
        if request.path == TRAFFIC:
            seen, self._seen = self._seen, {"requests": {}, "received": 0, "sent": 0}
            return Answer(200, {}, [memoryview(json.dumps(seen).encode())])
        if request.path == FORGET:
            self._objects.clear()
            self._uploads.clear()
            return Answer(200)
        found: Answer = getattr(self, f"_{request.method.lower()}")(request)
        counts = self._seen["requests"]
        verb = "LIST" if _is_listing(request) else request.method
        counts[verb] = counts.get(verb, 0) + 1
        self._seen["received"] += len(request.body)
        if request.method != "HEAD":
            self._seen["sent"] += found.size
        return found

    def _put(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            parts = self._uploads[request.query["uploadId"]]
            parts[int(request.query["partNumber"])] = request.body
            return Answer(200, {"etag": f'"{next(self._numbers):032x}"'})
        if _is_bucket(request):
            return Answer(200)
        known = self._objects.get(request.path)
        wanted = request.headers.get("if-match")
        if (request.headers.get("if-none-match") and known) or (
            wanted and (known is None or known.etag != wanted)
        ):
            return _refusal(412, "PreconditionFailed")
        return self._stored(request.path, [request.body], _metadata(request))

    def _post(self, request: Request) -> Answer:
        if "uploads" in request.query:
            name = f"upload-{next(self._numbers)}"
            self._uploads[name], self._metadata[name] = {}, _metadata(request)
            return _xml(
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        if "uploadId" in request.query:
            name = request.query["uploadId"]
            parts = self._uploads.pop(name)
            pieces = [parts[number] for number in sorted(parts)]
            stored = self._stored(request.path, pieces, self._metadata.pop(name))
            return _xml(
                "<CompleteMultipartUploadResult>"
                f"<ETag>{stored.headers['etag']}</ETag></CompleteMultipartUploadResult>"
            )
        keys = re.findall(rb"<Key>(.*?)</Key>", bytes(request.body))
        bucket = request.path.split("/")[1]
        for key in keys:
            self._objects.pop(f"/{bucket}/{key.decode()}", None)
        gone = "".join(f"<Deleted><Key>{key.decode()}</Key></Deleted>" for key in keys)
        return _xml(f"<DeleteResult>{gone}</DeleteResult>")

    def _delete(self, request: Request) -> Answer:
        self._uploads.pop(request.query.get("uploadId", ""), None)
        self._objects.pop(request.path, None)
        return Answer(204)

    def _head(self, request: Request) -> Answer:
        return Answer(200) if _is_bucket(request) else self._get(request)

    def _get(self, request: Request) -> Answer:  # noqa: PLR0911 - one for each status
        if _is_bucket(request):
            return self._listed(request)
        known = self._objects.get(request.path)
        if known is None:
            return _refusal(404, "NoSuchKey")
        if request.headers.get("if-match", known.etag) != known.etag:
            return _refusal(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == known.etag:
            return Answer(304, {"etag": known.etag})
        modified = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(known.modified))
        headers = {
            "etag": known.etag,
            "last-modified": modified,
            "accept-ranges": "bytes",
            **known.metadata,
        }
        span = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", request.headers.get("range", ""))
        if span is None:
            return Answer(200, headers, list(known.between(0, known.size)))
        if not span[1]:
            start, stop = max(0, known.size - int(span[2])), known.size
        else:
            start = int(span[1])
            stop = min(known.size, int(span[2]) + 1 if span[2] else known.size)
        if start >= known.size:
            return _refusal(416, "InvalidRange")
        headers["content-range"] = f"bytes {start}-{stop - 1}/{known.size}"
        return Answer(206, headers, list(known.between(start, stop)))

    def _listed(self, request: Request) -> Answer:
        bucket = request.path.split("/")[1]
        prefix = request.query.get("prefix", "")
        limit = int(request.query.get("max-keys", 1000))
        after = request.query.get("continuation-token") or request.query.get("start-after", "")
        delimiter = request.query.get("delimiter", "")
        found: list[str] = []
        folders: dict[str, None] = {}
        truncated = False
        for path in sorted(self._objects):
            key = path.removeprefix(f"/{bucket}/")
            if key <= after or not key.startswith(prefix) or key == path:
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                folders[prefix + head + cut] = None
                continue
            if len(found) == limit:
                truncated = True
                break
            found.append(key)
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{self._objects[f'/{bucket}/{key}'].size}</Size>"
            f"<ETag>{self._objects[f'/{bucket}/{key}'].etag}</ETag>"
            f"<LastModified>{_MODIFIED}</LastModified></Contents>"
            for key in found
        )
        entries += "".join(
            f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders
        )
        token = f"<NextContinuationToken>{found[-1]}</NextContinuationToken>" if truncated else ""
        return _xml(
            f"<ListBucketResult><IsTruncated>{str(truncated).lower()}</IsTruncated>{token}"
            f"<KeyCount>{len(found)}</KeyCount>{entries}</ListBucketResult>"
        )

    def _stored(self, path: str, parts: list[bytearray], metadata: dict[str, str]) -> Answer:
        etag = f'"{next(self._numbers):032x}"'
        size = sum(map(len, parts))
        self._objects[path] = _Object(parts, size, etag, time.time(), metadata)
        return Answer(200, {"etag": etag})


def _is_bucket(request: Request) -> bool:
    return not request.path.strip("/").partition("/")[2]


def _is_listing(request: Request) -> bool:
    return request.method == "GET" and _is_bucket(request)


def _metadata(request: Request) -> dict[str, str]:
    return {k: v for k, v in request.headers.items() if k.startswith("x-amz-meta-")}


def _xml(text: str) -> Answer:
    body = f"<?xml version='1.0'?>{text}".encode()
    return Answer(200, {"content-type": "application/xml"}, [memoryview(body)])


def _refusal(status: int, code: str) -> Answer:
    said = _xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")
    return Answer(status, said.headers, said.body)
