"""Models in JSON: dataclasses, pydantic models and msgspec Structs as plain values, and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from dagster_buckets.errors import BucketsError, DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified

__all__ = ["MODEL_CLAIMS", "is_model", "is_structure", "memory_of", "model_of", "plain_of"]

#: The special attributes of such classes. pydantic has no ``__pydantic_fields__`` before 2.10.
MODEL_CLAIMS = ("__dataclass_fields__", "__pydantic_validator__", "__struct_fields__")

_Library = Literal["pydantic", "msgspec"]
_HINT = "annotate the field precisely, or choose format='pickle'"
_ABSENT = object()
_ATOMS = (str, int, float, bool, type(None))
#: Beyond so many wrong values their paths are not listed: each takes 600 bytes.
_MANY = 100_000


def is_model(cls: type) -> bool:
    """Whether instances of this class are written as JSON objects and can be made of them."""
    hashable: Any = cls
    return _is_model(hashable)


def is_structure(annotation: Any) -> bool:
    """Whether this is a model class, or ``Optional``, ``list[…]`` or ``dict[str, …]`` of one."""
    return _library_of(annotation) is not None


def memory_of(annotation: Any) -> tuple[int, int]:
    """What a model takes in memory beside the plain values: bytes for each, and for each value.

    Of models within models the fields are taken to be as many.
    """
    leaf: Any = _leaf_of(annotation)
    if leaf is None:
        return 0, 0
    fields = len(_names(leaf))
    # Measured: a pydantic model of 10 fields, all of them defaults, has 690 bytes, a Struct 250.
    # And pydantic remembers every value that does not fit, in 310 bytes.
    if _library_of(leaf) == "pydantic":
        return 600 + 64 * fields, 310
    return 100 + 72 * fields, 0


def plain_of(value: Any, path: str) -> Any:
    """A model as dicts, lists, strings and numbers, of which :func:`model_of` makes an equal one.

    Equal are two models of one class with equal fields; NaN equals NaN, and ``1`` the ``1.0`` that
    a field of floats makes of it. Times keep their offset from UTC, not the rules of their zone.

    Args:
        value: An instance of a class that :func:`is_model`.
        path: Where it is in the value that is written, for errors.

    Raises:
        UnsupportedTypeError: A field has a type that the library of the class does not know.
        EncodeError: It would not come back equal; the message names the field.
    """
    cls = type(value)
    try:
        plain = _dumped(value)
        again = model_of(json.dumps(plain).encode(), cls, "its JSON")
        changed = _difference(value, again, path)
    except UnsupportedTypeError:
        raise
    except Exception as error:
        # Validators and serializers of the class run here, and fail in ways of their own.
        cause = error.message if isinstance(error, BucketsError) else str(error)
        msg = f"JSON cannot hold {path}, a {qualified(cls)}, exactly: {cause}"
        raise EncodeError(msg, hint=_HINT) from error
    if changed is not None:
        msg = f"JSON cannot hold this {qualified(cls)} exactly: {changed}"
        raise EncodeError(msg, hint=_HINT)
    return plain


def model_of(data: bytes, annotation: Any, uri: str) -> Any:
    """What :func:`is_structure` allows, of JSON text. Nothing is converted: ``"1"`` is no ``int``.

    Args:
        data: The text; ``null`` is ``None``, whatever the annotation.
        annotation: What to make.
        uri: The object's, for errors.

    Raises:
        UnsupportedTypeError: The annotation has a type that its library does not know.
        DecodeError: The text is no JSON or does not fit; the message names the field.
    """
    if data.strip() == b"null":
        return None
    make = _made_by_msgspec if _library_of(annotation) == "msgspec" else _made_by_pydantic
    try:
        return make(data, annotation, uri)
    except BucketsError:
        raise
    except Exception as error:
        # A __post_init__ or validator can raise anything.
        raise _misfit(uri, annotation, f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=4096)
def _is_model(cls: Any) -> bool:
    return any(hasattr(cls, claim) for claim in MODEL_CLAIMS)


def _library_of(annotation: Any) -> _Library | None:
    cls = _leaf_of(annotation)
    if cls is None:
        return None
    return "msgspec" if hasattr(cls, "__struct_fields__") else "pydantic"


def _leaf_of(annotation: Any) -> type | None:
    """The model class in an annotation."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in args if arg is not type(None)]
        return _leaf_of(others[0]) if len(others) == 1 else None
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _leaf_of(args[1]) if args[:1] == (str,) else None
    if isinstance(origin, type) and issubclass(origin, Sequence) and origin is not tuple:
        return _leaf_of(args[0])
    return annotation if isinstance(annotation, type) and is_model(annotation) else None


