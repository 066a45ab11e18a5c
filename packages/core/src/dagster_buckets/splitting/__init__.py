"""Splitting: one frame into the partitions of a run, by columns that say where each row belongs."""

from dagster_buckets.splitting.frames import (
    Dimension,
    SplitBy,
    Window,
    Windows,
    dimensions_for,
    split,
)

__all__ = ["Dimension", "SplitBy", "Window", "Windows", "dimensions_for", "split"]
