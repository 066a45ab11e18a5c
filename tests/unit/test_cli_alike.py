"""Alike: what counts as the same value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.cli.alike import alike

NAN = float("nan")


class Plain:
    """Has no equality of its own."""

    def __init__(self, name: str) -> None:
        self.name = name


class Refuses:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 0


def values() -> list[Any]:
    """Made anew each time: no two share an object."""
    return [
        None,
        True,
        1,
        1.5,
        NAN,
        math.inf,
        1j,
        "é",
        b"\x00",
        (1, NAN),
        [1, [NAN]],
        {"a": {"b": NAN}},
        {1, 2},
        np.array([1.0, NAN]),
        np.array([1, 2]),
        np.array([1, 2], dtype="int8"),
        np.array([["a", None]], dtype=object),
        pd.DataFrame({"n": [1.0, NAN]}),
        pd.DataFrame({"n": [1.0, NAN]}, index=["a", "b"]),
        pd.Series([1.0, NAN]),
        pl.DataFrame({"n": [1.0, NAN, None]}),
        pl.DataFrame({"n": [1, 2]}, schema={"n": pl.Int8}),
        pa.table({"n": [1.0, NAN, None]}),
        pa.table({"n": [[1.0], [NAN]]}),
        pa.table({"n": [1, 2]}),
        Plain("x"),
        Plain("y"),
        Refuses(),
    ]


@pytest.mark.parametrize("number", range(len(values())), ids=lambda n: repr(values()[n])[:30])
def test_each_is_like_itself_and_like_no_other(number: int) -> None:
    one = values()[number]
    assert [at for at, other in enumerate(values()) if alike(one, other)] == [number]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1], (1,)),
        (1, 1.0),
        (True, 1),
        ([1, 2], [1]),
        (pa.table({"n": [1, 2]}), pa.table({"n": pa.array([1, 2], pa.int32())})),
        (np.array([1.0, 2.0]), np.array([1.0, NAN])),
    ],
)
def test_these_differ(one: Any, other: Any) -> None:
    assert not alike(one, other)
    assert not alike(other, one)