def _dumped(value: Any) -> Any:
    cls: Any = type(value)
    if _library_of(cls) == "msgspec":
        import msgspec

        return msgspec.to_builtins(value, str_keys=True)
    # Aliases and no computed fields, because that is what the class itself reads again.
    return _adapter(cls).dump_python(
        value, mode="json", by_alias=True, round_trip=True, warnings=False
    )


def _made_by_pydantic(data: bytes, annotation: Any, uri: str) -> Any:
    from pydantic import ValidationError

    try:
        return _adapter(annotation).validate_json(data, strict=True)
    except ValidationError as error:
        if error.error_count() > _MANY:
            msg = f"{error.error_count():,} values do not fit"
            raise _misfit(uri, annotation, msg) from error
        problem = error.errors(include_url=False)[0]
        if problem["type"] == "json_invalid":
            msg = f"{uri} is not valid JSON: {problem['msg']}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in problem["loc"])
        found = f"${where}: {problem['msg']}, found {problem['input']!r:.100}"
        raise _misfit(uri, annotation, found) from error


def _made_by_msgspec(data: bytes, annotation: Any, uri: str) -> Any:
    import msgspec

    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"{uri} is not valid JSON: {error}"
        raise DecodeError(msg, uri=uri, hint="materialize it again") from error
    try:
        return msgspec.convert(plain, annotation, str_keys=True)
    except msgspec.ValidationError as error:
        raise _misfit(uri, annotation, str(error)) from error
    except TypeError as error:
        raise _unknown_type(annotation, error) from error


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> Any:
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(annotation)
    except Exception as error:
        # The class's own hooks make its schema.
        raise _unknown_type(annotation, error) from error


def _unknown_type(annotation: Any, error: Exception) -> UnsupportedTypeError:
    reason = str(error).partition("\n")[0]
    msg = f"{_spelled(annotation)} cannot be made of JSON: {reason}"
    return UnsupportedTypeError(
        msg, hint="change the types of its fields, or choose another format"
    )


def _misfit(uri: str, annotation: Any, problem: str) -> DecodeError:
    msg = f"{uri} does not fit {_spelled(annotation)}: {problem}"
    hint = "load it without an annotation to see what it holds, or materialize it again"
    return DecodeError(msg, uri=uri, hint=hint)


def _spelled(annotation: Any) -> str:
    return qualified(annotation) if isinstance(annotation, type) else str(annotation)


def _difference(left: Any, right: Any, path: str) -> str | None:
    """Where two values differ, and how; ``None`` if they are equal."""
    # Most values; without this line a list of models takes half as long again.
    if type(left) in _ATOMS and type(left) is type(right) and left == right:
        return None
    same_type = type(left) is type(right) or (type(left), type(right)) == (int, float)
    pairs = _pairs(left, right, path) if same_type else None
    if pairs is not None:
        for one, other, where in pairs:
            if (difference := _difference(one, other, where)) is not None:
                return difference
        return None
    if same_type and _equal(left, right):
        return None
    spelled = "nothing" if right is _ABSENT else f"the {qualified(type(right))} {right!r:.60}"
    if left is _ABSENT:
        return f"{path}, which is not set, would come back as {spelled}"
    return f"{path}, the {qualified(type(left))} {left!r:.60}, would come back as {spelled}"


def _pairs(left: Any, right: Any, path: str) -> Iterator[tuple[Any, Any, str]] | None:
    """What two values of one type consist of, side by side; ``None`` if they are one each."""
    if is_model(type(left)):
        return _fields(left, right, path)
    if isinstance(left, dict) and len(left) == len(right):
        keys = (
            (k, other, f"the key {k!r} of {path}") for k, other in zip(left, right, strict=True)
        )
        items = ((left[k], right.get(k, _ABSENT), f"{path}[{k!r}]") for k in left)
        return (pair for pairs in (keys, items) for pair in pairs)
    if isinstance(left, (list, tuple)) and len(left) == len(right):
        return (
            (one, other, f"{path}[{index}]")
            for index, (one, other) in enumerate(zip(left, right, strict=True))
        )
    return None


def _fields(left: Any, right: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    cls: Any = type(left)
    for name in _names(cls):
        yield getattr(left, name, _ABSENT), getattr(right, name, _ABSENT), f"{path}.{name}"
    # What pydantic keeps beside the fields, and compares, too.
    for more in ("__pydantic_extra__", "__pydantic_private__"):
        mine, other = getattr(left, more, None) or {}, getattr(right, more, None) or {}
        for name in {**mine, **other}:
            yield mine.get(name, _ABSENT), other.get(name, _ABSENT), f"{path}.{name}"


@lru_cache(maxsize=1024)
def _names(cls: Any) -> tuple[str, ...]:
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return tuple(cls.model_fields)


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right or (left != left and right != right))  # noqa: PLR0124 - NaN
    except Exception:  # noqa: BLE001 - a class compares as it likes
        return False
