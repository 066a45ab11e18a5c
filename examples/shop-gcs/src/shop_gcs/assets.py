"""Readings of thermometers: streamed in, scanned, and summed up."""

import random
from collections.abc import Iterator

import dagster as dg
import polars as pl
import pyarrow as pa
from dagster_buckets import bucket_options

MONTHS = dg.StaticPartitionsDefinition(["2026-01", "2026-02", "2026-03"])
SCHEMA = pa.schema([("sensor", pa.int32()), ("celsius", pa.float64())])
_BATCHES, _ROWS = 20, 5_000


def _batches(month: str) -> Iterator[pa.RecordBatch]:
    """As they would come from a message queue: the same each time."""
    source = random.Random(month)  # noqa: S311 - an example's numbers
    for _ in range(_BATCHES):
        columns = [
            pa.array([source.randrange(100) for _ in range(_ROWS)], pa.int32()),
            pa.array([round(source.gauss(19, 3), 1) for _ in range(_ROWS)]),
        ]
        yield pa.record_batch(columns, schema=SCHEMA)


@dg.asset(partitions_def=MONTHS)
def readings(context: dg.AssetExecutionContext) -> pa.RecordBatchReader:
    """A month that may be larger than memory: it is stored while it comes."""
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(context.partition_key))


@dg.asset(partitions_def=MONTHS)
def warmest(readings: pl.LazyFrame) -> pl.DataFrame:
    """The ten warmest sensors of a month; only what that needs is read."""
    mean = readings.group_by("sensor").agg(pl.col("celsius").mean().round(2))
    return mean.sort("celsius", "sensor", descending=[True, False]).head(10).collect()


@dg.asset(ins={"warmest": dg.AssetIn(metadata=bucket_options(on_missing="skip"))})
def always_warm(warmest: dict[str, pl.DataFrame]) -> list[int]:
    """The sensors that are among the ten in at least two of the months that there are."""
    counts: dict[int, int] = {}
    for table in warmest.values():
        for sensor in table["sensor"]:
            counts[sensor] = counts.get(sensor, 0) + 1
    return sorted(sensor for sensor, count in counts.items() if count > 1)
