"""Each engine reads parts and partitions by its own client, on every store that it can reach here.

Spark reaches files only: its client of S3 is no part of ``pyspark``, nor on PyPI. Daft has no option
for the endpoint of an emulator of Google's store.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster_buckets import BucketIOManager, ConfigurationError, TableRef
from dagster_buckets.handover import (
    for_arrow,
    for_daft,
    for_fsspec,
    for_polars,
    for_spark,
)

from tests.integration.support import S3_KEYS, MakeManager, run

pytestmark = [
    # The engines' own, and those of their libraries.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

#: Awkward in paths, as folders of a partition are spelled.
KEYS = ["001", "a/b", "x y", "é=%"]
ROWS = 1000
Counts = dict[str, int]
EXPECTED = {key: sum(range(ROWS)) + ROWS * number for number, key in enumerate(KEYS)}


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(KEYS))
def sums(context: dg.AssetExecutionContext) -> pa.Table:
    start = KEYS.index(context.partition_key)
    return pa.table({"n": range(start, start + ROWS)})


def stored(make_manager: MakeManager) -> tuple[BucketIOManager, TableRef]:
    """The first two partitions in one object each, the others in parts."""
    whole = make_manager("team x/é", format="parquet")
    in_parts = make_manager(
        "team x/é", format_options={"parquet": {"part_size": 3000}}, format="parquet"
    )
    for key in KEYS:
        run([sums], in_parts if key in KEYS[2:] else whole, partition_key=key)
    # Found by a listing, whichever way each lies.
    manager = make_manager("team x/é")
    table = manager.table_for(sums, KEYS)
    assert len(table.uris) > 2 + 2
    return manager, table


def consumed(manager: BucketIOManager, engine: Callable[[TableRef], Counts]) -> Counts:
    """What an asset gets that hands its input to an engine."""

    @dg.asset
    def read(sums: TableRef) -> Counts:
        return engine(sums)

    result = run([sums, read], manager, selection=[read])
    found: Counts = result.output_for_node("read")
    return found


def by_polars(table: TableRef) -> Counts:
    import polars as pl

    frames = []
    for part in table.by_partition():
        to = for_polars(part)
        frame = pl.scan_parquet(to.uris, storage_options=to.options, glob=False)
        frames.append(frame.with_columns(pl.lit(v).alias(k) for k, v in part.partition.items()))
    return dict(pl.concat(frames).group_by("partition").agg(pl.col("n").sum()).collect().rows())


def by_duckdb(table: TableRef) -> Counts:
    import duckdb
    import fsspec

    found: Counts = {}
    with duckdb.connect() as connection:
        scheme = table.uris[0].partition("://")[0]
        if scheme != "file":
            files = fsspec.filesystem(scheme, **for_fsspec(table).options)
            connection.register_filesystem(files)
        for part in table.by_partition():
            (key,) = part.partition.values()
            rows = connection.read_parquet(for_fsspec(part).uris, hive_partitioning=False)
            found[key] = int(rows.aggregate("sum(n)").fetchall()[0][0])
    return found


def by_daft(table: TableRef) -> Counts:
    import daft

    frames = []
    for part in table.by_partition():
        to = for_daft(part)
        frame = daft.read_parquet(to.uris, io_config=to.options)
        frames.append(frame.with_columns({k: daft.lit(v) for k, v in part.partition.items()}))
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.union_all(frame)
    rows = whole.groupby("partition").agg(daft.col("n").sum()).to_pylist()
    return {row["partition"]: row["n"] for row in rows}


def by_ray(table: TableRef) -> Counts:
    import ray.data
    from ray.data.expressions import lit

    found: Counts = {}
    for part in table.by_partition():
        to = for_arrow(part)
        data: Any = ray.data.read_parquet(to.uris, filesystem=to.options, partitioning=None)
        for name, value in part.partition.items():
            data = data.with_column(name, lit(value))
        for row in data.take_all():
            found[row["partition"]] = found.get(row["partition"], 0) + row["n"]
    return found


def by_spark(session: Any, table: TableRef) -> Counts:
    from pyspark.sql import functions as f

    frames = []
    for part in table.by_partition():
        to = for_spark(part)
        frame = session.read.options(**to.options).parquet(*to.uris)
        frames.append(frame.withColumns({k: f.lit(v) for k, v in part.partition.items()}))
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionByName(frame)
    return dict(tuple(row) for row in whole.groupBy("partition").agg(f.sum("n")).collect())


@pytest.mark.parametrize("engine", [by_polars, by_duckdb])
def test_engines_of_the_daily_tests(
    make_manager: MakeManager, engine: Callable[[TableRef], Counts]
) -> None:
    manager, _ = stored(make_manager)
    assert consumed(manager, engine) == EXPECTED


@pytest.mark.parametrize("make_manager", ["local", "s3"], indirect=True)
def test_daft(make_manager: MakeManager) -> None:
    manager, table = stored(make_manager)
    assert consumed(manager, by_daft) == EXPECTED
    left = table.where([("partition", "=", "x y"), ("n", "<", 100)])
    assert left is not None
    assert len(left.uris) == 1
    assert by_daft(left).keys() == {"x y"}
    assert S3_KEYS["aws_secret_access_key"] not in repr(for_daft(table).options)


@pytest.mark.parametrize("make_manager", ["gcs"], indirect=True)
def test_daft_has_no_option_for_an_emulator(make_manager: MakeManager) -> None:
    _, table = stored(make_manager)
    with pytest.raises(ConfigurationError, match="Daft has no option for endpoint_url"):
        for_daft(table)


def test_ray(make_manager: MakeManager, ray: Any) -> None:
    manager, _ = stored(make_manager)
    assert consumed(manager, by_ray) == EXPECTED


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_spark(make_manager: MakeManager, spark: Any) -> None:
    manager, table = stored(make_manager)
    assert consumed(manager, lambda found: by_spark(spark, found)) == EXPECTED
    left = table.where([("partition", "=", "x y"), ("n", "<", 100)])
    assert left is not None
    assert by_spark(spark, left).keys() == {"x y"}


@pytest.mark.parametrize("make_manager", ["s3"], indirect=True)
def test_spark_is_told_of_a_bucket_what_its_client_would_need(
    make_manager: MakeManager, spark: Any
) -> None:
    """It gets as far as looking for the client, which is not here: the words stay untried."""
    _, table = stored(make_manager)
    to = for_spark(table)
    assert all(uri.startswith("s3a://") for uri in to.uris)
    with pytest.raises(Exception, match="S3AFileSystem not found"):
        spark.read.options(**to.options).parquet(*to.uris)
