"""Statistics: what a manifest tells of the columns of a part, so that it need not be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["statistics_of"]

#: Of so many columns, the first ones, there are statistics.
_COLUMNS = 32
#: Letters of a text; where one is longer, there is neither.
_LONGEST = 64


def statistics_of(table: pa.Table) -> Mapping[str, Mapping[str, Any]]:
    """Of each column the nulls, and the least and the greatest value where JSON can tell them.

    Of the first 32 columns: what is asked for mostly comes first, and a manifest stays small.
    Numbers, booleans and texts as JSON's own; dates and times as ISO 8601.

    Example:
        >>> import pyarrow as pa
        >>> statistics_of(pa.table({"n": [3, None, 1]}))
        {'n': {'nulls': 1, 'min': 1, 'max': 3}}
    """
    return {name: _of_column(table[name]) for name in table.column_names[:_COLUMNS]}


def _of_column(column: pa.ChunkedArray[Any]) -> Mapping[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, Any] = {"nulls": column.null_count}
    kind = column.type
    types = pa.types
    orders = (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
    )
    if not orders or column.null_count == len(column):
        return found
    if types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py():
        # NaN is below and above nothing.
        return found
    ends = pc.min_max(column)
    if types.is_date(kind) or types.is_timestamp(kind):
        least, greatest = (str(ends[end].cast(pa.string())) for end in ("min", "max"))
    else:
        least, greatest = ends["min"].as_py(), ends["max"].as_py()
    if not all(map(_tellable, (least, greatest))):
        return found
    return {**found, "min": least, "max": greatest}


def _tellable(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return not isinstance(value, float) or math.isfinite(value)
