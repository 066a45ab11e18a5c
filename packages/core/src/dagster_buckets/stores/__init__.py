"""Stores: where objects lie. The memory store is here, the others are packages of their own."""

from dagster_buckets.stores.base import ObjectStore, check_key, check_prefix

__all__ = ["ObjectStore", "check_key", "check_prefix"]
