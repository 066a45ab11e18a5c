from __future__ import annotations

import secrets
from typing import Any, Literal

import pyarrow as pa
import pytest
from dagster_buckets import AssetAddress, HiveLayout, MemoryStore, PartitionError
from dagster_buckets.loading import load
from dagster_buckets.requests import LoadRequest, Options, Target, WriteRequest
from dagster_buckets.values import ValueStore
from dagster_buckets.writing import write

FRAMES = dict[str, pa.Table]


@pytest.fixture
def values() -> ValueStore:
    return ValueStore(MemoryStore(secrets.token_hex(4)), HiveLayout())


def targets(*keys: str) -> tuple[Target, ...]:
    return tuple(Target(key, AssetAddress.of(["a"], key)) for key in keys)


def stored(values: ValueStore) -> list[str]:
    return [info.key for info in values.store.scan()]


def read_in_the_same_run(values: ValueStore, annotation: Any, *keys: str) -> Any:
    request = LoadRequest(
        targets(*keys),
        partitioned=True,
        annotation=annotation,
        producer_annotation=FRAMES,
        options=Options(),
    )
    return load(values, request, default_format="auto", default_on_missing="error").value


@pytest.mark.parametrize("keys", [("1",), ("1", "2")])
def test_a_dict_of_frames_is_one_frame_for_each_partition(
    values: ValueStore, keys: tuple[str, ...]
) -> None:
    frames = {key: pa.table({"n": [int(key)]}) for key in keys}
    write(values, WriteRequest(targets(*keys), FRAMES, Options()), frames, default_format="auto")
    assert stored(values) == [f"a/partition={key}/data.parquet" for key in keys]
    assert read_in_the_same_run(values, FRAMES, *keys) == frames
    assert read_in_the_same_run(values, pa.Table, *keys)["n"].to_pylist() == [int(k) for k in keys]


@pytest.mark.parametrize("keys", [("1",), ("1", "2")])
def test_wrong_partition_keys_are_refused_before_anything_is_written(
    values: ValueStore, keys: tuple[str, ...]
) -> None:
    frames = {"1": pa.table({}), "7": pa.table({})}
    with pytest.raises(PartitionError, match=r"unknown: .'7'.") as caught:
        write(
            values, WriteRequest(targets(*keys), FRAMES, Options()), frames, default_format="auto"
        )
    assert "asset 'a'" in str(caught.value)
    assert stored(values) == []


def test_a_plain_dict_is_the_value_of_its_partition(values: ValueStore) -> None:
    request = WriteRequest(targets("1"), dict[str, int], Options())
    write(values, request, {"1": 5}, default_format="auto")
    assert stored(values) == ["a/partition=1/data.json"]
    assert values.read(AssetAddress.of(["a"], "1")) == {"1": 5}


@pytest.mark.parametrize("on_missing", ["skip", "none"])
def test_one_frame_of_partitions_that_are_all_missing_is_empty(
    values: ValueStore, on_missing: Literal["skip", "none"]
) -> None:
    request = LoadRequest(
        targets("1", "2"),
        partitioned=True,
        annotation=pa.Table,
        producer_annotation=None,
        options=Options(),
    )
    loaded = load(values, request, default_format="auto", default_on_missing=on_missing)
    assert isinstance(loaded.value, pa.Table)
    assert loaded.value.num_rows == 0
    assert loaded.missing == ("1", "2")
