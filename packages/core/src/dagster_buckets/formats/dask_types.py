"""Dask's classes, told by their names: nothing is imported to find out."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

from dagster_buckets.formats.frames import qualified

__all__ = [
    "comes_in_lists",
    "delayed_class",
    "empty_bag",
    "is_bag",
    "is_delayed",
    "list_item",
    "written_class",
]


def is_bag(cls: Any) -> bool:
    """Whether this is ``dask.bag.Bag``."""
    return isinstance(cls, type) and qualified(cls) == "dask.bag.core.Bag"


def is_delayed(cls: Any) -> bool:
    """Whether this is ``dask.delayed.Delayed``, or one of its subclasses that Dask makes."""
    return isinstance(cls, type) and any(
        qualified(base) == "dask.delayed.Delayed" for base in cls.__mro__
    )


def comes_in_lists(cls: type) -> bool:
    """Whether values of this class are lists to whoever reads them, written in parts."""
    return is_bag(cls) or is_delayed(cls)


def list_item(annotation: Any) -> Any:
    """``T`` of ``list[T]``; ``None`` for what is no annotation of a list."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    is_list = isinstance(origin, type) and issubclass(origin, Sequence) and origin is not tuple
    return args[0] if is_list and args else None


def delayed_class(annotation: Any) -> type | None:
    """The class in ``list[Delayed]``, which tells of itself nothing but ``list``."""
    item = list_item(annotation)
    return item if is_delayed(item) else None


def written_class(value: Any) -> type:
    """The class by which a format is chosen for a value: of a list of ``Delayed`` theirs."""
    if isinstance(value, list) and value and all(is_delayed(type(item)) for item in value):
        return type(value[0])
    return type(value)


def empty_bag() -> Any:
    """A bag without items, for whoever asks for one and has imported it."""
    import dask.bag as db

    return db.from_sequence([], npartitions=1)
