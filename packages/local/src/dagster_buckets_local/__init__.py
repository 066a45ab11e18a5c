"""The local file system store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_buckets_local.io_manager import LocalIOManager
    from dagster_buckets_local.store import LocalStore

__all__ = ["LocalIOManager", "LocalStore"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds; and a process that only loads
    # definitions needs no store.
    if name == "LocalIOManager":
        from dagster_buckets_local.io_manager import LocalIOManager

        return LocalIOManager
    if name == "LocalStore":
        from dagster_buckets_local.store import LocalStore

        return LocalStore
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
