"""The Amazon S3 store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

from dagster_buckets_s3.store import S3Store

if TYPE_CHECKING:
    from dagster_buckets_s3.io_manager import S3IOManager

__all__ = ["S3IOManager", "S3Store"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds.
    if name == "S3IOManager":
        from dagster_buckets_s3.io_manager import S3IOManager

        return S3IOManager
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
