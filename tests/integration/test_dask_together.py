"""Runs over many partitions as one graph of Dask: what they share runs once, what fails fails alone."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import dask
import dask.bag as db
import dask.dataframe as dd
import pandas as pd
import pytest
from dagster_buckets import BucketIOManager, PartitionError, PartitionStream
from dagster_buckets_local import LocalIOManager
from dask.bag import Bag
from dask.delayed import Delayed
from distributed import Client, get_worker

from tests.integration import dask_marks
from tests.integration.support import keys, materialized, ranged, run

DAYS = dg.StaticPartitionsDefinition(["d1", "d2", "d3"])
ALL = ranged("d1", "d3")
SINGLE_RUN = dg.BackfillPolicy.single_run()
META = pd.DataFrame({"day": pd.Series([], dtype="str"), "n": pd.Series([], dtype="int64")})


def all_days(folder: Path) -> dd.DataFrame:
    return dd.from_map(dask_marks.raw, range(3), folder=str(folder), meta=META)


def frames(folder: Path, broken: str | None = None) -> dict[str, dd.DataFrame]:
    """Of each day a part of what is made once, with a rate that is asked for once."""
    rate = dask.delayed(dask_marks.rates, pure=False)(str(folder))
    source = all_days(folder)
    found = {}
    for day in DAYS.get_partition_keys():
        frame = source[source["day"] == day].map_partitions(dask_marks.times, rate, meta=META)
        found[day] = frame.map_partitions(dask_marks.fails, meta=META) if day == broken else frame
    return found


def bags(folder: Path) -> dict[str, Bag]:
    rate = dask.delayed(dask_marks.rates, pure=False)(str(folder))
    return {
        day: db.from_sequence([1, 2, 3], npartitions=2).map(dask_marks.times_item, rate)
        for day in DAYS.get_partition_keys()
    }


def lists(folder: Path) -> dict[str, list[Delayed]]:
    rate = dask.delayed(dask_marks.rates, pure=False)(str(folder))
    each = dask.delayed(dask_marks.times_item)
    return {day: [each(n, rate) for n in (1, 2)] for day in DAYS.get_partition_keys()}


def frames_of(folder: Path, broken: str | None = None, name: str = "daily") -> Any:
    @dg.asset(name=name, partitions_def=DAYS, backfill_policy=SINGLE_RUN)
    def daily() -> dict[str, dd.DataFrame]:
        return frames(folder, broken)

    return daily


@dg.asset
def per_day(daily: dict[str, dd.DataFrame]) -> dict[str, int]:
    return {day: int(frame["n"].sum().compute()) for day, frame in daily.items()}


@dg.asset
def in_all(daily: dd.DataFrame) -> int:
    return int(daily["n"].sum().compute())


@pytest.mark.parametrize("make_manager", ["s3", "local", "gcs"], indirect=True)
def test_partitions_are_one_graph(manager: BucketIOManager, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    daily = frames_of(folder)

    result = run([daily], manager, tags=ALL)

    ran = dask_marks.marks(folder)
    assert set(ran) == {"rates", "raw-0", "raw-1", "raw-2"}
    # A cluster runs a task once more where a worker is late; three graphs would run each three times.
    assert ran.total() < 2 * len(ran)
    assert str(os.getpid()) not in dask_marks.processes(folder)
    for day in ("d1", "d2", "d3"):
        assert f"daily/partition={day}/data.parquet.manifest" in keys(manager)
    told = {event.partition: event.metadata for event in materialized(result)}
    assert set(told) == {"d1", "d2", "d3"}
    for metadata in told.values():
        assert metadata["dagster/partition_row_count"] == 30
        assert metadata["dagster_buckets/parts"] == 3
    result = run([daily, per_day, in_all], manager, selection=[per_day, in_all])
    assert result.output_for_node("per_day") == dict.fromkeys(["d1", "d2", "d3"], 60)
    assert result.output_for_node("in_all") == 180


@pytest.mark.parametrize(("make", "annotation"), [(bags, Bag), (lists, list[Delayed])])
def test_bags_and_lists_are_one_graph(
    tmp_path: Path, client: Client, make: Any, annotation: Any
) -> None:
    manager = LocalIOManager(root=str(tmp_path / "lake"))
    folder = tmp_path / "marks"
    folder.mkdir()

    @dg.asset(partitions_def=DAYS, backfill_policy=SINGLE_RUN)
    def daily() -> dict[str, annotation]:
        made: dict[str, Any] = make(folder)
        return made

    @dg.asset
    def found(daily: dict[str, list]) -> dict[str, list]:  # type: ignore[type-arg]
        return daily

    @dg.asset
    def in_one_bag(daily: Bag) -> int:
        return int(daily.sum().compute())

    run([daily], manager, tags=ALL)
    assert dask_marks.marks(folder) == {"rates": 1}
    result = run([daily, found, in_one_bag], manager, selection=[found, in_one_bag])
    wanted = [2, 4, 6] if annotation is Bag else [2, 4]
    assert result.output_for_node("found") == dict.fromkeys(["d1", "d2", "d3"], wanted)
    assert result.output_for_node("in_one_bag") == 3 * sum(wanted)


@pytest.mark.parametrize("cluster", [True, False])
def test_what_fails_fails_alone(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    cluster: bool,  # noqa: FBT001
) -> None:
    if cluster:
        request.getfixturevalue("client")
    manager = LocalIOManager(root=str(tmp_path / "lake"))
    folder = tmp_path / "marks"
    folder.mkdir()
    with dask.config.set({} if cluster else {"scheduler": "threads"}):
        run([frames_of(folder)], manager, tags=ALL)
        before = set(keys(manager))
        broken = frames_of(folder, broken="d2")
        with pytest.raises(PartitionError, match="1 of 3 partitions") as failed:
            run([broken], manager, tags=ALL)
        assert isinstance(failed.value.failures["d2"], RuntimeError)
        assert sorted(failed.value.succeeded) == ["d1", "d3"]
        with dg.DagsterInstance.ephemeral() as instance:
            run([broken], manager, tags=ALL, instance=instance, raise_on_error=False)
            told = instance.get_materialized_partitions(broken.key)
        assert told == {"d1", "d3"}
        # The old value is still there, and no part of the new one.
        left = {key for key in keys(manager) if "partition=d2" in key}
        assert left == {key for key in before if "partition=d2" in key}
        shared = 3 if cluster else None
        assert shared is None or dask_marks.marks(folder)["rates"] == shared
        result = run([broken, per_day], manager, selection=[per_day])
    assert result.output_for_node("per_day") == dict.fromkeys(["d1", "d2", "d3"], 60)


def dies_once(frame: pd.DataFrame, folder: str, partition_info: Any = None) -> pd.DataFrame:
    """A partition whose worker is killed while it makes it, the first time."""
    died = Path(folder) / "died"
    if partition_info and partition_info["number"] == 1 and not died.exists():
        died.touch()
        get_worker()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return frame


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, client: Client) -> None:
    manager = LocalIOManager(root=str(tmp_path / "lake"))
    folder = tmp_path / "marks"
    folder.mkdir()

    @dg.asset(partitions_def=DAYS, backfill_policy=SINGLE_RUN)
    def daily() -> dict[str, dd.DataFrame]:
        found = frames(folder)
        found["d2"] = found["d2"].map_partitions(dies_once, folder=str(tmp_path), meta=META)
        return found

    run([daily], manager, tags=ALL)
    assert (tmp_path / "died").exists()
    result = run([daily, per_day], manager, selection=[per_day])
    assert result.output_for_node("per_day") == dict.fromkeys(["d1", "d2", "d3"], 60)


def test_a_stream_is_a_graph_for_each_partition(tmp_path: Path, client: Client) -> None:
    manager = LocalIOManager(root=str(tmp_path / "lake"))
    folder = tmp_path / "marks"
    folder.mkdir()

    @dg.asset(partitions_def=DAYS, backfill_policy=SINGLE_RUN)
    def daily() -> PartitionStream[dd.DataFrame]:
        return PartitionStream(frames(folder).items())

    run([daily], manager, tags=ALL)
    result = run([daily, per_day], manager, selection=[per_day])
    assert result.output_for_node("per_day") == dict.fromkeys(["d1", "d2", "d3"], 60)


def step_in_a_task(root: str, folder: str) -> bool:
    """A run of Dagster inside of a task of Dask's, as of an executor that runs steps there."""
    daily = frames_of(Path(folder))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [daily],
            resources={"io_manager": LocalIOManager(root=root)},
            tags=ALL,
            instance=instance,
        )
    return bool(result.success)


def test_a_step_within_a_task_of_the_cluster(tmp_path: Path, client: Client) -> None:
    """It takes its worker's only thread, and leaves it to the tasks that it waits for."""
    folder = tmp_path / "marks"
    folder.mkdir()
    (worker, *_) = client.scheduler_info()["workers"]
    future = client.submit(
        step_in_a_task, str(tmp_path / "lake"), str(folder), workers=[worker], pure=False
    )
    assert future.result(timeout=60)
    assert dask_marks.marks(folder)["rates"] == 1
