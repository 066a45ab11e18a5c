"""The component of ``S3IOManager``, for ``defs.yaml``."""

from dagster_buckets.component import component_of

from dagster_buckets_s3.io_manager import S3IOManager

__all__ = ["S3IOManagerComponent"]

S3IOManagerComponent = component_of(S3IOManager, __name__)
