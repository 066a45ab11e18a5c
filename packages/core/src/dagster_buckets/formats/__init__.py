"""Formats: how values become bytes. One small module each; their libraries load when used."""

from dagster_buckets.formats.base import (
    Column,
    Description,
    Format,
    SupportsConcat,
    SupportsDescribe,
)

__all__ = ["Column", "Description", "Format", "SupportsConcat", "SupportsDescribe"]
