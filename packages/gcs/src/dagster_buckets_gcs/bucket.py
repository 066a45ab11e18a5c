"""The bucket: the requests about its objects, by their full keys. It knows no prefix, no header."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dagster_buckets.errors import BucketsError

from dagster_buckets_gcs.client import Answer, Client, Request
from dagster_buckets_gcs.errors import (
    bucket_missing,
    object_missing,
    refusal,
    translated,
    what_is_missing,
)
from dagster_buckets_gcs.settings import Settings

if TYPE_CHECKING:
    import asyncio

__all__ = ["MISSING", "Bucket"]

#: The status that is either about an object or about the bucket.
MISSING = 404
#: Of gzipped objects too, so that size and checksum fit.
_AS_STORED = {"Accept-Encoding": "gzip"}


class Bucket:
    """One bucket behind one client. What it raises names the URI it is given.

    Args:
        name: The bucket's name.
        settings: How to reach it.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.client = Client(settings)
        #: Whether an emulator turned out not to offer the XML interface.
        self.reads_json = False

    def send(self, request: Request, uri: str) -> Answer:
        """Send one request; its answer may be a refusal."""
        with translated(uri):
            return self.client.send(request)

    def list_page(self, params: dict[str, str], uri: str) -> dict[str, Any]:
        """One page of the listing."""
        answer = self.send(Request("GET", self._objects, params), uri)
        if answer.status == MISSING:
            raise bucket_missing(self.name, uri)
        if not answer.ok:
            raise refusal(answer, uri)
        return answer.json()

    def resource(self, full: str, uri: str) -> dict[str, Any]:
        """The JSON description of an object."""
        answer = self.send(Request("GET", self._object(full)), uri)
        if not answer.ok:
            raise self.error(answer, uri)
        return answer.json()

    def download(
        self,
        full: str,
        uri: str,
        *,
        generation: str | None = None,
        span: tuple[int, int] | None = None,
        last: int | None = None,
    ) -> Answer:
        """The bytes, with all that is known about them in the headers of the same answer.

        Args:
            full: The full key.
            uri: For errors.
            generation: Of this version only; a missing one is answered with 404.
            span: The first byte and the one after the last; ``None`` for all.
            last: So many bytes at the end.
        """
        headers = dict(_AS_STORED)
        if span:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        elif last is not None:
            headers["Range"] = f"bytes=-{last}"
        params = {"generation": generation} if generation else {}
        answer = self.send(self._download(full, params, headers), uri)
        if self.reads_json or not self.is_unclear(answer):
            return answer
        answer = self.send(self._download(full, params, headers, json=True), uri)
        if answer.ok:
            self.reads_json = True
        return answer

    def is_unclear(self, answer: Answer) -> bool:
        """Whether an answer to a download may have come from an emulator that has the object.

        They offer the XML interface on some host names only, and say 404 on others.
        """
        return answer.status == MISSING and what_is_missing(answer) == "unknown"

    def _download(
        self, full: str, params: dict[str, str], headers: dict[str, str], *, json: bool = False
    ) -> Request:
        if json or self.reads_json:
            path = f"/download{self._object(full)}"
            return Request("GET", path, params | {"alt": "media"}, headers)
        # Google's XML interface, because its JSON one leaves out the user metadata.
        path = f"/{quote(self.name, safe='')}/{quote(full, safe='/')}"
        return Request("GET", path, params, headers)

    def begin_download(
        self, full: str, uri: str, then: Callable[[asyncio.Task[Answer]], None]
    ) -> None:
        """Begin to ask for the bytes, where :meth:`download` asks first.

        Args:
            full: The full key.
            uri: For errors.
            then: See :meth:`~dagster_buckets_gcs.client.Client.begin`.
        """
        with translated(uri):
            self.client.begin(self._download(full, {}, _AS_STORED), then)

    def download_if_changed(self, full: str, uri: str, known: str) -> Answer:
        """The bytes, unless this is still the generation; the answer then has the status 304.

        Google's XML interface knows no such condition, and the answer of its JSON one no metadata.
        """
        path = f"/download{self._object(full)}"
        params = {"alt": "media", "ifGenerationNotMatch": known}
        return self.send(Request("GET", path, params, _AS_STORED), uri)

    def delete(self, objects: Sequence[tuple[str, str]]) -> None:
        """Delete objects, given as full keys and URIs, side by side; missing ones are fine."""
        requests = [Request("DELETE", self._object(full)) for full, _ in objects]
        with translated(objects[0][1]):
            answers = self.client.send_all(requests)
        gone = None
        for (_, uri), answer in zip(objects, answers, strict=True):
            if isinstance(answer, BaseException):
                with translated(uri):
                    raise answer
            if answer.status == MISSING:
                gone = gone or (answer, uri)
            elif not answer.ok:
                raise refusal(answer, uri)
        if gone and self._is_missing(*gone):
            raise bucket_missing(self.name, gone[1])

    def delete_generation(self, full: str, generation: str, uri: str) -> None:
        """Delete one version of an object; a missing one is fine."""
        params = {"generation": generation}
        answer = self.send(Request("DELETE", self._object(full), params), uri)
        if not answer.ok and answer.status != MISSING:
            raise refusal(answer, uri)

    def error(self, answer: Answer, uri: str) -> BucketsError:
        """The error that an answer about an object stands for."""
        if answer.status != MISSING:
            return refusal(answer, uri)
        if self._is_missing(answer, uri):
            return bucket_missing(self.name, uri)
        return object_missing(uri)

    def _is_missing(self, answer: Answer, uri: str) -> bool:
        """Whether a 404 is about the bucket itself."""
        what = what_is_missing(answer)
        if what == "unknown":
            # A listing, because the roles for objects do not allow to look at the bucket itself.
            listing = Request("GET", self._objects, {"maxResults": "1", "fields": "kind"})
            return self.send(listing, uri).status == MISSING
        return what == "bucket"

    @property
    def _objects(self) -> str:
        return f"/storage/v1/b/{quote(self.name, safe='')}/o"

    def _object(self, full: str) -> str:
        return f"{self._objects}/{quote(full, safe='')}"
