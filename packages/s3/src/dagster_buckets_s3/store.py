"""The S3 store: objects in a bucket of Amazon S3, or of a server that speaks its protocol."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Unpack, cast

from dagster_buckets.buffers import writable
from dagster_buckets.errors import (
    IntegrityError,
    InvalidKeyError,
)
from dagster_buckets.objects import Body, Buffer, Header, ObjectInfo, Payload
from dagster_buckets.stores.access import S3Access
from dagster_buckets.stores.base import check_key, check_prefix

from dagster_buckets_s3 import etags
from dagster_buckets_s3.clients import Clients
from dagster_buckets_s3.console import console_url
from dagster_buckets_s3.errors import code_of, not_s3
from dagster_buckets_s3.reader import ChangedError, ObjectReader, Version, same_version
from dagster_buckets_s3.refusals import missing_unless_listed
from dagster_buckets_s3.seaweedfs import fault
from dagster_buckets_s3.settings import Options, Settings
from dagster_buckets_s3.sweeping import sweep
from dagster_buckets_s3.wire import PART, Described, Last, NotModifiedError, Span
from dagster_buckets_s3.writer import Write, matching

__all__ = ["S3Store"]

_DELETED_AT_ONCE = 1000
_RENAME = "rename the asset or partition key"


class S3Store:
    """A bucket as a store: every write is all or nothing, every full read is verified.

    One request writes or reads an object of up to 16 MiB; larger ones travel in parts of 16 MiB,
    twelve at a time. Nothing is imported, looked up or connected until the first use. Credentials,
    region and endpoint are found as boto3 finds them; what is given here wins.

    ``if_match`` compares ETags, which on S3 are equal for equal bytes: a value that changed and
    changed back cannot be told from one that never changed. Streams hold up to 156 GiB.

    In the child of a fork of a process that had loaded obstore, boto3 sends all requests.

    SeaweedFS takes some keys and then loses them (:mod:`dagster_buckets_s3.seaweedfs`): those are
    refused there. The first such key costs one request more, on every server.

    Args:
        bucket: Its name.
        prefix: Put before every key.
        **options: Endpoint, credentials, retries and time limits; see
            :class:`~dagster_buckets_s3.settings.Options`.

    Raises:
        ConfigurationError: The bucket's name or the endpoint cannot be right.
        InvalidKeyError: The prefix cannot be one.

    Example:
        >>> store = S3Store("lake", "prod", region_name="eu-west-1")
        >>> store.uri("a/data.parquet")
        's3://lake/prod/a/data.parquet'
    """

    def __init__(self, bucket: str, prefix: str | None = None, **options: Unpack[Options]) -> None:
        self._settings = Settings(bucket, **options)
        self.prefix = check_prefix(prefix)
        self._clients = Clients(self._settings)

    @classmethod
    def from_uri(cls, uri: str, **options: Unpack[Options]) -> S3Store:
        """The store of ``s3://bucket/prefix``."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return cls(bucket, prefix, **options)

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self._settings.bucket

    @property
    def settings(self) -> Settings:
        """What was given; its ``repr`` holds no secret."""
        return self._settings

    def __repr__(self) -> str:
        shown = {"prefix": self.prefix, "endpoint_url": self._settings.endpoint_url}
        shown |= {"region_name": self._settings.region_name}
        extra = "".join(f", {name}={value!r}" for name, value in shown.items() if value)
        return f"S3Store({self.bucket!r}{extra})"

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": asdict(self._settings), "prefix": self.prefix}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._settings = Settings(**state["settings"])
        self.prefix = state["prefix"]
        self._clients = Clients(self._settings)

    def close(self) -> None:
        """Close the connections; the next use makes new ones."""
        self._clients.close()

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
        path = self._kept(key)
        # Before the stream is touched: without credentials it need not begin.
        clients = self._clients.get()
        body = body.settled(PART)
        write = Write(
            settings=self._settings,
            clients=clients,
            path=path,
            uri=self.uri(key),
            header=body.seal(header),
            condition={"IfNoneMatch": "*"} if if_absent else matching(if_match),
            find=lambda: self.head(key),
        )
        etag, size = write.send(body)
        return ObjectInfo(key, write.uri, size, etag, datetime.now(UTC), write.header)

    def get(self, key: str) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        try:
            payload = self._read(key).verify()
        except (IntegrityError, ChangedError):
            return self._sound(self._read(key).verify(), key)
        return self._sound(payload, key)

    def get_if_changed(self, key: str, known: ObjectInfo) -> Payload | None:
        """See :class:`~dagster_buckets.stores.base.SupportsRevalidation`."""
        try:
            payload = self._read_unless(key, known.etag)
            return payload and self._sound(payload.verify(), key)
        except (IntegrityError, ChangedError):
            return self._sound(self._read(key).verify(), key)

    def peek(self, key: str, size: int) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        payload = self._part(key, Last(size))
        if payload.info.size > size:
            if (count := memoryview(payload.data).nbytes) != size:
                msg = f"{payload.info.uri}: {count} bytes came instead of the last {size}"
                raise IntegrityError(msg, uri=payload.info.uri, hint="check the network")
            return payload
        try:
            return payload.verify()
        except IntegrityError:
            return self.get(key)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`; in parallel above 16 MiB."""
        target = writable(stop - start)
        self._version(version).fill(target, start)
        return target

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`.

        Small reads are joined into requests of 1 MiB. A version without an ETag is not told from
        others.
        """
        found = self._version(version or self.head(key))
        return cast("BinaryIO", io.BufferedReader(ObjectReader(found), 1024 * 1024))

    def head(self, key: str) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        path, uri = self._kept(key), self.uri(key)
        with self._allowed(key), self._clients.calling(uri) as clients:
            try:
                found = clients.wire.head(path)
            except Exception as error:
                if code_of(error) not in {"400", "401", "403", "404"}:
                    raise
                # Answers to HEAD have no body, so no code: a missing bucket looks like a
                # missing object. Those to GET have one.
                found = clients.wire.get(path, (0, 1)).described
            return self._info(key, found)

    def exists(self, key: str) -> bool:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        self._kept(key)
        return any(info.key == key for info in self.scan(key))

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`.

        The order is the server's: that of the keys on S3, but not on SeaweedFS (folder by folder)
        and S3's directory buckets. Keys that
        :func:`~dagster_buckets.stores.base.check_key` refuses, such as the ``folder/`` that S3's
        console creates, are not listed.
        """
        # boto3: obstore takes whole folders only, and stops at a foreign key that holds `//`.
        base = f"{self.prefix}/" if self.prefix else ""
        place = f"s3://{self.bucket}/{base}{prefix}"
        with self._clients.calling(place) as clients:
            pages = clients.control.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=base + prefix):
                if "IsTruncated" not in page:
                    raise not_s3(place)
                for entry in page.get("Contents", []):
                    key = entry["Key"].removeprefix(base)
                    try:
                        uri = self.uri(key)
                    except InvalidKeyError:
                        continue
                    yield ObjectInfo(
                        key, uri, entry["Size"], entry.get("ETag", ""), entry["LastModified"]
                    )

    def delete(self, keys: Iterable[str]) -> None:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        paths = [self._kept(key) for key in keys]
        for start in range(0, len(paths), _DELETED_AT_ONCE):
            batch = paths[start : start + _DELETED_AT_ONCE]
            with self._clients.calling(f"s3://{self.bucket}/{batch[0]}") as clients:
                clients.wire.delete(batch)

    def sweep(self, older_than: timedelta = timedelta(days=1), *, dry_run: bool = False) -> int:
        """Abort uploads in parts that killed writers left, which are stored and billed unseen.

        Needs ``s3:ListBucketMultipartUploads`` on the bucket, ``s3:ListMultipartUploadParts`` and
        ``s3:AbortMultipartUpload`` on the objects. A lifecycle rule of the bucket does the same.

        Args:
            older_than: No part of them came for so long.
            dry_run: Count them only.

        Returns:
            How many were aborted.
        """
        base = f"{self.prefix}/" if self.prefix else ""
        with self._clients.calling(f"s3://{self.bucket}/{base}") as clients:
            limit = datetime.now(UTC) - older_than
            return sweep(clients.control, self.bucket, base, limit, dry_run=dry_run)

    def access(self) -> S3Access:
        """See :class:`~dagster_buckets.stores.access.SupportsAccess`; what boto3 found."""
        with self._clients.calling(f"s3://{self.bucket}") as clients:
            return clients.access(self._settings)

    def console_url(self, key: str) -> str | None:
        """See :class:`~dagster_buckets.stores.base.SupportsConsole`."""
        with self._clients.calling(self.uri(key)) as clients:
            return console_url(clients.control, self.bucket, self._path(key))

    def uri(self, key: str) -> str:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return f"s3://{self.bucket}/{self._path(key)}"

    def _path(self, key: str) -> str:
        path = check_key(key, prefix=self.prefix)
        if "\ufffe" in path or "\uffff" in path:
            msg = f"{key!r} cannot be an object key: the XML by which S3 deletes cannot hold it"
            raise InvalidKeyError(msg, hint=_RENAME)
        return path

    def _kept(self, key: str) -> str:
        """The full key, for a request: one that this server keeps as it is."""
        path = self._path(key)
        base = f"{self.prefix}/" if self.prefix else ""
        if (reason := fault(path)) and self._clients.seaweedfs(self.uri(key), base):
            msg = f"{key!r} cannot be an object key on this server: {reason}"
            raise InvalidKeyError(msg, uri=self.uri(key), hint=_RENAME)
        return path

    def _read(self, key: str) -> Payload:
        payload = self._read_unless(key)
        assert payload is not None  # noqa: S101 - without a condition there is always one
        return payload

    def _read_unless(self, key: str, known: str = "") -> Payload | None:
        """All of an object, if it is not the version that is known.

        The rest is asked for as soon as the head of the first answer says how large it is.
        """
        path, uri = self._kept(key), self.uri(key)
        with self._allowed(key), same_version(uri), self._clients.calling(uri) as clients:
            try:
                first = clients.wire.get(path, (0, PART), unless=known)
            except NotModifiedError:
                return None
            info = self._info(key, first.described)
            if info.size <= PART or first.size != PART:
                return Payload(first.all(), info)
            target = writable(info.size)
            self._version(info).fill(target, 0, first)
            return Payload(target, info)

    def _allowed(self, key: str) -> AbstractContextManager[None]:
        return missing_unless_listed(self.uri(key), partial(self.exists, key))

    def _sound(self, payload: Payload, key: str) -> Payload:
        """The payload if it is what its ETag promises, or the next if that is."""
        return etags.sound(payload, lambda: self._read(key).verify(), self._clients)

    def _version(self, info: ObjectInfo) -> Version:
        return Version(self._clients, self._path(info.key), info.uri, info.etag, info.size)

    def _part(self, key: str, span: Span) -> Payload:
        path, uri = self._kept(key), self.uri(key)
        with self._allowed(key), same_version(uri), self._clients.calling(uri) as clients:
            part = clients.wire.get(path, span)
            return Payload(part.all(), self._info(key, part.described))

    def _info(self, key: str, found: Described) -> ObjectInfo:
        if not found.etag or found.modified is None:
            raise not_s3(self.uri(key))
        return ObjectInfo(
            key=key,
            uri=self.uri(key),
            size=found.size,
            etag=found.etag,
            modified=found.modified,
            header=Header.from_attributes(found.attributes),
        )
