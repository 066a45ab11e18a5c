from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from dagster_buckets import (
    AssetAddress,
    HiveLayout,
    OpAddress,
    PartitionError,
    PartitionStream,
)
from dagster_buckets.requests import Options, Target, WriteRequest
from dagster_buckets.values import Stored, ValueStore
from dagster_buckets.writing import write

from tests.failing_store import FailingStore

FRAMES = dict[str, pa.Table]


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(secrets.token_hex(4))


@pytest.fixture
def values(store: FailingStore) -> ValueStore:
    return ValueStore(store, HiveLayout(), max_concurrency=4)


def targets(*keys: str) -> tuple[Target, ...]:
    return tuple(Target(key, AssetAddress.of(["a"], key)) for key in keys)


def request(*keys: str, annotation: Any = None, **options: Any) -> WriteRequest:
    over_many = options.pop("over_many", False)
    return WriteRequest(targets(*keys), annotation, Options(**options), over_many=over_many)


def put(values: ValueStore, asked: WriteRequest, value: Any) -> list[tuple[str, int]]:
    """Write, and what was recorded: partition and size."""
    found: list[tuple[str, int]] = []

    def record(target: Target, stored: Stored) -> None:
        found.append((target.name, stored.info.size))

    write(values, asked, value, default_format="auto", record=record)
    return found


def stored(values: ValueStore) -> list[str]:
    return [info.key for info in values.store.scan()]


def partition(values: ValueStore, key: str) -> Any:
    return values.read(AssetAddress.of(["a"], key))


# -- dict[partition_key, T] ------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("1",), ("1", "2")])
def test_a_dict_of_frames_is_one_frame_for_each_partition(
    values: ValueStore, keys: tuple[str, ...]
) -> None:
    frames = {key: pa.table({"n": [int(key)]}) for key in keys}
    assert [name for name, _ in put(values, request(*keys, annotation=FRAMES), frames)] == [*keys]
    assert stored(values) == [f"a/partition={key}/data.parquet" for key in keys]


@pytest.mark.parametrize("keys", [("1",), ("1", "2")])
def test_wrong_partition_keys_are_refused_before_anything_is_written(
    values: ValueStore, keys: tuple[str, ...]
) -> None:
    frames = {"1": pa.table({}), "7": pa.table({})}
    with pytest.raises(PartitionError, match="unknown: '7'") as caught:
        put(values, request(*keys, annotation=FRAMES), frames)
    assert "asset 'a'" in str(caught.value)
    assert "context.partition_keys" in str(caught.value)
    assert ("missing: '2'" in str(caught.value)) == (len(keys) > 1)
    assert stored(values) == []


@pytest.mark.parametrize("annotation", [dict[str, int], Mapping[str, int], dict, None], ids=str)
def test_of_a_bare_dict_nothing_is_known_of_its_items(values: ValueStore, annotation: Any) -> None:
    frames = {"1": pa.table({"n": [1]}), "2": pa.table({"n": [2]})}
    values_of = {"1": 1, "2": 2} if annotation not in (dict, None) else frames
    put(values, request("1", "2", annotation=annotation), values_of)
    ending = "json" if values_of is not frames else "parquet"
    assert stored(values) == [f"a/partition={key}/data.{ending}" for key in ("1", "2")]


@pytest.mark.parametrize(
    ("value", "spelled"), [(5, "int"), ([1], "list"), (pd.DataFrame(), "DataFrame")], ids=str
)
def test_one_value_for_many_partitions_is_refused(
    values: ValueStore, value: Any, spelled: str
) -> None:
    with pytest.raises(PartitionError, match=f"2 partitions, its value is a {spelled}") as caught:
        put(values, request("1", "2"), value)
    for way in ("dict[partition_key, value]", "PartitionStream", "dagster_buckets/split_by"):
        assert way in str(caught.value)
    assert stored(values) == []


def test_a_plain_dict_is_the_value_of_its_partition(values: ValueStore) -> None:
    put(values, request("1", annotation=dict[str, int]), {"1": 5})
    assert stored(values) == ["a/partition=1/data.json"]
    assert partition(values, "1") == {"1": 5}


ONE, OTHER = {"1": 5}, {"eur": 5}


