"""Frames as text, through real runs."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import EncodeError, MemoryIOManager

from tests.integration.support import keys, materialized, raw, run

LETTERS = dg.StaticPartitionsDefinition(["a", "b"])
FORMATS = pytest.mark.parametrize("name", ["csv", "ndjson"])


@FORMATS
def test_a_frame_is_text_and_any_frame_again(name: str) -> None:
    @dg.asset(
        metadata={
            "dagster_buckets/format": name,
            "dagster_buckets/column_types": {"zip": "string", "n": "int8"},
        },
        partitions_def=LETTERS,
    )
    def places(context: dg.AssetExecutionContext) -> pd.DataFrame:
        zips = ["00501", None] if context.partition_key == "a" else ["123"]
        return pd.DataFrame({"zip": zips, "n": pd.array([1] * len(zips), dtype="int8")})

    @dg.asset
    def after(places: pl.DataFrame) -> list[Any]:
        assert places.schema == {"zip": pl.String, "n": pl.Int8}
        return [list(row) for row in places.rows()]

    manager = MemoryIOManager()
    first = run([places], manager, partition_key="a")
    run([places], manager, partition_key="b")
    result = run([places, after], manager, selection=[after])
    assert result.output_for_node("after") == [["00501", 1], [None, 1], ["123", 1]]
    assert keys(manager)[1:] == [f"places/partition={x}/data.{name}" for x in "ab"]
    [event] = materialized(first)
    assert event.metadata["dagster/partition_row_count"] == 2
    columns = event.metadata["dagster/column_schema"].columns
    assert [(c.name, c.type) for c in columns] == [("zip", "string"), ("n", "int8")]


@FORMATS
def test_what_would_change_fails_the_run_and_writes_nothing(name: str) -> None:
    @dg.asset(metadata={"dagster_buckets/format": name})
    def places() -> pl.DataFrame:
        return pl.DataFrame({"day": ["2024-01-01"]})

    manager = MemoryIOManager()
    with pytest.raises(EncodeError, match="'day'") as caught:
        run([places], manager)
    assert "dagster_buckets/column_types to {'day': 'string'}" in str(caught.value.hint)
    assert keys(manager) == []


@FORMATS
def test_a_load_without_annotation_is_a_table_of_arrow(name: str) -> None:
    @dg.asset(metadata={"dagster_buckets/format": name})
    def frame() -> pl.DataFrame:
        return pl.DataFrame({"n": [1, 2]})

    @dg.asset
    def after(frame) -> str:  # type: ignore[no-untyped-def]
        assert isinstance(frame, pa.Table)
        return str(frame.schema)

    manager = MemoryIOManager()
    run([frame, after], manager)
    assert keys(manager)[1:] == [f"frame/data.{name}"]


def test_auto_finds_a_compressed_csv() -> None:
    manager = MemoryIOManager(format_options={"csv": {"compression": "zstd"}})

    @dg.asset(metadata={"dagster_buckets/format": "csv"})
    def frame() -> pl.DataFrame:
        return pl.DataFrame({"n": [1, 2]})

    run([frame], manager)
    assert keys(manager) == ["frame/data.csv.zst"]
    assert raw(manager, "frame/data.csv.zst")[:4] == b"\x28\xb5\x2f\xfd"

    @dg.asset
    def after(frame: pd.DataFrame) -> int:
        return int(frame["n"].sum())

    result = run([dg.AssetSpec("frame"), after], manager, selection=[after])
    assert result.output_for_node("after") == 3
