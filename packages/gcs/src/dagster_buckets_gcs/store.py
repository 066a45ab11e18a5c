"""The GCS store: objects of one Google Cloud Storage bucket under one prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack
from urllib.parse import quote

from dagster_buckets.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
)
from dagster_buckets.objects import Body, Header, ObjectInfo, Payload
from dagster_buckets.stores.access import GoogleAccess
from dagster_buckets.stores.base import Answered, changed, check_key, check_prefix

from dagster_buckets_gcs.bucket import MISSING, Bucket
from dagster_buckets_gcs.client import Answer
from dagster_buckets_gcs.describe import info_of_download, info_of_resource, stored_crc
from dagster_buckets_gcs.errors import conflict, refusal, translated
from dagster_buckets_gcs.login import access_of, is_emulator
from dagster_buckets_gcs.reader import open_ranges
from dagster_buckets_gcs.settings import Options, Settings
from dagster_buckets_gcs.upload import PART, Target, checksum, encoded
from dagster_buckets_gcs.writer import Write

if TYPE_CHECKING:
    import asyncio

__all__ = ["GCSStore"]

_NOT_MODIFIED = 304
_NO_SUCH_RANGE = 416
_CUT = "the server cuts its answers"
_LISTED = "items(name,size,generation,updated),nextPageToken"


class GCSStore:
    """Objects of a Google Cloud Storage bucket, all or nothing and verified.

    An object up to 16 MiB is one request to write and one to read. Its ETag here is its
    generation number. Bytes are checked on every full read, those of streamed values too, because
    Google keeps a CRC-32C of every object.

    Args:
        bucket: The bucket's name.
        prefix: Put before every key.
        **options: See :class:`~dagster_buckets_gcs.settings.Options`.

    Example:
        >>> store = GCSStore("lake", "prod")
        >>> store.uri("sales/data.parquet")
        'gs://lake/prod/sales/data.parquet'
    """

    def __init__(self, bucket: str, prefix: str | None = None, **options: Unpack[Options]) -> None:
        if not bucket or "/" in bucket:
            msg = f"{bucket!r} cannot be a bucket"
            raise ConfigurationError(msg, hint="give the name alone, without 'gs://' or a folder")
        self.bucket = bucket
        self.prefix = check_prefix(prefix)
        self._bucket = Bucket(bucket, Settings(**options))

    @classmethod
    def from_uri(cls, uri: str, **options: Unpack[Options]) -> GCSStore:
        """The store of ``gs://bucket/prefix``."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        return cls(bucket, prefix, **options)

    def __repr__(self) -> str:
        endpoint = self._bucket.client.settings.endpoint_url
        at = f", endpoint_url={endpoint!r}" if endpoint else ""
        return f"GCSStore({self.bucket!r}, prefix={self.prefix!r}{at})"

    def __getstate__(self) -> tuple[str, str, Settings]:
        return self.bucket, self.prefix, self._bucket.client.settings

    def __setstate__(self, state: tuple[str, str, Settings]) -> None:
        self.bucket, self.prefix, settings = state
        self._bucket = Bucket(self.bucket, settings)

    def close(self) -> None:
        """Close the connections now rather than with the last reference; a later use reconnects."""
        self._bucket.client.close()

    def put(
        self,
        key: str,
        body: Body,
        *,
        header: Header | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        full, uri = check_key(key, prefix=self.prefix), self.uri(key)
        if if_match is not None and (if_absent or not if_match.isdigit() or int(if_match) == 0):
            # No generation: Google would refuse the request, or take 0 for "create only".
            raise conflict(uri, if_absent=if_absent)
        body = body.settled(PART)
        sealed = body.seal(header)
        settings = self._bucket.client.settings
        target = Target(
            bucket=self.bucket,
            name=full,
            attributes={**settings.metadata, **sealed.to_attributes()},
            generation="0" if if_absent else if_match,
            boundary=sealed.write_id or "",
            kms_key_name=settings.kms_key_name,
            storage_class=settings.storage_class,
        )

        write = Write(self._bucket, target, uri, sealed.write_id or "")
        return info_of_resource(key, uri, write.send(body))

    def get(self, key: str) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        try:
            return self._read(key)
        except IntegrityError:
            return self._read(key)

    def prefetch(self, key: str, then: Callable[[Answered], None]) -> None:
        """See :class:`~dagster_buckets.stores.base.SupportsPrefetch`."""
        full, uri = check_key(key, prefix=self.prefix), self.uri(key)

        def answered(task: asyncio.Task[Answer]) -> None:
            failed = task.cancelled() or task.exception() is not None
            then(Answered(partial(self._answered, key, task), not failed and task.result().ok))

        self._bucket.begin_download(full, uri, answered)

    def get_if_changed(self, key: str, known: ObjectInfo) -> Payload | None:
        """See :class:`~dagster_buckets.stores.base.SupportsRevalidation`.

        Of an object that has changed one request more asks for its metadata.
        """
        full, uri = check_key(key, prefix=self.prefix), self.uri(key)
        answer = self._bucket.download_if_changed(full, uri, known.etag)
        if answer.status == _NOT_MODIFIED:
            return None
        if not answer.ok:
            raise self._bucket.error(answer, uri)
        found, described = info_of_download(key, uri, answer), self.head(key)
        if found.etag != described.etag:
            return self.get(key)
        info = replace(found, header=described.header)
        try:
            return _verified(Payload(answer.body, info), answer)
        except IntegrityError:
            return self.get(key)

    def peek(self, key: str, size: int) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        uri = self.uri(key)
        answer = self._bucket.download(check_key(key, prefix=self.prefix), uri, last=size)
        if answer.status == _NO_SUCH_RANGE:
            # An empty object has no last byte.
            return self.get(key)
        payload = self._payload(key, answer)
        if payload.info.size > size:
            if len(answer.body) != size:
                msg = f"{uri}: the last {size} bytes came as {len(answer.body)} bytes"
                raise IntegrityError(msg, uri=uri, hint=_CUT)
            return payload
        try:
            return _verified(payload, answer)
        except IntegrityError:
            return self.get(key)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> bytes:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        full, uri = check_key(version.key, prefix=self.prefix), version.uri
        if stop <= start:
            return b""
        for _ in range(2):
            answer = self._bucket.download(full, uri, generation=version.etag, span=(start, stop))
            if answer.status == MISSING:
                # Google says the same of a deleted object, which has no other version.
                self.head(version.key)
                raise changed(uri)
            if not answer.ok:
                raise refusal(answer, uri)
            if len(answer.body) == stop - start:
                return answer.body
        msg = f"{uri}: bytes {start} to {stop} came as {len(answer.body)} bytes"
        raise IntegrityError(msg, uri=uri, hint=_CUT)

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        info = version or self.head(key)
        return open_ranges(info.size, partial(self.read_range, info))

    def head(self, key: str) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return info_of_resource(key, self.uri(key), self._resource(key))

    def exists(self, key: str) -> bool:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        check_key(key, prefix=self.prefix)
        return any(info.key == key for info in self.scan(key))

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        base = f"{self.prefix}/" if self.prefix else ""
        uri = f"gs://{self.bucket}/{base}{prefix}"
        params = {"prefix": base + prefix, "fields": _LISTED}
        while True:
            page = self._bucket.list_page(params, uri)
            for item in page.get("items", []):
                try:
                    key = item["name"].removeprefix(base)
                    yield info_of_resource(key, self.uri(key), item)
                except InvalidKeyError:
                    # Markers that consoles leave for empty folders ("a/"); no key can name them.
                    continue
            if not page.get("nextPageToken"):
                return
            params["pageToken"] = page["nextPageToken"]

    def delete(self, keys: Iterable[str]) -> None:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        wanted = [(check_key(key, prefix=self.prefix), self.uri(key)) for key in keys]
        if wanted:
            self._bucket.delete(wanted)

    def console_url(self, key: str) -> str | None:
        """See :class:`~dagster_buckets.stores.base.SupportsConsole`."""
        if is_emulator(self._bucket.client.settings.endpoint_url):
            return None
        full = quote(check_key(key, prefix=self.prefix), safe="/")
        return f"https://console.cloud.google.com/storage/browser/_details/{self.bucket}/{full}"

    def access(self) -> GoogleAccess:
        """See :class:`~dagster_buckets.stores.access.SupportsAccess`; what was given, if it was."""
        return access_of(self.bucket, self._bucket.client.settings)

    def uri(self, key: str) -> str:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return f"gs://{self.bucket}/{check_key(key, prefix=self.prefix)}"

    def _resource(self, key: str) -> dict[str, Any]:
        return self._bucket.resource(check_key(key, prefix=self.prefix), self.uri(key))

    def _answered(self, key: str, task: asyncio.Task[Answer]) -> Payload:
        with translated(self.uri(key)):
            answer = task.result()
        if self._bucket.is_unclear(answer):
            return self.get(key)
        try:
            return _verified(self._payload(key, answer), answer)
        except IntegrityError:
            return self._read(key)

    def _read(self, key: str) -> Payload:
        answer = self._bucket.download(check_key(key, prefix=self.prefix), self.uri(key))
        return _verified(self._payload(key, answer), answer)

    def _payload(self, key: str, answer: Answer) -> Payload:
        uri = self.uri(key)
        if not answer.ok:
            raise self._bucket.error(answer, uri)
        info = info_of_download(key, uri, answer)
        if info.header is None and self._bucket.reads_json:
            # An emulator that may keep the metadata out of downloads: one more request.
            info = replace(info, header=self.head(key).header)
        return Payload(answer.body, info)


def _verified(payload: Payload, answer: Answer) -> Payload:
    """The whole object that this answer holds, if it is what Google and we have stored."""
    uri, stored = payload.verify().info.uri, stored_crc(answer.headers)
    found = encoded(checksum([answer.body])) if stored else None
    if found != stored:
        msg = f"{uri} came with the CRC-32C {found}, but Google stores {stored}"
        raise IntegrityError(msg, uri=uri, hint="it was damaged on its way, twice: read again")
    return payload
