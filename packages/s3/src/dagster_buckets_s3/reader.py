"""Reading: one request up to the part size, parallel ranges of one version beyond it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster_buckets.buffers import writable
from dagster_buckets.errors import IntegrityError, StoreUnavailableError
from dagster_buckets.stores.base import changed
from dagster_buckets.threads import Pool

from dagster_buckets_s3.wire import PARALLEL_RANGES, PART, RANGE, Arriving

if TYPE_CHECKING:
    from dagster_buckets_s3.clients import Clients

__all__ = ["ChangedError", "ObjectReader", "Version", "same_version"]


class ChangedError(StoreUnavailableError):
    """The object was written again while it was being read."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one object, of which ranges can be read, also in the child of a fork.

    Of whatever is there, where the server gives no ETags.
    """

    clients: Clients
    path: str
    uri: str
    etag: str
    size: int

    def fill(self, target: memoryview, offset: int, begun: Arriving | None = None) -> None:
        """Fill ``target`` with the bytes from ``offset`` on, in parallel ranges.

        Args:
            target: All of it.
            offset: Bytes from the beginning of the object.
            begun: The answer to a request for the first of them, which is on its way.

        Raises:
            ChangedError: Another version is in place.
            IntegrityError: Fewer bytes came than were asked for.
        """
        done = begun.size if begun else 0
        step = PART if len(target) <= PART else RANGE
        starts = range(done, len(target), step)

        def fetch(start: int) -> None:
            self._fetch(target[start : start + step], offset + start)

        if not begun and len(starts) <= 1:
            for start in starts:
                fetch(start)
            return
        pool = Pool(min(PARALLEL_RANGES, len(starts) + 1), "s3-range")
        try:
            futures = [pool.submit(self._take, begun, target[:done], offset)] if begun else []
            for future in [*futures, *(pool.submit(fetch, start) for start in starts)]:
                future.result()
        finally:
            # The threads write into the caller's memory: none may be left behind.
            pool.shutdown(wait=True)

    def _fetch(self, target: memoryview, offset: int) -> None:
        span = (offset, offset + len(target))
        with same_version(self.uri), self.clients.calling(self.uri) as connections:
            self._take(connections.wire.get(self.path, span, etag=self.etag), target, offset)

    def _take(self, answer: Arriving, target: memoryview, offset: int) -> None:
        if (count := answer.fill(target)) != len(target):
            msg = f"{self.uri}: {count} bytes came instead of {len(target)} from {offset} on"
            raise IntegrityError(msg, uri=self.uri, hint="check the network")


@contextmanager
def same_version(uri: str) -> Iterator[None]:
    """Raise that another version is in place as :class:`ChangedError`."""
    try:
        yield
    except FileExistsError as error:
        known = changed(uri)
        raise ChangedError(known.message, uri=known.uri, hint=known.hint) from error


class ObjectReader(io.RawIOBase):
    """A seekable file that fetches what is read, always of one version."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self._version = version
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there without a request, also beyond the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._version.size}
        if whence not in base or base[whence] + offset < 0:
            msg = f"cannot seek to {offset} (whence {whence})"
            raise ValueError(msg)
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the object reaches."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._version.size - self._position))
        self._version.fill(view[:count], self._position)
        self._position += count
        return count

    def readall(self) -> bytes:
        """The rest, in parallel ranges."""
        data = writable(max(0, self._version.size - self._position))
        self.readinto(data)
        return bytes(data)
