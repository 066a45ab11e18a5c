"""Runs over a range of partitions, and keys that are refused."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import (
    BucketIOManager,
    MemoryIOManager,
    PartitionError,
)

from tests.integration.support import keys, materialized, ranged, run, store_of

LETTERS = dg.StaticPartitionsDefinition(["c", "a", "b"])
DAYS = dg.DailyPartitionsDefinition("2024-01-30", end_date="2024-02-03")


def test_one_run_over_a_range_writes_every_partition(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.single_run())
    def parts(context: dg.AssetExecutionContext) -> dict[str, pd.DataFrame]:
        return {
            key: pd.DataFrame({"key": [key] * (index + 1)})
            for index, key in enumerate(sorted(context.partition_keys))
        }

    @dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.single_run())
    def counts(parts: dict[str, pd.DataFrame]) -> dict[str, int]:
        return {key: len(part) for key, part in parts.items()}

    result = run([parts, counts], manager, tags=ranged("c", "a"))
    assert result.output_for_node("counts") == {"c": 2, "a": 1}
    assert keys(manager) == [
        "counts/partition=a/data.json",
        "counts/partition=c/data.json",
        "parts/partition=a/data.parquet",
        "parts/partition=c/data.parquet",
    ]
    events = {e.partition: e.metadata for e in materialized(result) if e.label == "parts"}
    assert {key: found["dagster/partition_row_count"] for key, found in events.items()} == {
        "a": 1,
        "c": 2,
    }
    assert {found["dagster/uri"] for found in events.values()} == {
        store_of(manager).uri(f"parts/partition={key}/data.parquet") for key in "ac"
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"c": 1}, "missing: 'a'"),
        ({"c": 1, "a": 2, "z": 3}, "unknown: 'z'"),
        ([1, 2], "its value is a list"),
    ],
    ids=["missing", "unknown", "not-a-dict"],
)
def test_a_range_with_other_keys_is_refused_before_anything_is_written(
    manager: BucketIOManager, value: Any, message: str
) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.single_run())
    def parts() -> Any:
        return value

    with pytest.raises(PartitionError, match=message) as caught:
        run([parts], manager, tags=ranged("c", "a"))
    assert "asset 'parts'" in str(caught.value)
    assert keys(manager) == []


def test_a_reversed_range_is_refused(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def parts() -> dict[str, int]:
        return {}

    with pytest.raises(PartitionError, match="holds no partition"):
        run([parts], memory, tags=ranged("2024-02-01", "2024-01-31"))
    assert keys(memory) == []


def test_the_empty_partition_key_is_refused(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["", "a"]))
    def parts() -> int:
        return 1

    with pytest.raises(PartitionError, match="the run has no partition key") as caught:
        run([parts], manager, partition_key="")
    assert "asset 'parts'" in str(caught.value)
    assert keys(manager) == []
