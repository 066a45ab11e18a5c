"""Dask: its workers write and read the parts, and one of them is killed."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pytest
from dagster_buckets import BucketIOManager, bucket_options
from distributed import Client, get_worker

from tests.integration.support import MakeManager, keys, ranged, run

DAYS = dg.StaticPartitionsDefinition(["d1", "d2", "d3"])


def numbers(partition: int, count: int = 1000) -> pd.DataFrame:
    return pd.DataFrame({"n": range(partition * count, (partition + 1) * count)})


def frame(partitions: int) -> dd.DataFrame:
    return dd.from_map(numbers, range(partitions), meta=numbers(0).iloc[:0])


@dg.asset
def made() -> dd.DataFrame:
    return frame(5)


@dg.asset
def doubled(made: dd.DataFrame) -> dd.DataFrame:
    return made.assign(n=made["n"] * 2)


@dg.asset
def total(doubled: pd.DataFrame) -> int:
    return int(doubled["n"].sum())


@pytest.mark.parametrize("make_manager", ["local", "s3", "gcs"], indirect=True)
def test_workers_write_and_read_the_parts(manager: BucketIOManager, client: Client) -> None:
    result = run([made, doubled, total], manager)
    assert result.output_for_node("total") == 2 * sum(range(5000))
    for name in ("made", "doubled"):
        assert f"{name}/data.parquet.manifest" in keys(manager)
        assert len([key for key in keys(manager) if key.startswith(f"{name}/data.parts/")]) == 5
    assert len(client.nthreads()) == 2


def test_without_a_cluster(make_manager: MakeManager) -> None:
    with dask.config.set(scheduler="threads"):
        result = run([made, doubled, total], make_manager())
    assert result.output_for_node("total") == 2 * sum(range(5000))


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_what_others_wrote_is_a_frame_of_dask(manager: BucketIOManager, client: Client) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def daily(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
        return {day: pa.table({"n": [int(day[1:])] * 10}) for day in context.partition_keys}

    columns = bucket_options(partition_columns=True)

    @dg.asset(ins={"daily": dg.AssetIn(metadata=columns)})
    def counted(daily: dd.DataFrame) -> dict[str, int]:
        assert daily.npartitions == 3
        counts = daily.groupby("partition")["n"].sum().compute()
        return {str(day): int(count) for day, count in counts.items()}

    run([daily], manager, tags=ranged("d1", "d3"))
    result = run([daily, counted], manager, selection=[counted])
    assert result.output_for_node("counted") == {"d1": 10, "d2": 20, "d3": 30}


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_partitions_of_a_run(manager: BucketIOManager, client: Client) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def daily(context: dg.AssetExecutionContext) -> dict[str, dd.DataFrame]:
        return {day: frame(int(day[1:])) for day in context.partition_keys}

    @dg.asset
    def rows(daily: dict[str, pd.DataFrame]) -> dict[str, int]:
        return {day: len(found) for day, found in daily.items()}

    run([daily], manager, tags=ranged("d1", "d3"))
    result = run([daily, rows], manager, selection=[rows])
    assert result.output_for_node("rows") == {"d1": 1000, "d2": 2000, "d3": 3000}


def test_an_index_with_a_name_is_kept(make_manager: MakeManager) -> None:
    source = pd.DataFrame({"n": range(10)}, index=pd.Index(range(0, 100, 10), name="at"))

    @dg.asset
    def indexed() -> dd.DataFrame:
        return dd.from_pandas(source, npartitions=2)

    @dg.asset
    def back(indexed: pd.DataFrame) -> bool:
        return bool(indexed.equals(source))

    with dask.config.set(scheduler="threads"):
        result = run([indexed, back], make_manager())
    assert result.output_for_node("back") is True


def dies_once(partition: int, folder: str) -> pd.DataFrame:
    """A partition whose worker is killed while it makes it, the first time."""
    mark = Path(folder) / f"died-{partition}"
    if partition == 2 and not mark.exists():
        mark.touch()
        get_worker()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return numbers(partition)


@pytest.mark.parametrize("make_manager", ["local", "s3"], indirect=True)
def test_a_worker_that_is_killed_is_replaced(
    manager: BucketIOManager, client: Client, tmp_path: Path
) -> None:
    @dg.asset
    def survived() -> dd.DataFrame:
        return dd.from_map(dies_once, range(6), folder=str(tmp_path), meta=numbers(0).iloc[:0])

    @dg.asset
    def rows(survived: pd.DataFrame) -> list[int]:
        return [int(n) for n in survived["n"]]

    result = run([survived, rows], manager)
    assert (tmp_path / "died-2").exists()
    assert result.output_for_node("rows") == list(range(6000))


def fails(partition: int) -> pd.DataFrame:
    if partition == 3:
        msg = "on purpose"
        raise RuntimeError(msg)
    return numbers(partition)


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_a_task_that_fails_leaves_the_old_value(manager: BucketIOManager, client: Client) -> None:
    run([made], manager)
    before = keys(manager)

    @dg.asset(name="made")
    def broken() -> dd.DataFrame:
        return dd.from_map(fails, range(5), meta=numbers(0).iloc[:0])

    with pytest.raises(RuntimeError, match="on purpose"):
        run([broken], manager)
    assert set(before) <= set(keys(manager))
    result = run([made, doubled, total], manager, selection=[doubled, total])
    assert result.output_for_node("total") == 2 * sum(range(5000))


def test_a_format_that_has_no_parts(make_manager: MakeManager) -> None:
    @dg.asset(metadata=bucket_options(format="json"))
    def wrong() -> dd.DataFrame:
        return frame(1)

    with pytest.raises(Exception, match="cannot lie in parts") as failed:
        run([wrong], make_manager())
    assert "choose format='parquet'" in str(failed.value)


def test_nothing_passes_through_the_process_that_asks(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and the manifest do: this process may not even encode a row."""
    from dagster_buckets.formats.parquet import ParquetFormat
    from dagster_buckets_local import LocalIOManager

    def refuse(*_: Any) -> Any:
        raise AssertionError

    write = ParquetFormat.write_table

    def without_rows(chosen: ParquetFormat, table: pa.Table) -> Any:
        # What a scan finds in a part is told by one without rows.
        assert not table.num_rows
        return write(chosen, table)

    monkeypatch.setattr(ParquetFormat, "write_table", without_rows)
    monkeypatch.setattr(ParquetFormat, "read_table", refuse)
    result = run([made, doubled], LocalIOManager(root=str(tmp_path)))
    assert result.success
