"""Formats: how values become bytes. One small module each; their libraries load when used."""

from dagster_buckets.formats.base import (
    Column,
    Description,
    Format,
    Part,
    Parts,
    RunsCode,
    SupportsCompression,
    SupportsConcat,
    SupportsDescribe,
    SupportsLazy,
    SupportsParts,
    SupportsStreaming,
    SupportsStructures,
)

__all__ = [
    "Column",
    "Description",
    "Format",
    "Part",
    "Parts",
    "RunsCode",
    "SupportsCompression",
    "SupportsConcat",
    "SupportsDescribe",
    "SupportsLazy",
    "SupportsParts",
    "SupportsStreaming",
    "SupportsStructures",
]
