"""Engines read stored tables by clients of their own, with what they are handed in a run.

DuckDB by way of Arrow's client, as its own is an extension, which would have to be downloaded.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from dagster_buckets import (
    BucketIOManager,
    ConfigurationError,
    MemoryIOManager,
    TableRef,
    bucket_options,
)
from dagster_buckets.handover import for_arrow, for_fsspec, for_polars

from tests.integration.support import S3_KEYS, MakeManager, ranged, run

#: Awkward in paths, as folders of a partition are spelled.
KEYS = ["001", "a/b", "x y", "é=%"]
PARTITIONS = dg.StaticPartitionsDefinition(KEYS)
ROWS = 1000
Counts = dict[str, int]
EXPECTED = {key: sum(range(ROWS)) + ROWS * number for number, key in enumerate(KEYS)}


def rows(number: int) -> pa.Table:
    return pa.table({"n": range(number, number + ROWS)})


@dg.asset(
    key=["lake", "sums"],
    partitions_def=PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=bucket_options(format="parquet", part_size=3000),
)
def parted(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
    return {key: rows(KEYS.index(key)) for key in context.partition_keys}


def by_polars(table: TableRef) -> Counts:
    frames = []
    for part in table.by_partition():
        handed = for_polars(part)
        frame = pl.scan_parquet(
            handed.uris, storage_options=handed.options, glob=False, hive_partitioning=False
        )
        frames.append(frame.with_columns(pl.lit(v).alias(k) for k, v in part.partition.items()))
    summed = pl.concat(frames).group_by("partition").agg(pl.col("n").sum()).collect()
    return dict(summed.rows())


def by_duckdb(table: TableRef) -> Counts:
    found = {}
    for part in table.by_partition():
        handed = for_arrow(part)
        files = ds.dataset(handed.uris, filesystem=handed.options, format=part.format)
        with duckdb.connect() as connection:
            total = connection.from_arrow(files).aggregate("sum(n)").fetchall()[0][0]
        found[part.partition["partition"]] = int(total)
    return found


def by_fsspec(table: TableRef) -> Counts:
    import fsspec
    import pyarrow.parquet as pq

    found = {}
    for part in table.by_partition():
        handed = for_fsspec(part)
        files = fsspec.filesystem(part.uris[0].partition("://")[0], **handed.options)
        tables = [pq.read_table(files.open(uri)) for uri in handed.uris]
        found[part.partition["partition"]] = pc.sum(pa.concat_tables(tables)["n"]).as_py()
    return found


ENGINES: dict[str, Callable[[TableRef], Counts]] = {"polars": by_polars, "duckdb": by_duckdb}


def stored(manager: BucketIOManager) -> None:
    run([parted], manager, tags=ranged(KEYS[0], KEYS[-1]))


@pytest.mark.parametrize("make_manager", ["local", "s3", "gcs"], indirect=True)
def test_engines_read_what_a_run_hands_over(
    make_manager: MakeManager, capfd: pytest.CaptureFixture[str]
) -> None:
    # With a prefix that no URI may hold as it is.
    manager = make_manager("team x/é")
    stored(manager)

    @dg.asset(ins={"sums": dg.AssetIn(parted.key)})
    def read(context: dg.AssetExecutionContext, sums: TableRef) -> dict[str, Counts]:
        for handed in (for_polars(sums), for_fsspec(sums), for_arrow(sums)):
            context.log.info(str((handed, handed.options, sums)))
        context.add_output_metadata({"options": str(for_polars(sums).options)})
        return {name: engine(sums) for name, engine in ENGINES.items()}

    @dg.asset(ins={"sums": dg.AssetIn(parted.key)})
    def each(sums: dict[str, TableRef]) -> dict[str, int | None]:
        return {key: table.rows for key, table in sums.items()}

    result = run([parted, read, each], manager, selection=[read, each])

    assert result.output_for_node("read") == dict.fromkeys(ENGINES, EXPECTED)
    assert result.output_for_node("each") == dict.fromkeys(KEYS, ROWS)
    events = str([event.event_specific_data for event in result.all_events])
    log = capfd.readouterr().err
    for text in (events, log):
        assert S3_KEYS["aws_secret_access_key"] not in text
    if make_manager.backend == "s3":
        assert "***" in events
        assert "***" in log
    if make_manager.backend != "s3":  # s3fs is not everywhere: see tests/engines
        assert by_fsspec(manager.table_for(parted, KEYS)) == EXPECTED


@pytest.mark.parametrize("make_manager", ["local", "s3"], indirect=True)
def test_a_table_is_the_same_outside_of_runs(make_manager: MakeManager) -> None:
    manager = make_manager()
    stored(manager)
    seen: list[TableRef] = []

    @dg.asset(ins={"sums": dg.AssetIn(parted.key)})
    def read(sums: TableRef) -> None:
        seen.append(sums)

    run([parted, read], manager, selection=[read])
    (table,) = seen
    assert manager.table_for(parted, KEYS) == table
    assert manager.table_for(parted.key, KEYS) == table
    assert manager.table_for(parted, KEYS[2:3]).partition == {"partition": KEYS[2]}
    # What is read is what the filters of an engine can leave.
    left = table.where((pl.col("partition") == "a/b") & (pl.col("n") < 100))
    assert left is not None
    assert len(left.uris) < len(table.by_partition()[1].uris) < len(table.uris)
    assert by_polars(left).keys() == {"a/b"}


def test_optional_tables() -> None:
    @dg.asset(ins={"sums": dg.AssetIn(parted.key)})
    def read(sums: Optional[TableRef]) -> bool:  # noqa: UP045 - as Dagster reads it
        return sums is None

    tolerant = MemoryIOManager(on_missing="skip")
    assert run([parted, read], tolerant, selection=[read]).output_for_node("read")


@pytest.mark.parametrize("make_manager", ["s3"], indirect=True)
def test_credentials_are_those_that_boto3_finds(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = make_manager()
    stored(given)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_KEYS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-of-a-session")
    found = make_manager(
        aws_access_key_id=None, aws_secret_access_key=None, region_name="eu-west-1"
    )
    table = found.table_for(parted, KEYS)
    options = for_polars(table).options
    assert options["aws_secret_access_key"] == S3_KEYS["aws_secret_access_key"]
    assert options["aws_session_token"] == "canary-of-a-session"
    assert options["aws_region"] == "eu-west-1"
    assert "canary" not in repr(options)
    # A pickle has none of them: they are found again.
    pickled = pickle.dumps(table)
    assert b"canary" not in pickled
    assert by_polars(pickle.loads(pickled)) == EXPECTED  # noqa: S301 - our own bytes


@pytest.mark.parametrize("make_manager", ["s3"], indirect=True)
def test_partitions_of_two_managers(make_manager: MakeManager, tmp_path: Path) -> None:
    from dagster_buckets_local import LocalIOManager

    behind = make_manager()
    stored(behind)
    branch = LocalIOManager(root=str(tmp_path / "branch"), read_from=behind)
    run([parted], branch, partition_key=KEYS[0])
    table = branch.table_for(parted, KEYS)
    with pytest.raises(ConfigurationError, match="different settings"):
        for_polars(table)
    assert by_polars(table) == EXPECTED
