"""Known values: what is true of all rows of an object, by which a scan can leave it out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from dagster_buckets.references import ObjectRef

__all__ = ["known_of", "plain_type", "typed_value"]


def known_of(
    constants: Mapping[str, str], ref: ObjectRef, schema: pa.Schema
) -> ds.Expression | None:
    """What is true of all rows of an object: Arrow leaves it out where a filter contradicts it."""
    terms = [ds.field(name) == pa.scalar(value, pa.string()) for name, value in constants.items()]
    for name, told in ref.statistics.items():
        place = schema.get_field_index(name)
        within = None if place < 0 else _within(name, told, plain_type(schema.field(place).type))
        terms += [] if within is None else [within]
    return reduce(and_, terms) if terms else None


def _within(name: str, told: Mapping[str, Any], kind: pa.DataType) -> ds.Expression | None:
    """The range of a column's values; ``None`` where none is told, or of another type."""
    column = ds.field(name)
    try:
        if "value" in told:
            value = typed_value(told["value"], kind)
            return column == value if value.is_valid else column.is_null()
        least, greatest = (typed_value(told[end], kind) for end in ("min", "max"))
    except (pa.ArrowException, LookupError, TypeError, ValueError, OverflowError):
        return None
    above, below = column >= least, column <= greatest
    if told.get("nulls") != 0:
        # Each for itself: so Arrow knows what it means.
        above, below = above | column.is_null(), below | column.is_null()
    within: ds.Expression = above & below
    return within


def plain_type(kind: pa.DataType) -> pa.DataType:
    """That of the values of a dictionary; of others the same."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def typed_value(value: Any, kind: pa.DataType) -> Any:
    """A value of this type as a manifest tells it: times and dates are texts there."""
    if isinstance(value, str):
        return pa.scalar(value).cast(kind)
    return pa.scalar(value, kind)
