"""Models and arrays in real runs, with Dagster's type checks."""

import dataclasses
from datetime import UTC, datetime
from typing import Any, Optional

import dagster as dg
import msgspec
import numpy as np
import pydantic
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketIOManager,
    DecodeError,
    EncodeError,
    PartitionError,
    PartitionStream,
)

from tests.integration.support import keys, run

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAYS = dg.StaticPartitionsDefinition(["d1", "d2"])


@dataclasses.dataclass
class Data:
    n: int
    at: datetime = NOON
    tags: tuple[str, ...] = ()


class Model(pydantic.BaseModel):
    n: int
    at: datetime = NOON
    tags: tuple[str, ...] = ()


class Record(msgspec.Struct):
    n: int
    at: datetime = NOON
    tags: tuple[str, ...] = ()


MODELS = [Data, Model, Record]


def checked(result: dg.ExecuteInProcessResult) -> None:
    """Assert that Dagster's own type checks ran and passed."""
    found = [
        event.step_input_data.type_check_data
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.STEP_INPUT
    ]
    assert found
    assert all(check.success for check in found)


def consumed(  # noqa: PLR0913
    manager: BucketIOManager,
    produced: Any,
    asked: Any,
    value: Any,
    *,
    partitions: dg.PartitionsDefinition[Any] | None = None,
    together: bool = True,
) -> Any:
    """What a consumer gets of an asset: in the run of the producer, or in another."""
    seen: list[Any] = []

    def made() -> Any:
        return value

    def user(made: Any) -> None:
        seen.append(list(made) if isinstance(made, PartitionStream) else made)

    made.__annotations__["return"] = produced
    user.__annotations__["made"] = asked
    producer = dg.asset(made, partitions_def=partitions) if partitions else dg.asset(made)
    consumer = dg.asset(user)
    if partitions is None and together:
        checked(run([producer, consumer], manager))
        return seen[0]
    for key in [None] if partitions is None else partitions.get_partition_keys():
        run([producer], manager, partition_key=key)
    checked(run([producer, consumer], manager, selection=[consumer]))
    return seen[0]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("cls", MODELS)
def test_without_partitions(memory: BucketIOManager, cls: Any, together: Any) -> None:
    one, other = cls(n=1, tags=("a",)), cls(n=2)
    for annotation, value in [
        (cls, one),
        (list[cls], [one, other]),
        (dict[str, cls], {"a": one}),
        (dict[str, list[cls]], {"a": [one], "b": []}),
        (Optional[cls], one),  # noqa: UP045
        (cls | None, None),
    ]:
        assert consumed(memory, annotation, annotation, value, together=together) == value
    # An output without an annotation, and inputs of another kind.
    assert consumed(memory, Any, list[cls], [one], together=together) == [one]
    assert consumed(memory, cls, dict, one, together=together)["tags"] == ["a"]
    assert "made/data.json" in keys(memory)


@pytest.mark.parametrize("cls", MODELS)
def test_one_partition(memory: BucketIOManager, cls: Any) -> None:
    one = cls(n=1, tags=("a",))
    only = dg.StaticPartitionsDefinition(["d1"])
    for produced, asked, value, expected in [
        (cls, cls, one, one),
        (cls, Optional[cls], one, one),  # noqa: UP045
        (cls, dict[str, cls], one, {"d1": one}),
        (cls, list[cls], one, [one]),
        (cls, PartitionStream[cls], one, [("d1", one)]),
        (list[cls], dict[str, list[cls]], [one], {"d1": [one]}),
        (dict[str, cls], dict[str, cls], {"a": one}, {"a": one}),
    ]:
        assert consumed(memory, produced, asked, value, partitions=only) == expected


@pytest.mark.parametrize("cls", MODELS)
def test_many_partitions(memory: BucketIOManager, cls: Any) -> None:
    one = cls(n=1, tags=("a",))
    for produced, asked, value, expected in [
        (cls, dict[str, cls], one, {"d1": one, "d2": one}),
        (cls, list[cls], one, [one, one]),
        (cls, PartitionStream[cls], one, [("d1", one), ("d2", one)]),
        (list[cls], dict[str, list[cls]], [one], {"d1": [one], "d2": [one]}),
        (list[cls], list[list[cls]], [one], [[one], [one]]),
        (
            dict[str, cls],
            dict[str, dict[str, cls]],
            {"a": one},
            {"d1": {"a": one}, "d2": {"a": one}},
        ),
    ]:
        assert consumed(memory, produced, asked, value, partitions=DAYS) == expected
    with pytest.raises(PartitionError, match="cannot be one"):
        consumed(memory, cls, cls, one, partitions=DAYS)


