"""The component of ``LocalIOManager``, for ``defs.yaml``."""

from dagster_buckets.component import component_of

from dagster_buckets_local.io_manager import LocalIOManager

__all__ = ["LocalIOManagerComponent"]

LocalIOManagerComponent = component_of(LocalIOManager, __name__)
