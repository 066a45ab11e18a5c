"""The I/O manager of the memory store."""

from __future__ import annotations

from typing import Any, ClassVar, Optional
from uuid import uuid4

from pydantic import Field, PrivateAttr

from dagster_buckets.io_manager import BucketIOManager
from dagster_buckets.stores.memory import MemoryStore

__all__ = ["MemoryIOManager"]


class MemoryIOManager(BucketIOManager):
    """Keeps values in this process: for tests, and for values that need not last.

    They take the same way as in every other store (encoded, with a key), so a test finds what would
    fail in production. Runs in other processes do not see them.

    Example:
        >>> import dagster as dg
        >>> @dg.asset
        ... def answer() -> int:
        ...     return 42
        >>> manager = MemoryIOManager()
        >>> dg.materialize([answer], resources={"io_manager": manager}).success
        True
        >>> manager.values.store.get("answer/data.json").data
        b'42'
    """

    kind: ClassVar[str] = "memory"

    name: str = Field(
        default_factory=lambda: uuid4().hex,
        description="Managers of one name in one process share their values.",
    )

    _keep: Optional[MemoryStore] = PrivateAttr(default=None)  # noqa: UP045

    def model_post_init(self, context: Any, /) -> None:
        """Hold on to the objects: Dagster works on copies of the manager, which come and go."""
        super().model_post_init(context)
        self._keep = MemoryStore(self.name)

    def make_store(self) -> MemoryStore:
        """See :meth:`BucketIOManager.make_store`."""
        return MemoryStore(self.name, self.prefix)
