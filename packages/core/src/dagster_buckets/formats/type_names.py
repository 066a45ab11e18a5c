"""Names of types: Arrow types from how Arrow spells them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["named_types", "type_named"]

_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=(\S+)\]")
_DECIMAL = re.compile(r"(decimal(?:32|64|128|256))\((\d+), ?(-?\d+)\)")
_LIST = re.compile(r"(list|large_list)<(.*)>", re.DOTALL)
_STRUCT = re.compile(r"struct<(.*)>", re.DOTALL)
_FIELD = re.compile(r"(.*?): (.*?)( not null)?", re.DOTALL)
_BRACKETS = {"<": 1, "(": 1, "[": 1, ">": -1, ")": -1, "]": -1}


def named_types(names: Mapping[str, str] | None) -> dict[str, pa.DataType]:
    """The types of columns.

    Raises:
        ConfigurationError: One of them is not known; names the column.
    """
    types = {}
    for column, name in (names or {}).items():
        try:
            types[column] = type_named(name)
        except ValueError as error:
            msg = f"the type of column {column!r} cannot be {name!r}"
            hint = "write it as Arrow does: string, int32, double, bool, date32[day], "
            hint += "timestamp[us, tz=UTC], decimal128(10, 2), list<item: int64>, struct<x: int64>"
            raise ConfigurationError(msg, hint=hint) from error
    return types


def type_named(name: str) -> pa.DataType:
    """The Arrow type that ``str(type)`` spells like this; also Arrow's short names.

    Numbers, text, dates, times, decimals, lists and structs; no dictionaries, maps and extensions.

    Raises:
        ValueError: There is no such type.

    Example:
        >>> type_named("timestamp[us, tz=UTC]")
        TimestampType(timestamp[us, tz=UTC])
        >>> type_named("list<item: struct<a: int8, b: string>>")
        ListType(list<item: struct<a: int8, b: string>>)
    """
    import pyarrow as pa

    if match := _ZONED.fullmatch(name):
        return pa.timestamp(cast("Any", match[1]), match[2])
    if match := _DECIMAL.fullmatch(name):
        decimal = getattr(pa, match[1], None)
        if decimal is None:  # the small ones are new in Arrow 18
            raise ValueError(name)
        return cast("pa.DataType", decimal(int(match[2]), int(match[3])))
    if match := _LIST.fullmatch(name):
        made: Any = pa.list_ if match[1] == "list" else pa.large_list
        return cast("pa.DataType", made(_field(match[2])))
    if match := _STRUCT.fullmatch(name):
        return pa.struct([_field(member) for member in _split(match[1])])
    alias: Any = name
    return cast("pa.DataType", pa.type_for_alias(alias))


def _field(text: str) -> pa.Field[Any]:
    import pyarrow as pa

    match = _FIELD.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return pa.field(match[1], type_named(match[2]), nullable=match[3] is None)


def _split(members: str) -> Iterator[str]:
    """The members of a struct: commas within brackets belong to one of them."""
    depth = start = 0
    for position, letter in enumerate(members):
        depth += _BRACKETS.get(letter, 0)
        if letter == "," and depth == 0:
            yield members[start:position]
            start = position + 2
    if members:
        yield members[start:]
