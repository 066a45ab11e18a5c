"""Layouts: how addresses become object keys."""

from dagster_buckets.layouts.base import Layout, LayoutSpec, SupportsOldStems, SupportsSpec
from dagster_buckets.layouts.hive import HiveLayout
from dagster_buckets.layouts.legacy import LegacyLayout
from dagster_buckets.layouts.template import TemplateLayout

__all__ = [
    "HiveLayout",
    "Layout",
    "LayoutSpec",
    "LegacyLayout",
    "SupportsOldStems",
    "SupportsSpec",
    "TemplateLayout",
]
