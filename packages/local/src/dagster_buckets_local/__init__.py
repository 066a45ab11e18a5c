"""The local file system store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

from dagster_buckets_local.store import LocalStore

if TYPE_CHECKING:
    from dagster_buckets_local.io_manager import LocalIOManager

__all__ = ["LocalIOManager", "LocalStore"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds.
    if name == "LocalIOManager":
        from dagster_buckets_local.io_manager import LocalIOManager

        return LocalIOManager
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