@pytest.mark.parametrize("cls", MODELS)
def test_load_asset_value(memory: BucketIOManager, cls: Any) -> None:
    @dg.asset
    def one() -> cls:
        return cls(n=1)

    @dg.asset(partitions_def=DAYS)
    def daily() -> list[cls]:
        return [cls(n=2)]

    run([one], memory)
    run([daily], memory, partition_key="d1")
    definitions = dg.Definitions(assets=[one, daily], resources={"io_manager": memory})
    with dg.DagsterInstance.ephemeral() as instance:
        assert definitions.load_asset_value("one", python_type=cls, instance=instance) == cls(n=1)
        found = definitions.load_asset_value(
            "daily", python_type=list[cls], partition_key="d1", instance=instance
        )
        assert found == [cls(n=2)]
        plain: Any = definitions.load_asset_value("one", instance=instance)
        assert plain["n"] == 1


@pytest.mark.parametrize("cls", MODELS)
def test_ops_that_fan_in(memory: BucketIOManager, cls: Any) -> None:
    seen: list[Any] = []

    @dg.op
    def make() -> cls:
        return cls(n=1)

    @dg.op
    def collect(items: list[cls]) -> None:
        seen.extend(items)

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        collect([make.alias("a")(), make.alias("b")()])

    assert job.execute_in_process().success
    assert seen == [cls(n=1), cls(n=1)]


def test_wrong_data_names_the_object_and_the_field(memory: BucketIOManager) -> None:
    memory.values.write(AssetAddress.of(["made"]), [{"n": 1}, {"n": "two"}])

    @dg.asset
    def user(made: list[Data]) -> None: ...

    with pytest.raises(DecodeError) as caught:
        run([dg.AssetSpec("made"), user], memory, selection=[user])
    for part in ("made/data.json", "$[1].n", "'two'", "asset 'made'"):
        assert part in str(caught.value)


def test_what_json_would_change_is_not_written(memory: BucketIOManager) -> None:
    @dataclasses.dataclass
    class Loose:
        value: Any

    @dg.asset
    def made() -> list[Loose]:
        return [Loose(1), Loose((1, 2))]

    with pytest.raises(EncodeError, match=r"\$\[1\]\.value"):
        run([made], memory)
    assert keys(memory) == []


def test_arrays(manager: BucketIOManager) -> None:
    array = np.arange(6, dtype="f4").reshape(2, 3)
    found = consumed(manager, np.ndarray, np.ndarray, array)
    np.testing.assert_array_equal(found, array, strict=True)
    assert "made/data.npy" in keys(manager)
    joined = consumed(manager, np.ndarray, np.ndarray, array, partitions=DAYS)
    np.testing.assert_array_equal(joined, np.concatenate([array, array]), strict=True)
    each = consumed(manager, np.ndarray, dict[str, np.ndarray], array, partitions=DAYS)
    assert list(each) == ["d1", "d2"]


@pytest.mark.parametrize("name", ["npz", "safetensors"])
@pytest.mark.parametrize("days", [None, ["d1"], ["d1", "d2"]], ids=str)
def test_dicts_of_arrays(memory: BucketIOManager, name: str, days: list[str] | None) -> None:
    value = {"x": np.arange(3), "y": np.zeros((2, 2), "f4")}
    parted = dg.StaticPartitionsDefinition(days) if days else None
    seen: list[Any] = []

    @dg.asset(partitions_def=parted, metadata={"dagster_buckets/format": name})
    def made() -> dict[str, np.ndarray]:
        return value

    asked = dict[str, dict[str, np.ndarray]] if days else dict[str, np.ndarray]

    def user(made: Any) -> None:
        seen.append(made)

    user.__annotations__["made"] = asked
    consumer = dg.asset(user)
    for key in days or [None]:  # type: ignore[list-item]
        run([made], memory, partition_key=key)
    run([made, consumer], memory, selection=[consumer])
    for found in seen[0].values() if days else seen:
        assert list(found) == ["x", "y"]
        for key, array in found.items():
            np.testing.assert_array_equal(array, value[key], strict=True)