@pytest.mark.parametrize(
    ("annotation", "options", "value", "kept"),
    [
        (dict[str, int], {}, ONE, ONE),
        (None, {}, ONE, ONE),
        (dict, {}, ONE, ONE),
        (None, {"over_many": True}, ONE, 5),
        (dict, {"over_many": True}, ONE, 5),
        (dict[str, int], {"over_many": True}, ONE, 5),
        (None, {"over_many": True}, OTHER, OTHER),
        (dict, {"over_many": True}, OTHER, OTHER),
        (dict[str, int], {"over_many": True, "shape": "value"}, OTHER, OTHER),
        (dict[str, int], {"over_many": True, "shape": "value"}, ONE, ONE),
        (dict[str, int], {"shape": "partitions"}, ONE, 5),
        (None, {"shape": "partitions"}, ONE, 5),
    ],
)
def test_what_a_dict_is_in_a_run_over_one_partition(
    values: ValueStore, annotation: Any, options: dict[str, Any], value: Any, kept: Any
) -> None:
    put(values, request("1", annotation=annotation, **options), value)
    assert partition(values, "1") == kept


@pytest.mark.parametrize("options", [{"over_many": True}, {"shape": "partitions"}], ids=str)
def test_a_dict_of_another_partition_is_refused(
    values: ValueStore, options: dict[str, Any]
) -> None:
    with pytest.raises(PartitionError, match="missing: '1'; unknown: 'eur'"):
        put(values, request("1", annotation=dict[str, int], **options), OTHER)
    assert stored(values) == []


def test_all_failures_are_named_and_the_others_written(values: ValueStore) -> None:
    bad = {"1": 1, "2": object(), "3": 3, "4": object()}
    found: list[str] = []
    with pytest.raises(PartitionError) as caught:
        write(
            values,
            request(*bad),
            bad,
            default_format="auto",
            record=lambda target, _: found.append(target.name),
        )
    assert sorted(caught.value.failures) == ["2", "4"]
    assert caught.value.succeeded == ("1", "3") == tuple(found)
    assert "a/partition=2" in str(caught.value)
    assert "written all the same: 1, 3" in str(caught.value)
    assert [partition(values, key) for key in ("1", "3")] == [1, 3]


# -- PartitionStream -------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("1",), ("1", "2", "3")])
def test_a_stream_is_written_value_by_value(values: ValueStore, keys: tuple[str, ...]) -> None:
    stream = PartitionStream((key, int(key)) for key in reversed(keys))
    found = put(values, request(*keys, annotation=PartitionStream[int]), stream)
    assert [name for name, _ in found] == [*reversed(keys)]
    assert [partition(values, key) for key in keys] == [int(key) for key in keys]


def test_a_stream_is_not_run_ahead_of_its_writes(values: ValueStore, store: FailingStore) -> None:
    keys = [str(number) for number in range(30)]
    lead: list[int] = []

    def pairs() -> Iterator[tuple[str, str]]:
        for number, key in enumerate(keys):
            lead.append(number - len(stored(values)))
            yield key, "x"

    put(values, request(*keys), PartitionStream(pairs()))
    assert max(lead) <= 4


def test_a_format_is_chosen_by_the_items(values: ValueStore) -> None:
    stream = PartitionStream([("1", pa.table({"n": [1]}))])
    put(values, request("1", annotation=PartitionStream[pa.Table]), stream)
    assert stored(values) == ["a/partition=1/data.parquet"]


def several(keys: Any) -> WriteRequest:
    made = [{"day": day, "city": city} for city in ("x", "y") for day in ("1", "2")]
    return WriteRequest(
        tuple(Target(f"{key['city']}|{key['day']}", AssetAddress.of(["a"], key)) for key in made),
        None,
        Options(),
    )


