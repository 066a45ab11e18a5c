from __future__ import annotations

import collections.abc
import io
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.errors import PartitionError
from dagster_buckets.shapes import Shape, item_class, judge_single, read_annotation


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (None, Shape()),
        (Any, Shape()),
        (object, Shape()),
        (int, Shape("value", int)),
        (dict, Shape("value", dict)),
        (tuple, Shape("value", tuple)),
        (list, Shape("value", list)),
        (pd.DataFrame, Shape("value", pd.DataFrame)),
        (tuple[int, ...], Shape("value", tuple[int, ...])),
        (dict[str, int], Shape("mapping", int)),
        (dict[str, Any], Shape("mapping", None)),
        (dict[str, list[int]], Shape("mapping", list[int])),
        (dict[int, str], Shape("value", dict)),
        (Mapping[str, int], Shape("mapping", int)),
        (typing.Dict[str, int], Shape("mapping", int)),  # noqa: UP006
        (typing.Mapping[str, int], Shape("mapping", int)),
        (collections.abc.MutableMapping[str, int], Shape("mapping", int)),
        (list[int], Shape("list", int)),
        (list[Any], Shape("list", None)),
        (typing.List[int], Shape("list", int)),  # noqa: UP006
        (Sequence[int], Shape("list", int)),
        (list[dict[str, int]], Shape("list", dict[str, int])),
        (set[int], Shape("value", set[int])),
        (Optional[int], Shape("value", int, optional=True)),  # noqa: UP045
        (int | None, Shape("value", int, optional=True)),
        (None | pd.DataFrame, Shape("value", pd.DataFrame, optional=True)),
        (dict[str, int] | None, Shape("mapping", int, optional=True)),
        (list[int] | None, Shape("list", int, optional=True)),
        (int | str, Shape()),
        (int | str | None, Shape(optional=True)),
    ],
    ids=str,
)
def test_read_annotation(annotation: Any, shape: Shape) -> None:
    assert read_annotation(annotation) == shape


@pytest.mark.parametrize(
    ("annotation", "cls"),
    [
        (None, None), (Any, None), (int, int), (dict[str, int], dict), (list[int], list),
        (int | None, int), (dict[str, int] | None, dict), (int | str, None), (tuple[int, ...], tuple),
        (pl.DataFrame | None, pl.DataFrame),
    ],
    ids=str,
)  # fmt: skip
def test_item_class(annotation: Any, cls: type | None) -> None:
    assert item_class(annotation) is cls


@pytest.mark.parametrize(
    ("annotation", "cls"),
    [
        (int, int), (Any, None), (pa.Table, pa.Table), (pa.Table | None, pa.Table),
        (dict[str, pa.Table], pa.Table), (list[pl.DataFrame], pl.DataFrame),
        (dict[str, pd.DataFrame | None], pd.DataFrame),
        (dict[str, io.BufferedIOBase], io.BufferedIOBase), (list[io.BytesIO], io.BytesIO),
        (dict[str, int], None), (list[int], None), (dict[str, Path], None), (list[bytes], None),
    ],
    ids=str,
)  # fmt: skip
def test_only_frames_and_files_are_made_inside_of_containers(
    annotation: Any, cls: type | None
) -> None:
    assert read_annotation(annotation).as_type is cls


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (dict[str, int], 1, {"k": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict[str, int], {}, {}),
        (dict[str, Any], 1, {"k": 1}),
        (dict[str, float], 1, {"k": 1}),
        (dict[str, str], {"a": 1}, {"k": {"a": 1}}),
        (dict[str, dict[str, int]], {"a": {"b": 1}}, None),
        (dict[str, dict[str, int]], {"a": 1}, {"k": {"a": 1}}),
        (dict[str, int | None], None, {"k": None}),
        (list[int], 1, [1]),
        (list[int], [1, 2], [1, 2]),
        (list[str], [1], [[1]]),
        (list[list[int]], [[1]], None),
        (list[list[int]], [1], [[1]]),
        (list[Any], [1], None),
        (dict[str, Any], {"a": 1}, None),
    ],
    ids=str,
)
def test_judge_single(annotation: Any, value: Any, expected: Any) -> None:
    shape = read_annotation(annotation)
    outer = {"k": value} if shape.kind == "mapping" else [value]
    assert judge_single(shape, "k", value, "value") is value
    assert judge_single(shape, "k", value, "partitions") == outer
    if expected is not None:
        assert judge_single(shape, "k", value, None) == expected
        return
    with pytest.raises(PartitionError, match="'k'") as caught:
        judge_single(shape, "k", value, None)
    assert "dagster_buckets/shape" in (caught.value.hint or "")
