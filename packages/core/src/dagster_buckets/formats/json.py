"""Format ``json``: plain values (dicts, lists, strings, numbers, booleans, ``None``) as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload

__all__ = ["JSONFormat"]

_PLAIN = (dict, list, str, int, float, bool, type(None))
_HINT = "convert it to dicts with string keys, lists, str and numbers, or choose format='pickle'"


@dataclass(frozen=True, slots=True)
class JSONFormat:
    """Values that JSON holds exactly: what it would change silently is refused.

    Refused are tuples and keys that are no strings. NaN and the infinities are written as Python's
    ``json`` writes them.

    Example:
        >>> JSONFormat().encode({"rows": 3}).joined()
        b'{"rows": 3}'
    """

    name: ClassVar[str] = "json"
    extension: ClassVar[str] = "json"
    media_type: ClassVar[str] = "application/json"
    claims: ClassVar[tuple[str, ...]] = (
        "builtins.dict", "builtins.list", "builtins.int", "builtins.float", "builtins.bool",
        "builtins.NoneType",
    )  # fmt: skip

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if not isinstance(value, _PLAIN):
            msg = f"format 'json' does not write {qualified(type(value))}"
            raise UnsupportedTypeError(msg, hint=_HINT)
        _refuse_inexact(value)
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (ValueError, RecursionError) as error:
            # A value that holds itself, an integer of over 4,300 digits, 100,000 levels.
            msg = f"JSON cannot hold this {qualified(type(value))}: {error}"
            raise EncodeError(msg, hint=_HINT) from error
        try:
            return Body.of(text.encode())
        except UnicodeEncodeError:
            # A lone surrogate: JSON can hold it as an escape.
            return Body.of(json.dumps(value).encode())

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        uri = payload.info.uri
        try:
            value = json.loads(bytes(payload.data))
        except (ValueError, RecursionError) as error:
            msg = f"{uri} is not valid JSON: {error}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error
        if as_type is float and type(value) is int:
            return float(value)
        # A stored None is one in every format, whatever is asked for.
        if as_type is not None and value is not None and not isinstance(value, as_type):
            msg = f"{uri} holds {qualified(type(value))}, not {qualified(as_type)}"
            raise UnsupportedTypeError(msg, uri=uri, hint="change the annotation of the input")
        return value


def _refuse_inexact(root: Any) -> None:
    # A loop, because a recursion ends at values nested 1,000 deep. Paths name what is wrong.
    pending: list[tuple[str, Any]] = [("$", root)]
    # Each container once, or a value that holds itself would never end.
    seen: set[int] = set()
    while pending:
        path, value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    msg = f"JSON keys are strings, but {path} has the key {key!r}"
                    raise EncodeError(msg, hint=_HINT)
                if not isinstance(item, (str, int, float)):
                    pending.append((f"{path}.{key}", item))
        elif isinstance(value, list):
            pending += [
                (f"{path}[{index}]", item)
                for index, item in enumerate(value)
                if not isinstance(item, (str, int, float))
            ]
        elif not isinstance(value, _PLAIN):
            msg = f"JSON cannot hold {path}, a {qualified(type(value))}, exactly"
            raise EncodeError(msg, hint=_HINT)
