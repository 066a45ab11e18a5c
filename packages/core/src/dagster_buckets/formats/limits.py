"""Limits: how much memory the bytes of one object may become."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from dagster_buckets.errors import DecodeError

__all__ = ["Bound", "Limit", "Tally"]

#: What any object may become: smaller bombs do no harm.
_HARMLESS = 1024**3


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on what decoding gives, against objects that are small only until they are read.

    Args:
        max_bytes: What one value may have in memory; ``None`` for no such bound.
        max_expansion: How many times the stored bytes a value may have, from 1 GiB on.

    Example:
        >>> Limit(max_bytes=1000).allowed(10)
        1000
    """

    max_bytes: int | None = None
    max_expansion: float = 100.0

    def allowed(self, stored: int) -> int:
        """The bytes that an object of this stored size may become."""
        allowed = max(_HARMLESS, int(stored * self.max_expansion))
        return allowed if self.max_bytes is None else min(allowed, self.max_bytes)

    def of(self, stored: int, uri: str) -> Bound:
        """The limit of an object of this stored size; the URI is for errors."""
        return Bound(self.allowed(stored), stored, uri)

    def check(self, size: int, stored: int, uri: str) -> None:
        """Refuse a size; see :class:`Bound`."""
        self.of(stored, uri).check(size)


@dataclass(frozen=True, slots=True)
class Bound:
    """What one object may become.

    Attributes:
        allowed: Bytes in memory.
        stored: The bytes of the object.
        uri: Where it lies.
        used: What of it is in memory already.
    """

    allowed: int
    stored: int
    uri: str
    used: int = 0

    @property
    def room(self) -> int:
        """The bytes that are left."""
        return self.allowed - self.used

    def after(self, size: int) -> Bound:
        """What is left when so many bytes are in memory."""
        return replace(self, used=self.used + size)

    def check(self, size: float) -> None:
        """Refuse a size.

        Args:
            size: The bytes that the value has, or will have, at least.

        Raises:
            DecodeError: It is more than is left.
        """
        if size <= self.room:
            return
        msg = f"{self.uri} has {self.stored:,} bytes and becomes more than {self.allowed:,} in "
        msg += "memory"
        raise DecodeError(msg, uri=self.uri, hint=_HINT)


class Tally:
    """What the parts of one value have in memory as they come, on many threads.

    Args:
        bound: What all of them may have.
    """

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Count so many bytes.

        Raises:
            DecodeError: Those that were counted are too many.
        """
        with self._lock:
            self._bound = self._bound.after(size)
            self._bound.check(0)


_HINT = (
    "is it what you expect? then raise max_decoded_bytes or max_expansion of the manager, or read "
    "less of it (columns, filters, a lazy type)"
)
