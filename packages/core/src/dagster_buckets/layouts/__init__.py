"""Layouts: how addresses become object keys."""

from dagster_buckets.layouts.base import Layout, LayoutSpec, SupportsOldStems, SupportsSpec
from dagster_buckets.layouts.hive import HiveLayout

__all__ = ["HiveLayout", "Layout", "LayoutSpec", "SupportsOldStems", "SupportsSpec"]
