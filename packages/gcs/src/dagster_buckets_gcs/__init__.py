"""The Google Cloud Storage store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

from dagster_buckets_gcs.store import GCSStore

if TYPE_CHECKING:
    from dagster_buckets_gcs.io_manager import GCSIOManager

__all__ = ["GCSIOManager", "GCSStore"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds.
    if name == "GCSIOManager":
        from dagster_buckets_gcs.io_manager import GCSIOManager

        return GCSIOManager
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
