"""The reader: a seekable file over ranged requests, always of one generation of the object."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["open_ranges"]

#: Enough for the small reads of a footer; what is larger goes past the buffer in one request.
_BUFFER = 256 * 1024


def open_ranges(size: int, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """A buffered reader over ``fetch(start, stop)``, which must return exactly that range."""
    return cast("BinaryIO", io.BufferedReader(_Ranges(size, fetch), _BUFFER))


class _Ranges(io.RawIOBase):
    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            msg = f"cannot seek to {base + offset}"
            raise ValueError(msg)
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._next(view.nbytes)
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        # One request; the inherited method would ask for one small piece after the other.
        return self._next(self._size)

    def _next(self, count: int) -> bytes:
        stop = min(self._size, self._at + count)
        if stop <= self._at:
            return b""
        data = self._fetch(self._at, stop)
        self._at = stop
        return data
