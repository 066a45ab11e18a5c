"""What Dagster's own managers do to partitions, each of it impossible here.

Mislabelled and silently missing values, failed type checks, runs over many partitions that fail
after all the work, loads one by one and checks that load everything: reproduced with dagster 1.13
and dagster-aws 0.29.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import (
    BucketIOManager,
    MemoryIOManager,
    ObjectNotFoundError,
    PartitionError,
    PartitionStream,
)
from dagster_buckets.address import AssetAddress

from tests.integration.support import MakeManager, logged, materialized, ranged, run

# Dagster's own warning about a preview.
pytestmark = pytest.mark.filterwarnings("ignore:Specifying a partitions_def on an AssetCheckSpec")

SINGLE = dg.BackfillPolicy.single_run()
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c", "d"])


@dg.asset(partitions_def=LETTERS)
def parts(context: dg.AssetExecutionContext) -> str:
    return f"value of {context.partition_key}"


def write(manager: BucketIOManager, *partition_keys: str) -> None:
    for key in partition_keys:
        run([parts], manager, partition_key=key)


def plant_values(manager: BucketIOManager, count: int) -> list[str]:
    """So many partitions of ``many``, past Dagster."""
    names = [f"{number:03}" for number in range(count)]
    for name in names:
        manager.values.write(AssetAddress.of(["many"], name), name)
    return names


def load(manager: BucketIOManager, annotation: Any, source: Any = parts, **options: Any) -> Any:
    """What an unpartitioned asset with this annotation gets, and the run that gave it."""
    found: list[Any] = []

    def consumer(**inputs: Any) -> None:
        found.append(inputs["values"])

    metadata = options.pop("metadata", None)
    into = {"values": dg.AssetIn(source.key, dagster_type=annotation, metadata=metadata)}
    reader = dg.asset(ins=into)(consumer)
    result = run([source, reader], manager, selection=[reader], **options)
    assert result.success
    return found[0]


# Dagster ends a loop of its own, which it cannot inside of another.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("in_a_loop", [False, True], ids=["script", "notebook"])
def test_2_no_value_gets_the_label_of_another(manager: BucketIOManager, *, in_a_loop: bool) -> None:
    write(manager, "b", "d")

    def loaded() -> Any:
        skip = {"dagster_buckets/on_missing": "skip"}
        return load(manager, dict[str, str], metadata=skip)

    async def in_loop() -> Any:
        # As in a notebook, whose cells run inside an event loop.
        return loaded()

    found = asyncio.run(in_loop()) if in_a_loop else loaded()
    assert found == {"b": "value of b", "d": "value of d"}


def test_2_one_partition_is_its_value(manager: BucketIOManager) -> None:
    write(manager, "b")

    @dg.asset(partitions_def=LETTERS)
    def upper(parts: str) -> str:
        return parts.upper()

    assert run([parts, upper], manager, selection=[upper], partition_key="b").output_for_node(
        "upper"
    ) == "VALUE OF B"  # fmt: skip


class Forgetful:
    """Says once that an object is missing, for every tenth key."""

    def __init__(self, call: Callable[..., Any], every: int) -> None:
        self._call = call
        self._every = every
        self._lock = threading.Lock()
        self.asked: dict[str, int] = {}
        self.denied: set[str] = set()

    def __call__(self, key: str) -> Any:
        with self._lock:
            self.asked.setdefault(key, 0)
            self.asked[key] += 1
            first = self.asked[key] == 1 and len(self.asked) % self._every == 0
        if first:
            self.denied.add(key)
            msg = f"there is no {key}"
            raise ObjectNotFoundError(msg)
        return self._call(key)


@pytest.mark.parametrize("annotation", [dict[str, str], list[str], PartitionStream[str]], ids=str)
@pytest.mark.parametrize("format_name", ["auto", "text"])
def test_3_a_404_that_passes_drops_nothing(
    manager: BucketIOManager,
    monkeypatch: pytest.MonkeyPatch,
    annotation: Any,
    format_name: str,
) -> None:
    names = plant_values(manager, 40)
    source = dg.AssetSpec("many", partitions_def=dg.StaticPartitionsDefinition(names))
    metadata = {"allow_missing_partitions": True, "dagster_buckets/format": format_name}
    store = manager.values.store
    forgetful = Forgetful(store.get, 10)
    found: list[Any] = []

    @dg.asset(ins={"many": dg.AssetIn(dagster_type=annotation, metadata=metadata)})
    def consumer(many: Any) -> None:
        # Of dict, list and stream alike the values.
        found.extend(many.values() if isinstance(many, dict) else many)

    # The run works on a copy of the manager, and on a store of its own.
    monkeypatch.setattr(type(store), "get", lambda _, key: forgetful(key))
    run([source, consumer], manager, selection=[consumer])
    assert [value[1] if isinstance(value, tuple) else value for value in found] == names
    assert len(forgetful.denied) == 4


@pytest.mark.parametrize("spelling", ["allow_missing_partitions", "dagster_buckets/on_missing"])
def test_3_missing_partitions_are_left_out_where_that_is_allowed(
    manager: BucketIOManager, instance: dg.DagsterInstance, spelling: str
) -> None:
    write(manager, "a", "c")
    metadata = {spelling: True if spelling.startswith("allow") else "skip"}

    @dg.asset(ins={"parts": dg.AssetIn(metadata=metadata)})
    def consumer(parts: dict[str, str]) -> list[str]:
        return list(parts)

    result = run([parts, consumer], manager, selection=[consumer], instance=instance)
    assert result.output_for_node("consumer") == ["a", "c"]
    assert "left them out or gave None: b, d" in logged(instance, result.run_id)
    (event,) = [e for e in result.all_events if e.event_type == dg.DagsterEventType.LOADED_INPUT]
    metadata_of_input = event.event_specific_data.metadata  # type: ignore[union-attr]
    assert metadata_of_input["dagster_buckets/missing_partitions"].value == ["b", "d"]


def test_9_a_dict_of_one_partition_is_a_dict(manager: BucketIOManager) -> None:
    write(manager, "b")

    @dg.asset(partitions_def=LETTERS)
    def consumer(parts: dict[str, str]) -> list[str]:
        return [*parts, *parts.values()]

    result = run([parts, consumer], manager, selection=[consumer], partition_key="b")
    assert result.output_for_node("consumer") == ["b", "value of b"]


def test_9_a_stored_none_stays(manager: BucketIOManager) -> None:
    @dg.asset(name="parts", partitions_def=LETTERS, backfill_policy=SINGLE)
    def nothing(context: dg.AssetExecutionContext) -> dict[str, Any]:
        return {key: None if key == "b" else key for key in context.partition_keys}

    run([nothing], manager, tags=ranged("a", "d"))
    expected = {"a": "a", "b": None, "c": "c", "d": "d"}
    for on_missing in ("error", "skip", "none"):
        metadata = {"dagster_buckets/on_missing": on_missing}
        assert load(manager, dict[str, Any], metadata=metadata) == expected
        assert load(manager, list[Any], metadata=metadata) == list(expected.values())


@pytest.mark.parametrize("annotation", [dict[str, int], PartitionStream[int], None], ids=str)
def test_10_a_run_over_several_partitions_stores_them(
    manager: BucketIOManager, annotation: Any
) -> None:
    def many(context: dg.AssetExecutionContext) -> Any:
        values = {key: ord(key) for key in context.partition_keys}
        return PartitionStream(values.items()) if annotation is PartitionStream[int] else values

    if annotation is not None:
        many.__annotations__["return"] = annotation
    asset = dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)(many)
    result = run([asset], manager, tags=ranged("b", "d"))
    assert sorted((e.partition, e.metadata["dagster/uri"]) for e in materialized(result)) == [
        (key, manager.uri_for("many", key, format="json")) for key in ("b", "c", "d")
    ]
    assert load(manager, dict[str, int], asset, metadata={"allow_missing_partitions": True}) == {
        "b": 98, "c": 99, "d": 100,
    }  # fmt: skip


def test_11_loads_are_parallel(manager: BucketIOManager, monkeypatch: pytest.MonkeyPatch) -> None:
    names = plant_values(manager, 64)
    source = dg.AssetSpec("many", partitions_def=dg.StaticPartitionsDefinition(names))
    store = manager.values.store
    # Nobody gets past it before 32 have come.
    meeting = threading.Barrier(32, timeout=20)
    get = store.get

    def met(_: Any, key: str) -> Any:
        meeting.wait()
        return get(key)

    monkeypatch.setattr(type(store), "get", met)
    assert list(load(manager, dict[str, str], source)) == names


def test_11_a_longer_name_is_no_proof_of_existence(manager: BucketIOManager) -> None:
    queues = dg.StaticPartitionsDefinition(["q", "q2"])
    source = dg.AssetSpec("many", partitions_def=queues)
    manager.values.write(AssetAddress.of(["many"], "q2"), "two")
    for format_name in ("auto", "text"):
        metadata = {"dagster_buckets/format": format_name}
        with pytest.raises(PartitionError, match="1 of 2 partitions could not be read") as caught:
            load(manager, dict[str, str], source, metadata=metadata)
        assert list(caught.value.failures) == ["q"]
        skipped = {**metadata, "dagster_buckets/on_missing": "skip"}
        assert load(manager, dict[str, str], source, metadata=skipped) == {"q2": "two"}


def test_11_construction_asks_for_nothing(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    manager = make_manager()
    dg.Definitions(assets=[parts], resources={"io_manager": manager})


# -- 17: checks ------------------------------------------------------------------------------------


def checked(manager: BucketIOManager, **options: Any) -> list[Any]:
    """What a check of ``parts`` without partitions of its own gets in such a run."""
    found: list[Any] = []

    @dg.asset_check(asset=parts)
    def complete(parts: Any) -> dg.AssetCheckResult:
        found.append(parts)
        return dg.AssetCheckResult(passed=True)

    selection = dg.AssetSelection.assets(parts.key) | dg.AssetSelection.checks(complete)
    result = run([parts, complete], manager, selection=selection, **options)
    assert result.success
    assert len(result.get_asset_check_evaluations()) == 1
    return found


def test_17_a_check_gets_the_partition_of_its_run(manager: BucketIOManager) -> None:
    write(manager, "a", "c")
    assert checked(manager, partition_key="b") == ["value of b"]


def test_17_a_check_gets_the_range_of_its_run(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def many(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {key: key for key in context.partition_keys}

    found: list[Any] = []

    @dg.asset_check(asset=many)
    def complete(context: dg.AssetCheckExecutionContext, many: dict[str, str]) -> Any:
        found.append(many)
        return dg.AssetCheckResult(passed=True)

    run([many, complete], manager, tags=ranged("b", "c"))
    assert found == [{"b": "b", "c": "c"}]


def test_17_a_check_of_a_run_without_partitions_gets_them_all(manager: BucketIOManager) -> None:
    write(manager, "a", "b", "c", "d")
    found: list[Any] = []

    @dg.asset_check(asset=parts)
    def complete(parts: dict[str, str]) -> dg.AssetCheckResult:
        found.extend(parts)
        return dg.AssetCheckResult(passed=True)

    run([parts, complete], manager, selection=dg.AssetSelection.checks(complete))
    assert found == ["a", "b", "c", "d"]


def test_17_a_check_with_partitions_gets_those_of_its_run(manager: BucketIOManager) -> None:
    write(manager, "a")
    found: list[Any] = []

    @dg.asset_check(asset=parts, partitions_def=LETTERS)
    def complete(parts: str) -> dg.AssetCheckResult:
        found.append(parts)
        return dg.AssetCheckResult(passed=True)

    run([parts, complete], manager, partition_key="b")
    assert found == ["value of b"]


def test_17_other_partitions_than_the_runs_are_not_mistaken_for_them(
    memory: MemoryIOManager,
) -> None:
    months = dg.StaticPartitionsDefinition(["a", "z"])

    @dg.asset(partitions_def=months)
    def other(context: dg.AssetExecutionContext) -> str:
        return str(context.partition_key)

    for key in ("a", "z"):
        run([other], memory, partition_key=key)
    found: list[Any] = []

    @dg.asset_check(asset=parts, additional_ins={"other": dg.AssetIn()})
    def complete(parts: str, other: dict[str, str]) -> dg.AssetCheckResult:
        found.append((parts, other))
        return dg.AssetCheckResult(passed=True)

    selection = dg.AssetSelection.assets(parts.key) | dg.AssetSelection.checks(complete)
    run([parts, other, complete], memory, selection=selection, partition_key="a")
    assert found == [("value of a", {"a": "a", "z": "z"})]


def test_17_checks_of_dynamic_and_several_dimensions(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    dynamic = dg.DynamicPartitionsDefinition(name="cities")
    instance.add_dynamic_partitions("cities", ["x", "y", "z"])
    grid = dg.MultiPartitionsDefinition({"city": dynamic, "letter": LETTERS})
    found: list[Any] = []
    for definition, key in ((dynamic, "y"), (grid, "y|b")):

        @dg.asset(name="grown", partitions_def=definition)
        def grown(context: dg.AssetExecutionContext) -> str:
            return str(context.partition_key)

        @dg.asset_check(asset=grown)
        def complete(grown: str) -> dg.AssetCheckResult:
            found.append(grown)
            return dg.AssetCheckResult(passed=True)

        run([grown, complete], memory, partition_key=key, instance=instance)
    assert found == ["y", "y|b"]
