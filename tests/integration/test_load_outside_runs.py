"""Values outside of the run that wrote them: ``None`` and missing, the last partition, loaders."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import BucketIOManager, ObjectNotFoundError

from tests.integration.support import keys, run, store_of


def test_a_stored_none_is_told_apart_from_a_missing_value(manager: BucketIOManager) -> None:
    @dg.asset
    def frame() -> pd.DataFrame | None:
        return None

    @dg.asset
    def text() -> str | None:
        return None

    @dg.asset
    def strict(frame: pd.DataFrame | None, text: Any) -> list[bool]:
        return [frame is None, text is None]

    assert run([frame, text, strict], manager).output_for_node("strict") == [True, True]
    assert keys(manager) == ["frame/data.parquet", "strict/data.json", "text/data.txt"]

    store_of(manager).delete(["frame/data.parquet", "text/data.txt"])
    loader = dg.Definitions([frame, text], resources={"io_manager": manager})
    assert loader.load_asset_value("frame", python_type=pd.DataFrame | None) is None  # type: ignore[arg-type]
    with pytest.raises(ObjectNotFoundError, match="nothing is stored for asset 'text'"):
        loader.load_asset_value("text")


def test_self_dependency_reads_the_last_partition_that_was_written(
    manager: BucketIOManager,
) -> None:
    days = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")

    @dg.asset(
        partitions_def=days,
        ins={
            "running": dg.AssetIn(
                partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
            )
        },
    )
    def running(running: int | None) -> int:
        return (running or 0) + 1

    values = [
        run([running], manager, partition_key=f"2024-01-0{day}").output_for_node("running")
        for day in (1, 2, 3)
    ]
    assert values == [1, 2, 3]
    assert keys(manager) == [f"running/partition=2024-01-0{day}/data.json" for day in (1, 2, 3)]


def test_values_are_loaded_outside_of_a_run(manager: BucketIOManager) -> None:
    letters = dg.StaticPartitionsDefinition(["b", "a", "c"])

    @dg.asset
    def table() -> pd.DataFrame:
        return pd.DataFrame({"n": [1, 2]})

    @dg.asset(partitions_def=letters)
    def parts(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"key": [context.partition_key]})

    run([table], manager)
    for key in ("a", "b", "c"):
        run([parts], manager, partition_key=key)
    definitions = dg.Definitions([table, parts], resources={"io_manager": manager})

    assert isinstance(definitions.load_asset_value("table"), pd.DataFrame)
    polars = definitions.load_asset_value("table", python_type=pl.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert polars["n"].to_list() == [1, 2]
    one = definitions.load_asset_value("parts", partition_key="a", python_type=pa.Table)
    assert isinstance(one, pa.Table)
    assert one["key"].to_pylist() == ["a"]
    with definitions.get_asset_value_loader() as loader:
        chosen = dg.PartitionKeyRange("b", "a")
        both = loader.load_asset_value(
            "parts", partition_key_range=chosen, python_type=pd.DataFrame
        )
        assert isinstance(both, pd.DataFrame)
        assert both["key"].to_list() == ["b", "a"]
        apart = loader.load_asset_value("parts", partition_key_range=chosen)
        assert isinstance(apart, dict)
        assert list(apart) == ["b", "a"]