@pytest.mark.parametrize("spell", [str, dict], ids=["text", "mapping"])
def test_keys_of_several_dimensions(values: ValueStore, spell: type) -> None:
    asked = several(None)

    def spelled(target: Target) -> Any:
        assert isinstance(target.address, AssetAddress)
        parts = dict(target.address.partition)
        # A mapping in the other order than the address has.
        return target.name if spell is str else {"day": parts["day"], "city": parts["city"]}

    keys = [spelled(target) for target in asked.targets]
    put(values, asked, PartitionStream([(key, number) for number, key in enumerate(keys)]))
    assert [values.read(target.address) for target in asked.targets] == [0, 1, 2, 3]
    put(values, asked, PartitionStream([(key, 7) for key in keys], partition_keys=keys))
    with pytest.raises(PartitionError, match=r"'city': 'x'"):
        put(values, asked, PartitionStream([({"city": "x"}, 1)]))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("1", 1), ("7", 7)], "the stream gives '7', which is no partition of the run"),
        ([("1", 1), ("1", 2)], "the stream gives '1', a second time"),
        ([("1", 1), "2"], "the stream gives '2', not (partition_key, value)"),
        ([("1", 1)], "the stream ended without the partitions '2', '3'"),
    ],
    ids=["unknown", "twice", "no pair", "missing"],
)
def test_what_is_wrong_with_a_stream(values: ValueStore, pairs: Any, message: str) -> None:
    with pytest.raises(PartitionError) as caught:
        put(values, request("1", "2", "3"), PartitionStream(iter(pairs)))
    assert message in str(caught.value)
    assert caught.value.succeeded == ("1",)
    assert "written: 1" in str(caught.value)
    assert partition(values, "1") == 1
    assert len(stored(values)) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["1"], "missing: '2'"),
        (["1", "2", "7"], "unknown: '7'"),
        (["1", "2", "2"], "twice: '2'"),
    ],
)
def test_known_keys_are_compared_before_anything_is_computed(
    values: ValueStore, keys: list[str], message: str
) -> None:
    def pairs() -> Iterator[tuple[str, int]]:
        for key in keys:
            raise AssertionError(key)
        yield from ()

    with pytest.raises(PartitionError, match=message):
        put(values, request("1", "2"), PartitionStream(pairs(), partition_keys=keys))
    assert stored(values) == []


def test_an_exception_of_the_stream_leaves_what_was_written(values: ValueStore) -> None:
    def pairs() -> Iterator[tuple[str, int]]:
        yield "1", 1
        yield "2", 2
        msg = "no more"
        raise LookupError(msg)

    with pytest.raises(
        PartitionError, match=r"failed after 2 of 3 partitions: .*no more"
    ) as caught:
        put(values, request("1", "2", "3"), PartitionStream(pairs()))
    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.succeeded == ("1", "2")
    assert [partition(values, key) for key in ("1", "2")] == [1, 2]


def test_a_value_that_is_refused_stops_no_other(values: ValueStore) -> None:
    keys = [str(number) for number in range(40)]
    pairs = [(key, object() if key == "2" else key) for key in keys]
    with pytest.raises(PartitionError, match="1 of 40 partitions could not be written") as caught:
        put(values, request(*keys), PartitionStream(iter(pairs)))
    assert sorted(caught.value.failures) == ["2"]
    assert caught.value.succeeded == tuple(key for key in keys if key != "2")


def test_a_store_that_fails_ends_the_stream(values: ValueStore, store: FailingStore) -> None:
    keys = [str(number) for number in range(100, 200)]
    computed: list[str] = []

    def pairs() -> Iterator[tuple[str, str]]:
        for key in keys:
            computed.append(key)
            yield key, "x"

    store.failing = ("partition=110",)
    with pytest.raises(PartitionError) as caught:
        put(values, request(*keys), PartitionStream(pairs()))
    assert "110" in caught.value.failures
    assert caught.value.succeeded[:10] == tuple(keys[:10])
    assert len(computed) < 20


def test_a_second_try_gives_the_same(values: ValueStore, store: FailingStore) -> None:
    asked = request("1", "2", "3")
    store.failing = ("partition=2",)
    with pytest.raises(PartitionError):
        put(values, asked, {"1": "a", "2": "b", "3": "c"})
    store.failing = ()
    put(values, asked, {"1": "a", "2": "b", "3": "c"})
    assert [partition(values, key) for key in ("1", "2", "3")] == ["a", "b", "c"]
    assert len(stored(values)) == 3


@pytest.mark.parametrize("address", [AssetAddress.of(["a"]), OpAddress("r", "s", "o")], ids=str)
def test_a_stream_needs_partitions(values: ValueStore, address: Any) -> None:
    asked = WriteRequest((Target(None, address),), None, Options())
    with pytest.raises(PartitionError, match="the output has none"):
        put(values, asked, PartitionStream(()))


def test_values_are_encoded_beside_the_caller(values: ValueStore) -> None:
    threads: set[str] = set()

    class Told(dict[str, int]):
        def items(self) -> Any:
            threads.add(threading.current_thread().name)
            return super().items()

    put(values, request("1"), PartitionStream([("1", Told(a=1))]))
    assert threads
    assert threading.main_thread().name not in threads
