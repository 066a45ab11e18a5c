"""The Amazon S3 store of dagster-buckets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_buckets_s3.io_manager import S3IOManager
    from dagster_buckets_s3.store import S3Store

__all__ = ["S3IOManager", "S3Store"]


def __getattr__(name: str) -> Any:
    # The store works without Dagster, whose import takes two seconds; and a process that only loads
    # definitions needs no store.
    if name == "S3IOManager":
        from dagster_buckets_s3.io_manager import S3IOManager

        return S3IOManager
    if name == "S3Store":
        from dagster_buckets_s3.store import S3Store

        return S3Store
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
