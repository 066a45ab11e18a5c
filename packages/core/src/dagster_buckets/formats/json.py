"""Format ``json``: plain values as JSON, and the models that consist of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.json_models import (
    MODEL_CLAIMS,
    is_model,
    is_structure,
    memory_of,
    model_of,
    plain_of,
)
from dagster_buckets.formats.json_sizes import may_exceed, most_memory
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.options import setting
from dagster_buckets.objects import Body, Payload

__all__ = ["JSONFormat"]

_PLAIN = (dict, list, str, int, float, bool, type(None))
_HINT = "convert it to dicts with string keys, lists, str and numbers, or choose format='pickle'"


@dataclass(frozen=True, slots=True)
class JSONFormat:
    """Values that JSON holds exactly: what it would change silently is refused.

    Plain values are dicts with string keys, lists, strings, numbers, booleans and ``None``. Refused
    are tuples and keys that are no strings. NaN and the infinities are written as Python's ``json``
    writes them.

    Models are dataclasses, pydantic models and msgspec Structs, also in lists and dicts. Their
    fields may have every type that pydantic or msgspec makes again of JSON: times, enums, sets,
    tuples, other models. A model that would not come back equal is refused when it is written. It
    comes back where it is asked for (``Model``, ``list[Model]``, ``dict[str, Model]``,
    ``Model | None``); without an annotation as dicts and lists.

    Args:
        limit: How large a value may become in memory.

    Example:
        >>> JSONFormat().encode({"rows": 3}).joined()
        b'{"rows": 3}'
        >>> @dataclass
        ... class Order:
        ...     eur: float
        ...     tags: frozenset[str]
        >>> JSONFormat().encode([Order(1.5, frozenset({"new"}))]).joined()
        b'[{"eur": 1.5, "tags": ["new"]}]'
    """

    name: ClassVar[str] = "json"
    extension: ClassVar[str] = "json"
    media_type: ClassVar[str] = "application/json"
    claims: ClassVar[tuple[str, ...]] = (
        "builtins.dict", "builtins.list", "builtins.int", "builtins.float", "builtins.bool",
        "builtins.NoneType", *MODEL_CLAIMS,
    )  # fmt: skip

    limit: Limit = setting("limit", Limit)  # noqa: RUF009 - it makes a field

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if not isinstance(value, _PLAIN) and not is_model(type(value)):
            msg = f"format 'json' does not write {qualified(type(value))}"
            raise UnsupportedTypeError(msg, hint=_HINT)
        plain = {id(model): plain_of(model, path) for path, model in _models(value)}
        default: Callable[[Any], Any] = lambda model: plain[id(model)]  # noqa: E731
        try:
            text = json.dumps(value, ensure_ascii=False, default=default)
        except (ValueError, RecursionError) as error:
            # A value that holds itself, an integer of over 4,300 digits, 100,000 levels.
            msg = f"JSON cannot hold this {qualified(type(value))}: {error}"
            raise EncodeError(msg, hint=_HINT) from error
        try:
            return Body.of(text.encode())
        except UnicodeEncodeError:
            # A lone surrogate: JSON can hold it as an escape.
            return Body.of(json.dumps(value, default=default).encode())

    def decode(self, payload: Payload, as_type: Any) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        uri = payload.info.uri
        data = bytes(payload.data)
        self._check_size(data, payload, as_type)
        if is_structure(as_type):
            return model_of(data, as_type, uri)
        try:
            value = json.loads(data)
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

    def can_structure(self, annotation: Any) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        return is_structure(annotation)

    def _check_size(self, data: bytes, payload: Payload, as_type: Any) -> None:
        stored, (by_dict, by_item) = payload.info.size, memory_of(as_type)
        if may_exceed(data, self.limit.allowed(stored), by_dict, by_item):
            size = most_memory(data, by_dict, by_item)
            self.limit.check(size, stored, payload.info.uri)


def _models(root: Any) -> Iterator[tuple[str, Any]]:
    """The models in a value and where they are; what JSON would change raises an error."""
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
        elif is_model(type(value)):
            yield path, value
        elif not isinstance(value, _PLAIN):
            msg = f"JSON cannot hold {path}, a {qualified(type(value))}, exactly"
            raise EncodeError(msg, hint=_HINT)
