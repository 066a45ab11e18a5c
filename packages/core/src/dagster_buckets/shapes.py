"""Shapes: what a consumer's annotation asks for, and what it means for the objects to load."""

from __future__ import annotations

import io
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dagster_buckets.errors import PartitionError
from dagster_buckets.formats.dask_types import delayed_class, is_bag
from dagster_buckets.formats.frames import can_convert, is_frame_type, qualified
from dagster_buckets.formats.lazy import is_lazy_type
from dagster_buckets.references import ObjectRef
from dagster_buckets.streams import PartitionStream

__all__ = [
    "Shape",
    "ambiguous",
    "declared_class",
    "item_class",
    "judge_single",
    "read_annotation",
]

_ABSENT: tuple[Any, ...] = (None, Any, object, typing.NoReturn)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an annotation asks for.

    Attributes:
        kind: ``value`` for one value, ``mapping`` for one per partition key, ``list`` for one per
            partition in order, ``stream`` for one after another.
        item: The annotation of each value; ``None`` for whatever was written.
        optional: ``None`` stands for a missing value.
    """

    kind: Literal["value", "mapping", "list", "stream"] = "value"
    item: Any = None
    optional: bool = False

    @property
    def whole(self) -> Any:
        """The annotation of one value that itself has this shape."""
        item = Any if self.item is None else self.item
        if self.kind == "mapping":
            return types.GenericAlias(dict, (str, item))
        return types.GenericAlias(list, (item,)) if self.kind == "list" else self.item

    @property
    def splits_frame(self) -> bool:
        """Whether this is ``dict[str, frame]``, which as one value no format could hold.

        A dict of arrays some can.
        """
        cls = item_class(self.item)
        if self.kind != "mapping" or cls is None or qualified(cls) == "numpy.ndarray":
            return False
        return is_frame_type(cls)

    @property
    def as_type(self) -> type | None:
        """The class to decode one object as; ``None`` for the class that was written.

        Only frames, scans, binary files and references are made inside ``dict[…]`` and ``list[…]``:
        whether such an annotation means one value or one for each partition (or for each op that
        fans in) is known when the value is there.
        """
        cls = item_class(self.item)
        if self.kind in ("value", "stream") or cls is None or _is_made(cls):
            return cls
        return None


def read_annotation(annotation: Any) -> Shape:
    """The shape of a type annotation, or of what Dagster made of it.

    ``dict[str, T]`` and ``Mapping[str, T]`` are mappings, ``list[T]`` and ``Sequence[T]`` lists,
    ``PartitionStream[T]`` a stream; a bare ``dict`` or ``list`` is a value.
    """
    if annotation in _ABSENT:
        return Shape()
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, PartitionStream):
        return Shape("stream", None if annotation.item in _ABSENT else annotation.item)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in args if arg is not type(None)]
        inner = read_annotation(others[0]) if len(others) == 1 else Shape()
        return Shape(inner.kind, inner.item, optional=len(others) < len(args))
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2:  # noqa: PLR2004
        by_key = isinstance(args[0], type) and issubclass(args[0], str)
        item = None if args[1] in _ABSENT else args[1]
        return Shape("mapping", item) if by_key else Shape("value", origin)
    if isinstance(origin, type) and issubclass(origin, Sequence) and origin is not tuple:
        return Shape("list", None if not args or args[0] in _ABSENT else args[0])
    return Shape("value", annotation)


def item_class(annotation: Any) -> type | None:
    """The class behind an annotation: ``dict`` of ``dict[str, int]``, ``None`` of ``Any``."""
    if annotation in _ABSENT:
        return None
    shape_free = typing.get_origin(annotation) or annotation
    if shape_free in (typing.Union, types.UnionType):
        others = [a for a in typing.get_args(annotation) if a is not type(None)]
        return item_class(others[0]) if len(others) == 1 else None
    return shape_free if isinstance(shape_free, type) else None


def declared_class(annotation: Any) -> type | None:
    """The class by which a format is chosen: of ``list[Delayed]`` that of its items."""
    shape = read_annotation(annotation)
    as_list = shape.kind == "list" and delayed_class(shape.whole)
    return as_list or item_class(annotation)


def _is_made(cls: type) -> bool:
    """Whether a load makes instances of this class, which no stored value is by itself."""
    is_file = issubclass(cls, io.BufferedIOBase)
    return is_file or cls is ObjectRef or can_convert(cls) or is_lazy_type(cls) or is_bag(cls)


def judge_single(shape: Shape, key: str, value: Any, wanted: str | None) -> Any:
    """What ``dict[str, T]`` or ``list[T]`` gives for exactly one partition.

    A value of type ``T`` is wrapped; a value that is itself a ``dict[str, T]`` stays.

    Args:
        shape: A ``mapping`` or ``list`` shape.
        key: The partition key.
        value: The decoded value.
        wanted: ``"value"`` or ``"partitions"`` if the input's metadata says which it is.

    Raises:
        PartitionError: It fits both readings and nothing says which.
    """
    wrapped = {key: value} if shape.kind == "mapping" else [value]
    if wanted == "partitions":
        return wrapped
    if wanted == "value":
        return value
    outer: type = dict if shape.kind == "mapping" else list
    fits_item = _fits(value, shape.item)
    fits_outer = (
        isinstance(value, dict | list)
        and isinstance(value, outer)
        and all(
            _fits(item, shape.item)
            for item in (value.values() if isinstance(value, dict) else value)
        )
    )
    if fits_item and fits_outer:
        raise ambiguous(shape, key)
    return value if fits_outer else wrapped


def ambiguous(shape: Shape, key: str) -> PartitionError:
    """The error for a value that fits both readings."""
    spelled = "dict[str, …]" if shape.kind == "mapping" else "list[…]"
    msg = f"the value of partition {key!r} can be meant by {spelled} itself or as its only item"
    hint = "set the input's metadata dagster_buckets/shape to 'value' or 'partitions'"
    return PartitionError(msg, hint=hint)


def _fits(value: Any, annotation: Any) -> bool:
    cls = item_class(annotation)
    if cls is None:
        return True
    return isinstance(value, cls) or (cls is float and isinstance(value, int))
