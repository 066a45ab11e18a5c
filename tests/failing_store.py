"""A store for tests of writes: some of them do not reach it."""

from __future__ import annotations

from typing import Any

from dagster_buckets import MemoryStore, StoreUnavailableError


class FailingStore(MemoryStore):
    """A memory store that cannot be reached for some puts.

    Attributes:
        left: How many more of them reach it; ``None`` for all.
        failing: What is in the keys of those that do not.
    """

    left: int | None = None
    failing: tuple[str, ...] = ()

    def put(self, key: str, *args: Any, **options: Any) -> Any:
        if self.left is not None:
            self.left -= 1
        if any(part in key for part in self.failing) or (self.left is not None and self.left < 0):
            msg = "gone"
            raise StoreUnavailableError(msg)
        return super().put(key, *args, **options)
