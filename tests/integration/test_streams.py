"""Streams of partitions, written and read in real runs."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from dagster_buckets import (
    BucketIOManager,
    MemoryIOManager,
    ObjectNotFoundError,
    PartitionError,
    PartitionStream,
)

from tests.integration.support import (
    CountingIOManager,
    keys,
    logged,
    materialized,
    ranged,
    raw,
    run,
    store_of,
)

SINGLE = dg.BackfillPolicy.single_run()
LETTERS = dg.StaticPartitionsDefinition(["d", "c", "b", "a"])
ALL = ranged("d", "a")


def letters(make: Callable[[str], Any], annotation: Any = None, **options: Any) -> Any:
    """An asset whose stream gives ``make(key)`` for each partition of the run."""

    def parts(context: dg.AssetExecutionContext) -> Any:
        return PartitionStream((key, make(key)) for key in context.partition_keys)

    if annotation is not None:
        parts.__annotations__["return"] = annotation
    return dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE, **options)(parts)


# -- written ---------------------------------------------------------------------------------------


def test_a_stream_of_frames(manager: BucketIOManager) -> None:
    def frame(key: str) -> pd.DataFrame:
        return pd.DataFrame({"key": [key] * (ord(key) - 96)})

    result = run([letters(frame, PartitionStream[pd.DataFrame])], manager, tags=ALL)
    events = {event.partition: event.metadata for event in materialized(result)}
    assert len(materialized(result)) == 4
    for key, metadata in events.items():
        info = store_of(manager).head(f"parts/partition={key}/data.parquet")
        assert metadata["dagster/uri"] == info.uri
        assert metadata["dagster_buckets/size_bytes"] == info.size
        assert info.header
        assert metadata["dagster_buckets/digest"] == info.header.digest
        assert metadata["dagster/partition_row_count"] == ord(str(key)) - 96
    assert set(events) == {"a", "b", "c", "d"}


def test_a_stream_in_a_run_over_one_partition(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def upper(parts: str) -> str:
        return parts.upper()

    result = run([letters(str, PartitionStream[str]), upper], manager, partition_key="b")
    assert result.output_for_node("upper") == "B"
    assert keys(manager) == ["parts/partition=b/data.txt", "upper/partition=b/data.txt"]


def test_keys_of_several_dimensions(manager: BucketIOManager) -> None:
    grid = dg.MultiPartitionsDefinition(
        {
            "z": dg.StaticPartitionsDefinition(["1", "2"]),
            "a": dg.StaticPartitionsDefinition(["x", "y"]),
        }
    )
    spellings: list[Callable[[dg.MultiPartitionKey], Any]] = [
        lambda key: key,
        str,
        lambda key: dict(sorted(key.keys_by_dimension.items(), reverse=True)),
        lambda key: dg.MultiPartitionKey(dict(sorted(key.keys_by_dimension.items(), reverse=True))),
    ]

    @dg.asset(partitions_def=grid, backfill_policy=SINGLE)
    def cells(context: dg.AssetExecutionContext) -> PartitionStream[str]:
        asked = [key for key in context.partition_keys if isinstance(key, dg.MultiPartitionKey)]
        return PartitionStream(
            (spell(key), str(key)) for spell, key in zip(spellings, asked, strict=True)
        )

    @dg.asset
    def joined(cells: dict[str, str]) -> str:
        assert all(isinstance(key, dg.MultiPartitionKey) for key in cells)
        return ",".join(f"{key}={value}" for key, value in cells.items())

    result = run([cells], manager, tags=ranged("x|1", "y|2"))
    assert {event.partition for event in materialized(result)} == {"x|1", "x|2", "y|1", "y|2"}
    again = run([cells, joined], manager, selection=[joined])
    assert sorted(again.output_for_node("joined").split(",")) == [
        "x|1=x|1", "x|2=x|2", "y|1=y|1", "y|2=y|2",
    ]  # fmt: skip


# -- failures --------------------------------------------------------------------------------------


def failing_once(error: Exception, **options: Any) -> tuple[Any, list[str]]:
    """An asset whose stream raises before its third partition, the first time."""
    computed: list[str] = []

    def parts(context: dg.AssetExecutionContext) -> PartitionStream[str]:
        def pairs() -> Iterator[tuple[str, str]]:
            for key in context.partition_keys:
                if len(computed) == 2:
                    computed.append("failed")
                    raise error
                computed.append(key)
                yield key, f"value of {key}"

        return PartitionStream(pairs())

    make = dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE, **options)
    return make(parts), computed


def test_progress_survives_a_failure(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    parts, computed = failing_once(LookupError("no more"))
    failed = run([parts], manager, tags=ALL, instance=instance, raise_on_error=False)
    assert not failed.success
    done = set(computed[:2])
    assert instance.get_materialized_partitions(parts.key) == done
    records = instance.fetch_materializations(parts.key, limit=10).records
    assert {record.partition_key for record in records} == done
    for record in records:
        assert record.asset_materialization
        uri = record.asset_materialization.metadata["dagster/uri"].value
        assert uri == store_of(manager).head(f"parts/partition={record.partition_key}/data.txt").uri
    text = logged(instance, failed.run_id)
    (failure,) = failed.get_step_failure_events()
    assert failure.step_failure_data.error
    assert failure.step_failure_data.error.cause
    cause = failure.step_failure_data.error.cause.to_string()
    assert "the stream failed after 2 of 4 partitions: LookupError('no more')" in cause
    for key in done:
        assert f"{key}" in cause.partition("written:")[2]
    assert 'Execution of step "parts" failed' in text

    # The retry writes the same objects, and materializes every partition once.
    before = keys(manager)
    assert run([parts], manager, tags=ALL, instance=instance).success
    assert set(before) < set(keys(manager))
    assert len(keys(manager)) == 4
    assert instance.get_materialized_partitions(parts.key) == {"a", "b", "c", "d"}
    assert len(instance.fetch_materializations(parts.key, limit=20).records) == 2 + 4


def test_what_is_written_of_a_dict_is_materialized(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def parts(context: dg.AssetExecutionContext) -> dict[str, Any]:
        return {key: object() if key == "b" else key for key in context.partition_keys}

    with pytest.raises(PartitionError, match="1 of 4 partitions could not be written") as caught:
        run([parts], memory, tags=ALL, instance=instance)
    assert set(caught.value.succeeded) == {"a", "c", "d"}
    assert instance.get_materialized_partitions(parts.key) == {"a", "c", "d"}


def test_keys_are_checked_before_anything_is_written(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def parts() -> PartitionStream[str]:
        return PartitionStream([("a", "1"), ("z", "2")], partition_keys=["a", "z"])

    with pytest.raises(PartitionError, match=r"missing: 'd', 'c', 'b'; unknown: 'z'"):
        run([parts], manager, tags=ALL, instance=instance)
    assert keys(manager) == []
    assert instance.get_materialized_partitions(parts.key) == set()


def test_a_retry_policy_starts_the_stream_again(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    parts, computed = failing_once(LookupError(), retry_policy=dg.RetryPolicy(max_retries=1))
    assert run([parts], memory, tags=ALL, instance=instance).success
    assert len(computed) == 2 + 1 + 4
    assert len(keys(memory)) == 4


def test_what_a_stream_tells_dagster_arrives(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    parts, computed = failing_once(dg.RetryRequested(max_retries=1))
    assert run([parts], memory, tags=ALL, instance=instance).success
    assert len(computed) == 2 + 1 + 4
    last, _ = failing_once(
        dg.Failure("enough", allow_retries=False), retry_policy=dg.RetryPolicy(max_retries=3)
    )
    with pytest.raises(dg.Failure, match="enough"):
        run([last], memory, tags=ALL, instance=instance)


def test_an_interrupt_leaves_what_was_written(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def parts(context: dg.AssetExecutionContext) -> PartitionStream[str]:
        def pairs() -> Iterator[tuple[str, str]]:
            for number, key in enumerate(context.partition_keys):
                if number == 3:
                    raise KeyboardInterrupt
                yield key, key

        return PartitionStream(pairs())

    with pytest.raises(KeyboardInterrupt):
        run([parts], manager, tags=ALL, instance=instance)
    stored = {key.partition("=")[2].partition("/")[0] for key in keys(manager)}
    shown = instance.get_materialized_partitions(parts.key)
    assert shown
    assert shown <= stored


# -- read ------------------------------------------------------------------------------------------


def test_a_stream_is_read_in_order_and_once(manager: BucketIOManager) -> None:
    run([letters(lambda key: key * 2)], manager, tags=ALL)
    seen: list[Any] = []

    @dg.asset
    def consumer(parts: PartitionStream[str]) -> None:
        assert parts.partition_keys == ("d", "c", "b", "a")
        seen.extend(parts)
        assert list(parts) == []

    run([letters(str), consumer], manager, selection=[consumer])
    assert seen == [("d", "dd"), ("c", "cc"), ("b", "bb"), ("a", "aa")]


def test_values_become_what_the_stream_says(manager: BucketIOManager) -> None:
    run([letters(lambda key: pd.DataFrame({"key": [key]}))], manager, tags=ALL)
    seen: list[Any] = []

    @dg.asset
    def consumer(parts: PartitionStream[pa.Table]) -> None:
        seen.extend((key, table["key"].to_pylist()) for key, table in parts)

    run([letters(str), consumer], manager, selection=[consumer])
    assert seen == [(key, [key]) for key in "dcba"]


def test_a_stream_passes_through(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def upper(parts: PartitionStream[str]) -> PartitionStream[str]:
        return PartitionStream(
            ((key, value.upper()) for key, value in parts), partition_keys=parts.partition_keys
        )

    result = run([letters(str), upper], manager, tags=ranged("c", "a"))
    assert {event.partition for event in materialized(result)} == {"a", "b", "c"}
    assert raw(manager, "upper/partition=b/data.txt") == b"B"


def test_values_are_read_ahead(counting: CountingIOManager) -> None:
    run([letters(str)], counting, tags=ALL)

    @dg.asset
    def consumer(parts: PartitionStream[str]) -> None:
        counting.calls.take()
        next(parts)
        deadline = threading.Event()
        for _ in range(100):
            if len(counting.calls.made) == 2:
                break
            deadline.wait(0.05)
        # The second comes while the first is worked on.
        assert [call for call, _ in counting.calls.take()] == ["get"] * 2
        assert len(list(parts)) == 3

    run([letters(str), consumer], counting, selection=[consumer])


@pytest.mark.parametrize(
    ("on_missing", "seen"), [("skip", [("d", "d"), ("b", "b")]),
                             ("none", [("d", "d"), ("c", None), ("b", "b"), ("a", None)])]
)  # fmt: skip
def test_what_a_stream_leaves_out(
    manager: BucketIOManager, instance: dg.DagsterInstance, on_missing: str, seen: Any
) -> None:
    for key in ("b", "d"):
        run([letters(str)], manager, partition_key=key)
    found: list[Any] = []

    @dg.asset(ins={"parts": dg.AssetIn(metadata={"dagster_buckets/on_missing": on_missing})})
    def consumer(parts: PartitionStream[str]) -> None:
        found.extend(parts)

    result = run([letters(str), consumer], manager, selection=[consumer], instance=instance)
    assert found == seen
    assert "left them out or gave None: c, a" in logged(instance, result.run_id)


def test_a_missing_partition_is_an_error_where_it_would_come(manager: BucketIOManager) -> None:
    for key in ("b", "d"):
        run([letters(str)], manager, partition_key=key)
    found: list[Any] = []

    @dg.asset
    def consumer(parts: PartitionStream[str]) -> None:
        found.extend(parts)

    with pytest.raises(ObjectNotFoundError, match="partition 'c'"):
        run([letters(str), consumer], manager, selection=[consumer])


def test_no_partitions_are_an_empty_stream(memory: MemoryIOManager) -> None:
    nothing = dg.DynamicPartitionsDefinition(name="nothing")

    @dg.asset(partitions_def=nothing)
    def parts() -> str:
        return ""

    @dg.asset
    def consumer(parts: PartitionStream[str]) -> int:
        assert parts.partition_keys == ()
        return len(list(parts))

    assert run([parts, consumer], memory, selection=[consumer]).output_for_node("consumer") == 0


def test_a_stream_needs_partitions(memory: MemoryIOManager) -> None:
    @dg.asset
    def whole() -> str:
        return "x"

    @dg.asset
    def consumer(whole: PartitionStream[str]) -> None:
        raise AssertionError

    with pytest.raises(PartitionError, match="what the input reads has none"):
        run([whole, consumer], memory)


def test_a_stream_outside_of_a_run(memory: MemoryIOManager) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        asset = letters(str)
        run([asset], memory, tags=ALL, instance=instance)
        defs = dg.Definitions(assets=[asset], resources={"io_manager": memory})
        found: Any = defs.get_asset_value_loader(instance=instance).load_asset_value(
            asset.key,
            python_type=PartitionStream[str],
            partition_key_range=dg.PartitionKeyRange("d", "a"),
        )
        assert [value for _, value in found] == ["d", "c", "b", "a"]


# -- a thousand ------------------------------------------------------------------------------------

GRID = dg.MultiPartitionsDefinition(
    {
        "a": dg.StaticPartitionsDefinition(["x", "y"]),
        "b": dg.StaticPartitionsDefinition([f"{number:03}" for number in range(500)]),
    }
)


@dg.asset(partitions_def=GRID, backfill_policy=SINGLE)
def cells(context: dg.AssetExecutionContext) -> PartitionStream[str]:
    return PartitionStream((key, str(key)) for key in context.partition_keys)


def test_a_thousand_partitions_in_one_run(
    memory: MemoryIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ranges = type(GRID).get_partition_keys_in_range

    def counted(*args: Any) -> Any:
        asked.append(args)
        return ranges(*args)

    monkeypatch.setattr(type(GRID), "get_partition_keys_in_range", counted)
    result = run([cells], memory, tags=ranged("x|000", "y|499"))
    events = {str(event.partition): event.metadata for event in materialized(result)}
    assert len(events) == len(materialized(result)) == 1000
    assert {metadata["dagster/uri"] for metadata in events.values()} == {
        memory.uri_for(cells, key, format="text") for key in GRID.get_partition_keys()
    }
    # What lists a thousand keys is not done for each of them.
    assert len(asked) < 20


def test_metadata_without_what_is_dagsters_own(
    memory: MemoryIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ranged("x|000", "y|003")
    before = {e.partition: e.metadata for e in materialized(run([cells], memory, tags=tags))}
    # As in a Dagster that has renamed it.
    monkeypatch.setitem(sys.modules, "dagster._core.execution.context.metadata_logging", None)
    after = {e.partition: e.metadata for e in materialized(run([cells], memory, tags=tags))}
    volatile = {f"dagster_buckets/{name}" for name in ("etag", "write_seconds", "written_at")}
    assert len(after) == 8
    for key, metadata in after.items():
        assert {k: v for k, v in metadata.items() if k not in volatile} == {
            k: v for k, v in before[key].items() if k not in volatile
        }
