"""Frames that are split into the partitions of a run by a column of theirs."""

from datetime import date, datetime
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketIOManager,
    ConfigurationError,
    MemoryIOManager,
    PartitionError,
)

from tests.integration.support import keys, materialized, ranged, run, store_of

SINGLE = dg.BackfillPolicy.single_run()
CITIES = dg.StaticPartitionsDefinition(["oslo", "lima", "kyoto"])
DAYS = dg.DailyPartitionsDefinition("2024-03-30", end_date="2024-04-02", timezone="Europe/Berlin")
ALL = ranged("oslo", "kyoto")


def table(frame: Any, split_by: Any, partitions: Any = CITIES, **metadata: Any) -> Any:
    """An asset that returns this frame."""

    @dg.asset(
        partitions_def=partitions,
        backfill_policy=SINGLE,
        metadata={
            "dagster_buckets/split_by": split_by,
            **{f"dagster_buckets/{name}": value for name, value in metadata.items()},
        },
    )
    def visits() -> Any:
        return frame

    return visits


def stored(manager: BucketIOManager, key: str) -> list[Any]:
    found = manager.values.read(AssetAddress.of(["visits"], key), pa.Table)
    rows: list[Any] = found["n"].to_pylist()
    return rows


ROWS = {"city": ["lima", "oslo", "lima", "kyoto"], "n": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"]
)
def test_a_frame_of_all_partitions(manager: BucketIOManager, make: Any) -> None:
    result = run([table(make(ROWS), "city")], manager, tags=ALL)
    assert {key: stored(manager, key) for key in CITIES.get_partition_keys()} == {
        "oslo": [2], "lima": [1, 3], "kyoto": [4],
    }  # fmt: skip
    events = {event.partition: event.metadata for event in materialized(result)}
    assert len(materialized(result)) == 3
    assert {key: entry["dagster/partition_row_count"] for key, entry in events.items()} == {
        "oslo": 1, "lima": 2, "kyoto": 1,
    }  # fmt: skip
    for key, entry in events.items():
        info = store_of(manager).head(f"visits/partition={key}/data.parquet")
        assert (entry["dagster/uri"], entry["dagster_buckets/size_bytes"]) == (info.uri, info.size)
    written = manager.values.read(AssetAddress.of(["visits"], "lima"))
    assert isinstance(written, type(make(ROWS)))


def test_a_run_over_one_partition(manager: BucketIOManager) -> None:
    frame = pl.DataFrame({"city": ["lima", "lima"], "n": [1, 2]})
    run([table(frame, "city")], manager, partition_key="lima")
    assert keys(manager) == ["visits/partition=lima/data.parquet"]
    with pytest.raises(PartitionError, match="oslo"):
        run([table(pl.DataFrame(ROWS), "city")], manager, partition_key="lima")
    assert stored(manager, "lima") == [1, 2]


def test_times_belong_to_the_partition_they_are_in(manager: BucketIOManager) -> None:
    # The night of 31 March has 23 hours in Berlin.
    at = pd.date_range("2024-03-30", periods=72 - 1, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"at": at, "n": range(len(at))})
    run([table(frame, "at", DAYS)], manager, tags=ranged("2024-03-30", "2024-04-01"))
    found = {day: len(stored(manager, day)) for day in ("2024-03-30", "2024-03-31", "2024-04-01")}
    assert found == {"2024-03-30": 24, "2024-03-31": 23, "2024-04-01": 24}


def test_days_belong_to_their_month(memory: MemoryIOManager) -> None:
    months = dg.MonthlyPartitionsDefinition("2024-01-01", end_date="2024-03-01")
    frame = pl.DataFrame(
        {"day": [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 29)], "n": [1, 2, 3]}
    )
    run([table(frame, "day", months)], memory, tags=ranged("2024-01-01", "2024-02-01"))
    assert stored(memory, "2024-01-01") == [1]
    assert stored(memory, "2024-02-01") == [2, 3]


@pytest.mark.parametrize(
    "split_by", [["at", "city"], {"city": "city", "at": "at"}], ids=["list", "mapping"]
)
def test_several_dimensions(memory: MemoryIOManager, split_by: Any) -> None:
    grid = dg.MultiPartitionsDefinition({"city": CITIES, "at": DAYS})
    frame = pl.DataFrame(
        {
            "city": ["oslo", "lima", "oslo", "lima"],
            "at": [datetime(2024, 3, 30 + n // 2, 12) for n in range(4)],  # noqa: DTZ001 - naive
            "n": range(4),
        }
    )
    tags = ranged("2024-03-30|oslo", "2024-03-31|lima")
    result = run([table(frame, split_by, grid)], memory, tags=tags)
    found = {str(event.partition): event.metadata["dagster/uri"] for event in materialized(result)}
    assert set(found) == {f"2024-03-{day}|{city}" for day in (30, 31) for city in ("oslo", "lima")}
    assert found["2024-03-31|oslo"].endswith("visits/at=2024-03-31/city=oslo/data.parquet")


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"city": ["lima", "paris"], "n": [1, 2]}, ["paris", "oslo", "kyoto"]),
        ({"city": ["lima", None, "oslo", "kyoto"], "n": [1, 2, 3, 4]}, ["null"]),
        ({"town": ["lima"], "n": [1]}, ["city", "town"]),
        ({"city": [1.5], "n": [1]}, ["city"]),
        ({"city": ["lima", "oslo"], "n": [1, 2]}, ["kyoto", "allow_empty_partitions"]),
    ],
    ids=["unknown", "null", "no column", "floats", "missing"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    memory: MemoryIOManager, frame: Any, told: list[str]
) -> None:
    with pytest.raises(PartitionError) as caught:
        run([table(pl.DataFrame(frame), "city")], memory, tags=ALL)
    for part in told:
        assert part in str(caught.value)
    assert "asset 'visits'" in str(caught.value)
    assert keys(memory) == []


def test_partitions_without_rows_can_be_empty_frames(manager: BucketIOManager) -> None:
    frame = pl.DataFrame({"city": ["lima"], "n": [1]})
    asset = table(frame, "city", allow_empty_partitions=True)
    run([asset], manager, tags=ALL)
    assert stored(manager, "kyoto") == []

    @dg.asset
    def consumer(visits: pl.DataFrame) -> int:
        assert visits.schema == frame.schema
        return visits.height

    result = run([asset, consumer], manager, selection=[consumer])
    assert result.output_for_node("consumer") == 1


@pytest.mark.parametrize(
    "split_by", [5, ["city", "n"], {"town": "city"}, {"partition": 5}], ids=str
)
def test_wrong_metadata_is_refused(memory: MemoryIOManager, split_by: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"split_by"):
        run([table(pl.DataFrame(ROWS), split_by)], memory, tags=ALL)


def test_what_is_no_frame_is_refused(memory: MemoryIOManager) -> None:
    with pytest.raises(TypeError, match="list"):
        run([table([1, 2], "city")], memory, tags=ALL)


def test_an_asset_without_partitions_is_not_split(memory: MemoryIOManager) -> None:
    with pytest.raises(PartitionError, match="there are none"):
        run([dg.asset(metadata={"dagster_buckets/split_by": "city"})(_whole)], memory)


def _whole() -> pl.DataFrame:
    return pl.DataFrame(ROWS)


def test_a_dict_or_a_stream_is_taken_as_it_is(memory: MemoryIOManager) -> None:
    frames = {key: pl.DataFrame({"n": [1]}) for key in CITIES.get_partition_keys()}
    run([table(frames, "city")], memory, tags=ALL)
    assert len(keys(memory)) == 3
