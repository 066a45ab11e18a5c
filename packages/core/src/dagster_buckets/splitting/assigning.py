"""Assigning: which partition each value of a column names.

Whole columns at once, in Arrow's kernels: NumPy is no dependency of ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import PartitionError
from dagster_buckets.splitting.rows import with_type
from dagster_buckets.splitting.timelines import (
    AMBIGUOUS,
    Timeline,
    Window,
    begins_a_day,
    days,
    instants,
    shown,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dimension", "assign", "counted", "plain"]

#: How many of its units a second has, by the unit of a timestamp.
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of the partitions, and the column that says where in it a row belongs.

    Attributes:
        name: Of the dimension, as in the address.
        column: Of the frame.
        windows: Of a dimension of time, what time each key stands for; ``None`` for another.

    Example:
        >>> Dimension("country", column="iso_code").windows is None
        True
    """

    name: str
    column: str
    windows: Mapping[str, Window] | None = None

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of the partitions, ``None`` if their dimension is none of time."""
        return next((start.tzinfo for start, _ in (self.windows or {}).values()), None)


def assign(
    column: pa.ChunkedArray[Any], dimension: Dimension, keys: Sequence[str]
) -> pa.Array[Any]:
    """Which of the keys each value names, as a place in ``keys``; null if none, and for null.

    Strings name the key that they equal, integers and dates the one that they are written as
    (``2024``, ``2024-01-31``). In a dimension of time, dates and timestamps name the window that
    holds them; those without a time zone are read in that of the partitions, and a time that the
    clock skips as if it had not been put forward yet (Python's ``fold=0``).

    Args:
        column: Of the frame.
        dimension: What the column tells.
        keys: Those that may be named, each once.

    Raises:
        PartitionError: The column is of another type, holds dates where partitions begin within a
            day, or local times that the clocks show twice, in two partitions.
        ConfigurationError: The windows overlap, or one is empty.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(column.type) and _is_text(column.type.value_type):
        chunks: list[Any] = column.chunks
        named = [
            assign(pa.chunked_array([chunk.dictionary]), dimension, keys).take(chunk.indices)
            for chunk in chunks
        ]
        return pa.chunked_array(named, pa.int32()).combine_chunks()
    column = plain(column)
    if types.is_null(column.type):
        return pa.nulls(len(column), pa.int32())
    if dimension.windows is not None and types.is_temporal(column.type):
        if types.is_date(column.type):
            return _labelled(column.cast(pa.int32()), _days(dimension, keys))
        if types.is_timestamp(column.type):
            return _in_windows(column, dimension, keys)
    values: Sequence[object]
    if _is_text(column.type):
        values = [_text(key) for key in keys]
    elif types.is_integer(column.type):
        unsigned = types.is_uint64(column.type)
        column = column.cast(pa.uint64() if unsigned else pa.int64())
        bounds = (0, 2**64) if unsigned else (-(2**63), 2**63)
        values = [_integer(key, *bounds) for key in keys]
    elif types.is_date(column.type):
        values = [_date(key) for key in keys]
    else:
        msg = f"the column {dimension.column!r} of type {column.type} cannot name the partitions "
        msg += f"of {dimension.name!r}"
        hint = f"convert it to strings like {keys[0]!r}, or to whole numbers or dates that are "
        hint += "written like that (pandas makes floats of whole numbers with missing values)"
        raise PartitionError(msg, hint=hint)
    value_set = pa.array(values, column.type)
    return _one(pc.index_in(column, value_set=value_set, skip_nulls=True))


def plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """The values in a type that Arrow's kernels know: no dictionary, view or milliseconds' date."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        # All of the text together may be more than a string array holds.
        kind = column.type.value_type
        return plain(column.cast(pa.large_string() if _is_text(kind) else kind))
    if types.is_string_view(column.type):
        return with_type(column, pa.large_string())
    return column.cast(pa.date32()) if types.is_date64(column.type) else column


def counted(count: int) -> str:
    """So many rows, for a message."""
    return "1 row" if count == 1 else f"{count:,} rows"


def _one(column: Any) -> pa.Array[Any]:
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind)


def _text(key: str) -> str | None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return None
    return key


def _integer(key: str, low: int, end: int) -> int | None:
    try:
        number = int(key)
    except ValueError:
        return None
    return number if low <= number < end and str(number) == key else None


def _date(key: str) -> date | None:
    try:
        day = date.fromisoformat(key)
    except ValueError:
        return None
    return day if day.isoformat() == key else None


def _in_windows(
    column: pa.ChunkedArray[Any], dimension: Dimension, keys: Sequence[str]
) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    naive = column.type.tz is None
    timeline = instants(_windows(dimension, keys))
    if naive:
        timeline = shown(timeline, dimension.zone)
    scale, micro = _UNITS[column.type.unit], _UNITS["us"]
    # A value is at or after an edge exactly if it is at or after the edge rounded up to its unit.
    edges = (-(-edge * scale // micro) for edge in timeline.edges)
    fitting = tuple(min(max(edge, -(2**63)), 2**63 - 1) for edge in edges)
    places = _labelled(column.cast(pa.int64()), Timeline(fitting, timeline.labels))
    ambiguous = pc.equal(places, pa.scalar(AMBIGUOUS, pa.int32()))
    if naive and pc.any(ambiguous).as_py():
        twice = column.filter(ambiguous)
        msg = f"the clocks of {dimension.zone} show local times of the column {dimension.column!r} "
        msg += f"twice, in two partitions of {dimension.name!r}: {counted(len(twice))}, such as "
        msg += str(twice[:1].cast(pa.string())[0].as_py())
        raise PartitionError(msg, hint="give the column timestamps with a time zone")
    return places


def _labelled(column: pa.ChunkedArray[Any], timeline: Timeline) -> pa.Array[Any]:
    """The label of each value; null for null and outside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.combine_chunks()
    first, last = timeline.edges[0], timeline.edges[-1]
    inside = pc.and_(
        pc.greater_equal(values, pa.scalar(first, values.type)),
        pc.less(values, pa.scalar(last, values.type)),
    )
    # The edges lie on a grid, mostly of hours or days: far fewer cells than values are looked up.
    cell = math.gcd(*(edge - first for edge in timeline.edges)) or 1
    kept = pc.if_else(inside, values, pa.scalar(None, values.type)).cast(pa.int64())
    distances = pc.subtract(kept, pa.scalar(first, pa.int64()))
    # Distances of more than 2**63 have wrapped around.
    cells = pc.divide(distances.cast(pa.uint64(), safe=False), pa.scalar(cell, pa.uint64()))
    encoded = cells.dictionary_encode()
    labels = [timeline.at(first + number * cell) for number in encoded.dictionary.to_pylist()]
    return pa.array(labels, pa.int32()).take(encoded.indices)


def _days(dimension: Dimension, keys: Sequence[str]) -> Timeline:
    windows = _windows(dimension, keys)
    # A date is a whole day, and belongs where all of it does.
    for key, window in zip(keys, windows, strict=True):
        for moment in window:
            if not begins_a_day(moment):
                msg = f"the column {dimension.column!r} holds dates, and the partition {key!r} of "
                msg += f"{dimension.name!r} begins or ends within a day, at {moment.isoformat()}"
                hint = "give the column timestamps, or strings like the key"
                raise PartitionError(msg, hint=hint)
    return days(windows)


def _windows(dimension: Dimension, keys: Sequence[str]) -> list[Window]:
    return [(dimension.windows or {})[key] for key in keys]
