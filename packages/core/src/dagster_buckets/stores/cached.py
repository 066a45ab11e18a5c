"""A store whose objects are read from a local folder as long as they have not changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from dagster_buckets.errors import ConfigurationError
from dagster_buckets.objects import Body, Buffer, Header, ObjectInfo, Payload
from dagster_buckets.stores.access import Access, access_to
from dagster_buckets.stores.base import ObjectStore, SupportsRevalidation, console_url
from dagster_buckets.stores.cache_folder import CacheFolder

__all__ = ["CachedStore"]

_log = logging.getLogger(__name__)


class CachedStore:
    """Another store, of which objects that were read in full stay in a local folder.

    Every read asks the store whether the object is still the one that is here, by the request that
    would else fetch it: nothing old is ever returned, and of what has not changed no body moves.
    What lies in the folder is verified like what comes from the store. Parts of objects, scans and
    references go past it.

    Args:
        store: Where the objects are; one that supports revalidation.
        folder: What is kept of them.

    Raises:
        ConfigurationError: The store cannot tell whether an object has changed.

    Example:
        >>> import tempfile
        >>> from dagster_buckets import MemoryStore
        >>> folder = CacheFolder(tempfile.mkdtemp(), 1_000_000)
        >>> store = CachedStore(MemoryStore("cached"), folder)
        >>> _ = store.put("x", Body.of(b"hello"))
        >>> [bytes(store.get("x").data) for _ in range(2)], store.hits
        ([b'hello', b'hello'], 1)
    """

    def __init__(self, store: ObjectStore, folder: CacheFolder) -> None:
        if not isinstance(store, SupportsRevalidation):
            msg = f"there is nothing to gain by a cache of {type(store).__name__}"
            raise ConfigurationError(msg, hint="leave cache out")
        self.store = store
        self.folder = folder
        self._revalidating: SupportsRevalidation = store
        #: How many reads moved no body.
        self.hits = 0

    def __repr__(self) -> str:
        return f"CachedStore({self.store!r}, {self.folder!r})"

    def get(self, key: str) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        uri = self.store.uri(key)
        known = self._kept(uri)
        if known is not None:
            fresh = self._revalidating.get_if_changed(key, known.info)
            if fresh is None:
                self.hits += 1
                return Payload(known.data, replace(known.info, key=key))
        else:
            fresh = self.store.get(key)
        try:
            self.folder.keep(fresh)
        except OSError as error:
            _log.warning("%s is not kept in %s: %s", uri, self.folder.path, error)
        return fresh

    def _kept(self, uri: str) -> Payload | None:
        try:
            return self.folder.find(uri)
        except OSError as error:
            _log.warning("%s is not read from %s: %s", uri, self.folder.path, error)
            return None

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
        return self.store.put(key, body, header=header, if_absent=if_absent, if_match=if_match)

    def peek(self, key: str, size: int) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.peek(key, size)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.open(key, version)

    def head(self, key: str) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.head(key)

    def exists(self, key: str) -> bool:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.exists(key)

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.scan(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        self.store.delete(keys)

    def console_url(self, key: str) -> str | None:
        """See :class:`~dagster_buckets.stores.base.SupportsConsole`."""
        return console_url(self.store, key)

    def uri(self, key: str) -> str:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        return self.store.uri(key)

    def access(self) -> Access:
        """See :class:`~dagster_buckets.stores.access.SupportsAccess`."""
        return access_to(self.store)
