"""Stores: where objects lie. The memory store is here, the others are packages of their own."""

from dagster_buckets.stores.base import ObjectStore, check_key, check_prefix
from dagster_buckets.stores.memory import MemoryStore

__all__ = ["MemoryStore", "ObjectStore", "check_key", "check_prefix"]
