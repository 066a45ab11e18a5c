"""The component of ``GCSIOManager``, for ``defs.yaml``."""

from dagster_buckets.component import component_of

from dagster_buckets_gcs.io_manager import GCSIOManager

__all__ = ["GCSIOManagerComponent"]

GCSIOManagerComponent = component_of(GCSIOManager, __name__)
