"""Annotations that only a format understands: what loads make of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pytest
from dagster_buckets import (
    AssetAddress,
    DecodeError,
    HiveLayout,
    MemoryStore,
    OpAddress,
    PartitionError,
    PartitionStream,
    UnsupportedTypeError,
)
from dagster_buckets.address import Address
from dagster_buckets.chain import Chain, Link
from dagster_buckets.loading import load
from dagster_buckets.requests import LoadRequest, Options, Target
from dagster_buckets.shapes import read_annotation
from dagster_buckets.testing.formats import assert_same
from dagster_buckets.values import ValueStore


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Loose:
    x: Any = None


@pytest.fixture
def values() -> ValueStore:
    return ValueStore(MemoryStore(secrets.token_hex(4)), HiveLayout())


def get(
    values: ValueStore, annotation: Any, *keys: str, at: Address | None = None, **options: Any
) -> Any:
    """What a load gives: of these partitions, or of one value that has none."""
    targets = [Target(key, AssetAddress.of(["a"], key)) for key in keys]
    targets = targets if at is None else [Target(None, at)]
    request = LoadRequest(tuple(targets), at is None, annotation, None, Options(**options))
    return load(
        Chain((Link(values),)), request, default_on_missing="error", log=lambda _: None
    ).value


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Point, Point(1)),
        (list[Point], [Point(1), Point(2)]),
        (list[Point], []),
        (dict[str, Point], {"a": Point(1)}),
        (dict[str, list[Point]], {"a": [Point(1)]}),
        (list[list[Point]], [[Point(1)]]),
        (Optional[Point], Point(1)),  # noqa: UP045
        (list[Point] | None, [Point(1)]),
        (Point | None, None),
    ],
    ids=str,
)
def test_a_value_without_partitions(
    values: ValueStore, annotation: Any, value: Any, compression: str | None
) -> None:
    address = AssetAddress.of(["a"])
    options = {} if compression is None else {"compression": compression}
    values.having(options).write(address, value)
    assert get(values, annotation, at=address) == value
    if isinstance(value, Point):
        assert values.read(address, Point) == value


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (Point, Point(1)),
        (Point | None, Point(1)),
        (list[Point], [Point(1)]),
        (dict[str, Point], {"a": Point(1)}),
        (dict[str, list[Point]], {"a": [Point(1)]}),
    ],
    ids=str,
)
def test_one_and_many_partitions(values: ValueStore, item: Any, value: Any) -> None:
    for key in ("k1", "k2"):
        values.write(AssetAddress.of(["a"], key), value)
    for keys in (["k1"], ["k1", "k2"]):
        assert get(values, dict[str, item], *keys) == dict.fromkeys(keys, value)
        assert get(values, list[item], *keys) == [value] * len(keys)
        assert list(get(values, PartitionStream[item], *keys)) == [(key, value) for key in keys]
    assert get(values, item, "k1") == value
    assert get(values, None, "k1") != value


def test_one_partition_can_be_the_dict_itself(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k"), {"a": Point(1), "b": Point(2)})
    assert get(values, dict[str, Point], "k") == {"a": Point(1), "b": Point(2)}
    assert get(values, dict[str, Point], "k", shape="value") == {"a": Point(1), "b": Point(2)}
    with pytest.raises(DecodeError, match=r"\$\.x"):
        get(values, dict[str, Point], "k", shape="partitions")
    values.write(AssetAddress.of(["a"], "k"), [Point(1)])
    assert get(values, list[Point], "k") == [Point(1)]


def test_both_readings_and_what_tells_them_apart(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k"), {"x": {"x": 1}})
    with pytest.raises(PartitionError, match="'k'") as caught:
        get(values, dict[str, Loose], "k")
    assert "dagster_buckets/shape" in str(caught.value.hint)
    assert get(values, dict[str, Loose], "k", shape="value") == {"x": Loose(1)}
    assert get(values, dict[str, Loose], "k", shape="partitions") == {"k": Loose({"x": 1})}


def test_one_partition_that_fits_neither(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k"), {"a": {"x": "text"}})
    with pytest.raises(DecodeError) as caught:
        get(values, dict[str, Point], "k")
    assert "$.x" in caught.value.message
    assert "$.a.x" in caught.value.message
    assert "partition=k/data.json" in str(caught.value)


def test_one_partition_that_is_none(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k"), None)
    assert get(values, dict[str, Point | None], "k") == {"k": None}
    assert get(values, list[Point | None], "k") == [None]
    assert get(values, dict[str, Point], "k", shape="value") is None


def test_an_op_that_fans_in_gets_items(values: ValueStore) -> None:
    address = OpAddress("run", "step", "result")
    values.write(address, Point(1))
    assert get(values, list[Point], at=address) == Point(1)
    values.write(address, [Point(1)])
    assert get(values, list[Point], at=address) == [Point(1)]
    values.write(address, {"x": "text"})
    with pytest.raises(DecodeError):
        get(values, list[Point], at=address)


def test_a_dict_of_models_is_never_one_model(values: ValueStore) -> None:
    address = AssetAddress.of(["a"])
    values.write(address, Point(1))
    with pytest.raises(DecodeError, match=r"dict\[str, .*Point\]"):
        get(values, dict[str, Point], at=address)
    with pytest.raises(DecodeError, match=r"list\[.*Point\]"):
        get(values, list[Point], at=address)


def test_plain_annotations_stay_as_they_were(values: ValueStore) -> None:
    address = AssetAddress.of(["a"])
    values.write(address, {"a": 1})
    assert get(values, dict[str, str], at=address) == {"a": 1}
    assert get(values, dict[str, Point] | dict[str, int], at=address) == {"a": 1}


def test_what_was_produced_by_the_same_run(values: ValueStore) -> None:
    address = AssetAddress.of(["a"])
    for produced, value in ((Point, Point(1)), (list[Point], [Point(1)])):
        values.write(address, value, annotation=produced)
        request = LoadRequest((Target(None, address),), False, produced, produced, Options())  # noqa: FBT003
        loaded = load(
            Chain((Link(values),)), request, default_on_missing="error", log=lambda _: None
        )
        assert loaded.value == value


# -- arrays ----------------------------------------------------------------------------------------

A, B = np.arange(6).reshape(2, 3), np.arange(3).reshape(1, 3)
MANY = {"x": A, "y": B}


@pytest.mark.parametrize("name", ["npz", "safetensors"])
def test_a_dict_of_arrays(values: ValueStore, name: str) -> None:
    address = AssetAddress.of(["a"])
    values.write(address, MANY, format_name=name)
    for annotation in (None, dict, dict[str, np.ndarray], dict[str, np.ndarray] | None):
        assert_same(get(values, annotation, at=address), MANY)
    with pytest.raises(UnsupportedTypeError):
        get(values, np.ndarray, at=address)


@pytest.mark.parametrize("name", ["npz", "safetensors"])
def test_dicts_of_arrays_in_partitions(values: ValueStore, name: str) -> None:
    for key in ("k1", "k2"):
        values.write(AssetAddress.of(["a"], key), MANY, format_name=name)
    assert_same(get(values, dict[str, np.ndarray], "k1"), MANY)
    for keys in (["k1"], ["k1", "k2"]):
        found = get(values, dict[str, dict[str, np.ndarray]], *keys)
        assert list(found) == keys
        for item in found.values():
            assert_same(item, MANY)
    with pytest.raises(PartitionError):
        get(values, dict[str, np.ndarray], "k1", "k2")


def test_arrays_in_partitions(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k1"), A, annotation=np.ndarray)
    values.write(AssetAddress.of(["a"], "k2"), B)
    assert_same(get(values, np.ndarray, "k1", "k2"), np.concatenate([A, B]))
    assert_same(get(values, np.ndarray, "k2"), B)
    assert_same(get(values, dict[str, np.ndarray], "k1"), {"k1": A})
    assert_same(get(values, dict[str, np.ndarray], "k1", "k2"), {"k1": A, "k2": B})
    found = get(values, list[np.ndarray], "k1", "k2")
    assert_same(found[1], B)


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_compressed_arrays_are_joined(values: ValueStore, codec: str) -> None:
    packed = values.having({"compression": codec})
    packed.write(AssetAddress.of(["a"], "k1"), A)
    packed.write(AssetAddress.of(["a"], "k2"), B)
    assert_same(get(values, np.ndarray, "k1", "k2"), np.concatenate([A, B]))


def test_arrays_have_no_partition_columns(values: ValueStore) -> None:
    values.write(AssetAddress.of(["a"], "k1"), A)
    with pytest.raises(DecodeError, match="partition columns"):
        get(values, np.ndarray, "k1", partition_columns=True)


def test_a_dict_of_arrays_may_be_one_value() -> None:
    assert not read_annotation(dict[str, np.ndarray]).splits_frame
