"""Alike: whether a value that was read back is the one that was written, whatever its class."""

from __future__ import annotations

import pickle
import sys
from typing import Any

__all__ = ["alike"]


def alike(one: Any, other: Any) -> bool:
    """Whether two values have the same class and contents. NaN is like NaN here.

    Frames and tables are asked by their ``equals``, arrays by their elements, containers element
    by element. What has no equality of its own is compared by its pickle.

    Example:
        >>> alike({"a": [1, float("nan")]}, {"a": [1, float("nan")]}), alike((1,), [1]), alike(1, 2)
        (True, False, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(one, numpy.ndarray):
        return _alike_arrays(one, other)
    if callable(getattr(one, "equals", None)):
        return _alike_frames(one, other)
    # NaN has one pickle, too.
    return _equal(one, other) or pickle.dumps(one) == pickle.dumps(other)


def _alike_arrays(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind == "O":
        return alike(one.tolist(), other.tolist())
    same = one == other
    if one.dtype.kind in "fc":
        same |= (one != one) & (other != other)  # noqa: PLR0124 - NaN
    return bool(same.all())


def _alike_frames(one: Any, other: Any) -> bool:
    """Frames of pandas and Polars count NaN as equal; Arrow does not, but its Python values do."""
    if bool(one.equals(other)):
        return True
    if not hasattr(one, "to_pylist") or one.schema != other.schema:
        return False
    return alike(one.to_pylist(), other.to_pylist())


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the value's own comparison, which may raise anything
        return False
