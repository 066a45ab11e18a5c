"""The memory store: objects of this process, for tests and for values that need not last."""

from __future__ import annotations

import io
import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from dagster_buckets.errors import ObjectExistsError, ObjectNotFoundError
from dagster_buckets.objects import Body, Buffer, Header, ObjectInfo, Payload
from dagster_buckets.stores.base import changed, check_key, check_prefix

__all__ = ["MemoryStore"]


class _Space:
    """The objects under one name; every store of that name in this process sees them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self.versions = itertools.count(1)


_spaces: weakref.WeakValueDictionary[str, _Space] = weakref.WeakValueDictionary()
_spaces_lock = threading.Lock()


class MemoryStore:
    """A store with all the promises of a real one, except that its objects end with the process.

    Stores of the same name share their objects; when the last of them is gone, so are they.

    Args:
        name: Which objects to share. The URI is ``memory://<name>/<key>``.
        prefix: Put before every key.

    Example:
        >>> store = MemoryStore("example")
        >>> store.put("a/data.txt", Body.of(b"hello")).uri
        'memory://example/a/data.txt'
        >>> store.get("a/data.txt").data
        b'hello'
    """

    def __init__(self, name: str, prefix: str | None = None) -> None:
        self.name = name
        self.prefix = check_prefix(prefix)
        with _spaces_lock:
            self._space = _spaces.setdefault(name, _Space())

    @classmethod
    def from_uri(cls, uri: str) -> MemoryStore:
        """The store of ``memory://name/prefix``."""
        name, _, prefix = uri.removeprefix("memory://").partition("/")
        return cls(name, prefix)

    def __repr__(self) -> str:
        return f"MemoryStore({self.name!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[str, str]]:
        return MemoryStore, (self.name, self.prefix)

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
        full = check_key(key, prefix=self.prefix)
        sealed = body.seal(header)
        # A copy, because the caller may change its buffer afterwards.
        data = b"".join(body)
        with self._space.lock:
            _, found = self._space.objects.get(full, (b"", None))
            if (if_absent and found) or (
                if_match is not None and (not found or found.etag != if_match)
            ):
                state = "has another version" if found else "does not exist"
                msg = f"{self.uri(key)} {'exists' if if_absent else state}"
                raise ObjectExistsError(msg, uri=self.uri(key), hint="read it and decide again")
            info = ObjectInfo(
                key=key,
                uri=self.uri(key),
                size=len(data),
                etag=str(next(self._space.versions)),
                modified=datetime.now(UTC),
                header=sealed,
            )
            self._space.objects[full] = (data, info)
        return info

    def get(self, key: str) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        data, info = self._find(key)
        return Payload(data, info).verify()

    def peek(self, key: str, size: int) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        data, info = self._find(key)
        return Payload(data, info).verify() if info.size <= size else Payload(data[-size:], info)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        data, info = self._find(version.key)
        if version.etag not in ("", info.etag):
            raise changed(info.uri)
        return memoryview(data)[start:stop]

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        data, info = self._find(key)
        if version is not None and version.etag not in ("", info.etag):
            raise changed(info.uri)
        return io.BytesIO(data)

    def head(self, key: str) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self._find(key)[1]

    def get_if_changed(self, key: str, known: ObjectInfo) -> Payload | None:
        """See :class:`~dagster_buckets.stores.base.SupportsRevalidation`."""
        payload = self.get(key)
        return None if payload.info.etag == known.etag else payload

    def exists(self, key: str) -> bool:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return check_key(key, prefix=self.prefix) in self._space.objects

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        base = f"{self.prefix}/" if self.prefix else ""
        with self._space.lock:
            found = sorted(k for k in self._space.objects if k.startswith(base + prefix))
        for full in found:
            entry = self._space.objects.get(full)
            if entry is not None:
                yield self._relative(full.removeprefix(base), entry[1], header=False)

    def delete(self, keys: Iterable[str]) -> None:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        for key in keys:
            full = check_key(key, prefix=self.prefix)
            with self._space.lock:
                self._space.objects.pop(full, None)

    def uri(self, key: str) -> str:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return f"memory://{self.name}/{check_key(key, prefix=self.prefix)}"

    def _find(self, key: str) -> tuple[bytes, ObjectInfo]:
        entry = self._space.objects.get(check_key(key, prefix=self.prefix))
        if entry is None:
            msg = f"there is no object {self.uri(key)}"
            hint = "a memory store is seen by its own process only; has this been stored in it?"
            raise ObjectNotFoundError(msg, uri=self.uri(key), hint=hint)
        return entry[0], self._relative(key, entry[1], header=True)

    def _relative(self, key: str, info: ObjectInfo, *, header: bool) -> ObjectInfo:
        # Another store of the same name, with another prefix, may have written it.
        return ObjectInfo(
            key=key,
            uri=self.uri(key),
            size=info.size,
            etag=info.etag,
            modified=info.modified,
            header=info.header if header else None,
        )
