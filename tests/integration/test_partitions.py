"""Partitions of every kind: keys, mappings, order, gaps, and runs over a range."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from dagster_buckets import (
    BucketIOManager,
    MemoryIOManager,
    ObjectNotFoundError,
    PartitionError,
)

from tests.integration.support import keys, logged, materialized, raw, run, store_of

LETTERS = dg.StaticPartitionsDefinition(["c", "a", "b"])
DAYS = dg.DailyPartitionsDefinition("2024-01-30", end_date="2024-02-03")
HOURS = dg.HourlyPartitionsDefinition("2024-01-01-00:00", end_date="2024-01-01-03:00")
NAMES = dg.DynamicPartitionsDefinition(name="names")
GRID = dg.MultiPartitionsDefinition({"region": LETTERS, "date": DAYS})
ALL = dg.AssetIn(partition_mapping=dg.AllPartitionMapping())


@dg.asset(partitions_def=LETTERS)
def letters(context: dg.AssetExecutionContext) -> pd.DataFrame:
    return pd.DataFrame({"key": [context.partition_key]})


def written(manager: Any, asset: Any, *partition_keys: str, **options: Any) -> None:
    for key in partition_keys:
        run([asset], manager, partition_key=key, **options)


@pytest.mark.parametrize(
    ("definition", "partition_keys", "folders"),
    [
        (LETTERS, ["a", "c"], ["partition=a", "partition=c"]),
        (
            HOURS,
            ["2024-01-01-00:00", "2024-01-01-02:00"],
            ["partition=2024-01-01-00%3A00", "partition=2024-01-01-02%3A00"],
        ),
        (
            NAMES,
            ["../etc", "a/b", "é=%"],
            ["partition=%C3%A9%3D%25", "partition=..%2Fetc", "partition=a%2Fb"],
        ),
        (
            GRID,
            ["2024-01-31|c", "2024-02-01|a"],
            ["date=2024-01-31/region=c", "date=2024-02-01/region=a"],
        ),
    ],
    ids=["static", "hourly", "dynamic", "multi"],
)
def test_each_kind_of_partition_has_its_object_and_uri(
    manager: BucketIOManager,
    instance: dg.DagsterInstance,
    definition: dg.PartitionsDefinition[Any],
    partition_keys: list[str],
    folders: list[str],
) -> None:
    if definition is NAMES:
        instance.add_dynamic_partitions("names", partition_keys)

    @dg.asset(partitions_def=definition)
    def up(context: dg.AssetExecutionContext) -> str:
        return str(context.partition_key)

    @dg.asset(partitions_def=definition)
    def down(up: str) -> str:
        return up.upper()

    uris = {}
    for key in partition_keys:
        result = run([up, down], manager, partition_key=key, instance=instance)
        assert result.output_for_node("down") == key.upper()
        for event in materialized(result):
            assert event.partition == key
            uris[event.label, key] = event.metadata["dagster/uri"]

    found = {store_of(manager).uri(key): raw(manager, key).decode() for key in keys(manager)}
    assert {uri: key for (label, key), uri in uris.items() if label == "up"} == {
        uri: value for uri, value in found.items() if "/up/" in uri
    }
    assert set(uris.values()) == set(found)
    assert sorted(keys(manager)) == sorted(
        f"{asset}/{folder}/data.txt" for asset in ("up", "down") for folder in folders
    )


def test_the_dimension_of_a_partition_can_be_named(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"dagster_buckets/partition_name": "day"})
    def sales(context: dg.AssetExecutionContext) -> int:
        return int(context.partition_key[-2:])

    @dg.asset(partitions_def=DAYS)
    def doubled(sales: int) -> int:
        return sales * 2

    result = run([sales, doubled], memory, partition_key="2024-01-31")
    assert result.output_for_node("doubled") == 62
    assert keys(memory) == [
        "doubled/partition=2024-01-31/data.json",
        "sales/day=2024-01-31/data.json",
    ]


def test_fan_in_follows_the_annotation_and_the_order_of_the_definition(
    manager: BucketIOManager,
) -> None:
    written(manager, letters, "a", "b", "c")

    @dg.asset(ins={"letters": ALL})
    def bare(letters) -> list[Any]:  # type: ignore[no-untyped-def]
        return [[key, type(part).__name__, part["key"][0]] for key, part in letters.items()]

    @dg.asset(ins={"letters": ALL})
    def mapping(letters: dict[str, pl.DataFrame]) -> list[Any]:
        return [[key, type(part).__name__, part["key"][0]] for key, part in letters.items()]

    @dg.asset(ins={"letters": ALL})
    def listed(letters: list[pd.DataFrame]) -> list[Any]:
        return [part["key"][0] for part in letters]

    @dg.asset(ins={"letters": ALL})
    def joined(letters: pl.DataFrame) -> list[Any]:
        assert isinstance(letters, pl.DataFrame)
        return letters["key"].to_list()

    consumers = [bare, mapping, listed, joined]
    result = run([letters, *consumers], manager, selection=consumers)
    assert result.output_for_node("bare") == [[key, "DataFrame", key] for key in "cab"]
    assert result.output_for_node("mapping") == [[key, "DataFrame", key] for key in "cab"]
    assert result.output_for_node("listed") == ["c", "a", "b"]
    assert result.output_for_node("joined") == ["c", "a", "b"]


def test_dynamic_and_multi_partitions_come_in_the_order_of_their_definition(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    order = ["z", "m", "a", "k"]
    instance.add_dynamic_partitions("names", order)

    @dg.asset(partitions_def=NAMES)
    def named() -> int:
        return 1

    @dg.asset(partitions_def=GRID)
    def grid() -> int:
        return 1

    @dg.asset(
        ins={"named": ALL, "grid": dg.AssetIn(metadata={"dagster_buckets/on_missing": "skip"})}
    )
    def order_of(named: dict[str, int], grid: dict[str, int]) -> list[list[str]]:
        return [list(named), list(grid)]

    written(memory, named, *order, instance=instance)
    places = ["2024-02-01|a", "2024-01-30|b", "2024-01-30|c"]
    written(memory, grid, *places, instance=instance)
    result = run([named, grid, order_of], memory, selection=[order_of], instance=instance)
    in_definition = [key for key in GRID.get_partition_keys() if key in places]
    assert result.output_for_node("order_of") == [order, in_definition]


def test_days_map_to_their_month(memory: MemoryIOManager) -> None:
    days = dg.DailyPartitionsDefinition("2024-01-30", end_date="2024-03-01")

    @dg.asset(partitions_def=days)
    def daily(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"day": [context.partition_key]})

    months = dg.MonthlyPartitionsDefinition("2024-01-01", end_date="2024-03-01")

    @dg.asset(
        partitions_def=months,
        ins={"daily": dg.AssetIn(metadata={"allow_missing_partitions": True})},
    )
    def monthly(daily: pd.DataFrame) -> list[str]:
        return list(daily["day"])

    written(memory, daily, "2024-02-02", "2024-01-30", "2024-01-31", "2024-02-01")
    result = run([daily, monthly], memory, selection=[monthly], partition_key="2024-02-01")
    assert result.output_for_node("monthly") == ["2024-02-01", "2024-02-02"]
    assert "monthly/partition=2024-02-01/data.json" in keys(memory)


def test_the_last_partition_and_one_dimension_of_many(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=GRID)
    def grid(context: dg.AssetExecutionContext) -> str:
        return str(context.partition_key)

    @dg.asset(
        partitions_def=LETTERS,
        ins={"grid": dg.AssetIn(metadata={"allow_missing_partitions": True})},
    )
    def by_region(grid: dict[str, str]) -> dict[str, str]:
        return grid

    @dg.asset(partitions_def=DAYS)
    def days(context: dg.AssetExecutionContext) -> str:
        return str(context.partition_key)

    @dg.asset(ins={"days": dg.AssetIn(partition_mapping=dg.LastPartitionMapping())})
    def latest(days: str) -> str:
        return days

    written(memory, grid, "2024-01-30|a", "2024-01-31|a", "2024-01-30|b")
    result = run([grid, by_region], memory, selection=[by_region], partition_key="a")
    assert result.output_for_node("by_region") == {
        "2024-01-30|a": "2024-01-30|a",
        "2024-01-31|a": "2024-01-31|a",
    }
    written(memory, days, "2024-02-01", "2024-02-02")
    assert run([days, latest], memory, selection=[latest]).output_for_node("latest") == "2024-02-02"


def test_missing_partitions_are_an_error_that_names_them_all(manager: BucketIOManager) -> None:
    written(manager, letters, "a")

    @dg.asset(ins={"letters": ALL})
    def joined(letters: pd.DataFrame) -> list[str]:
        return list(letters["key"])

    with pytest.raises(PartitionError, match="2 of 3 partitions could not be read") as caught:
        run([letters, joined], manager, selection=[joined])
    assert set(caught.value.failures) == {"b", "c"}
    assert caught.value.succeeded == ("a",)
    assert all(isinstance(e, ObjectNotFoundError) for e in caught.value.failures.values())
    for key in "bc":
        assert f"asset 'letters', partition '{key}'" in str(caught.value)
        assert store_of(manager).uri(f"letters/partition={key}/data.") in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "metadata", "expected"),
    [
        ({}, {"allow_missing_partitions": True}, {"a": "a"}),
        ({}, {"dagster_buckets/on_missing": "skip"}, {"a": "a"}),
        ({"on_missing": "skip"}, {}, {"a": "a"}),
        ({"on_missing": "none"}, {}, {"c": None, "a": "a", "b": None}),
        (
            {"on_missing": "skip"},
            {"dagster_buckets/on_missing": "none"},
            {"c": None, "a": "a", "b": None},
        ),
    ],
    ids=["known-spelling", "input", "manager", "none", "input-before-manager"],
)
def test_missing_partitions_are_left_out_only_as_told_and_never_silently(
    settings: dict[str, Any],
    metadata: dict[str, Any],
    expected: dict[str, str | None],
    instance: dg.DagsterInstance,
) -> None:
    manager = MemoryIOManager(**settings)
    written(manager, letters, "a")

    @dg.asset(
        ins={"letters": dg.AssetIn(partition_mapping=dg.AllPartitionMapping(), metadata=metadata)}
    )
    def seen(letters) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        return {key: None if part is None else part["key"][0] for key, part in letters.items()}

    result = run([letters, seen], manager, selection=[seen], instance=instance)
    assert list(result.output_for_node("seen").items()) == list(expected.items())
    assert "left them out or gave None: c, b" in logged(instance, result.run_id)
