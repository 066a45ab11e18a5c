"""The Google Cloud Storage store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_buckets_gcs.io_manager import GCSIOManager
    from dagster_buckets_gcs.store import GCSStore

__all__ = ["GCSIOManager", "GCSStore"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds; and a process that only loads
    # definitions needs no store.
    if name == "GCSIOManager":
        from dagster_buckets_gcs.io_manager import GCSIOManager

        return GCSIOManager
    if name == "GCSStore":
        from dagster_buckets_gcs.store import GCSStore

        return GCSStore
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
