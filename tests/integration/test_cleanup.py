"""Cleanup: the objects of what somebody wiped, and of old runs, are deleted, and nothing else."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import AssetWipedData, DagsterEvent
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster_buckets import BucketIOManager, MemoryIOManager, bucket_options, build_cleanup
from dagster_buckets.objects import Body

from tests.integration.support import keys, plant, run, store_of

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
JOB, SENSOR = "dagster_buckets_cleanup_job", "dagster_buckets_cleanup_sensor"


@dg.asset
def orders() -> int:
    return 1


@dg.asset(key_prefix="orders")
def nested() -> int:
    return 2


@dg.asset(partitions_def=DAYS)
def daily() -> int:
    return 3


@dg.asset(
    partitions_def=dg.MultiPartitionsDefinition(
        {"day": DAYS, "shop": dg.StaticPartitionsDefinition(["a", "b"])}
    ),
    metadata=bucket_options(layout="template:own/{dim.shop}/{dim.day}/{asset}.{ext}"),
)
def cells() -> int:
    return 4


ASSETS = [orders, nested, daily, cells]


class Deployment:
    """Definitions with a cleanup, the instance they run in, and the sensor's cursor."""

    def __init__(
        self, manager: BucketIOManager, instance: dg.DagsterInstance, **settings: Any
    ) -> None:
        self.manager, self.instance = manager, instance
        given = dg.Definitions(ASSETS, resources={"io_manager": manager})
        self.definitions = dg.Definitions.merge(given, build_cleanup(given, **settings))
        self.cursor: str | None = None

    def run(self, asset: dg.AssetsDefinition, partition: str | None = None) -> None:
        run([asset], self.manager, partition_key=partition, instance=self.instance)

    def wipe(self, asset: dg.AssetsDefinition) -> None:
        self.instance.wipe_assets([asset.key])

    def tell(self, asset: dg.AssetsDefinition, partitions: list[str] | None = None) -> None:
        """Tell of a wipe, as Dagster+ does of partitions; what is in the log stays there."""
        wiped = AssetWipedData(asset_key=asset.key, partition_keys=partitions)
        event = DagsterEvent("ASSET_WIPED", RUNLESS_JOB_NAME, event_specific_data=wiped)
        self.instance.report_dagster_event(event, run_id=RUNLESS_RUN_ID)

    def tick(self) -> dg.ExecuteInProcessResult | None:
        """What the daemon does."""
        resolved = self.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=resolved
        ) as context:
            found = resolved.get_sensor_def(SENSOR).evaluate_tick(context)
        self.cursor = found.cursor
        if not found.run_requests:
            return None
        (request,) = found.run_requests
        job = self.definitions.resolve_job_def(JOB)
        return job.execute_in_process(instance=self.instance, run_config=request.run_config)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def deployment(memory: MemoryIOManager, instance: dg.DagsterInstance) -> Deployment:
    made = Deployment(memory, instance)
    assert made.tick() is None
    return made


def test_the_sensor_is_off_until_somebody_turns_it_on(deployment: Deployment) -> None:
    sensor = deployment.definitions.get_repository_def().get_sensor_def(SENSOR)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_the_objects_of_a_wiped_asset_go(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    deployment = Deployment(manager, instance)
    assert deployment.tick() is None
    for asset in (orders, nested):
        deployment.run(asset)
    plant(manager, "orders/data.csv", b"an older format")
    plant(manager, "orders/note.txt", b"of somebody else")
    time.sleep(0.01)
    deployment.wipe(orders)
    assert deployment.tick() is not None
    assert keys(manager) == ["orders/nested/data.json", "orders/note.txt"]
    assert deployment.tick() is None


def test_the_objects_of_all_partitions_go(deployment: Deployment) -> None:
    for day in ("mon", "tue"):
        deployment.run(daily, day)
        for shop in ("a", "b"):
            deployment.run(cells, str(dg.MultiPartitionKey({"day": day, "shop": shop})))
    deployment.run(orders)
    assert len(keys(deployment.manager)) == 7
    deployment.wipe(daily)
    deployment.tick()
    deployment.wipe(cells)
    deployment.tick()
    assert keys(deployment.manager) == ["orders/data.json"]


def test_the_objects_of_wiped_partitions_go(deployment: Deployment) -> None:
    for day in DAYS.get_partition_keys():
        deployment.run(daily, day)
        deployment.run(cells, str(dg.MultiPartitionKey({"day": day, "shop": "a"})))
    # Dagster+ takes those partitions out of its log; here that is possible for whole assets only.
    deployment.instance.wipe_assets([daily.key, cells.key])
    deployment.cursor = None
    assert deployment.tick() is None
    deployment.tell(daily, ["mon", "wed"])
    deployment.tell(cells, ["tue|a"])
    deployment.tick()
    left = [key for key in keys(deployment.manager) if not key.startswith(".")]
    assert left == ["daily/partition=tue/data.json", "own/a/mon/cells.json", "own/a/wed/cells.json"]


def test_what_was_materialized_again_stays(deployment: Deployment) -> None:
    deployment.run(orders)
    deployment.run(daily, "mon")
    deployment.run(daily, "tue")
    deployment.wipe(orders)
    deployment.instance.wipe_assets([daily.key])
    deployment.cursor = None
    deployment.tick()
    # The clock of the bucket may be behind: only the log says that these came after the wipe.
    deployment.run(orders)
    deployment.run(daily, "tue")
    deployment.tell(orders)
    deployment.tell(daily, ["mon", "tue"])
    deployment.tick()
    left = [key for key in keys(deployment.manager) if not key.startswith(".")]
    assert left == ["daily/partition=tue/data.json", "orders/data.json"]


def test_what_was_written_after_the_wipe_stays(deployment: Deployment) -> None:
    deployment.run(orders)
    deployment.wipe(orders)
    time.sleep(0.01)
    # A run that has stored its value, and has not told Dagster yet.
    store_of(deployment.manager).put("orders/data.json", Body.of(b"7"))
    deployment.tick()
    assert keys(deployment.manager) == ["orders/data.json"]


def test_what_was_wiped_before_the_sensor_was_turned_on_stays(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    deployment = Deployment(memory, instance)
    deployment.run(orders)
    deployment.wipe(orders)
    assert deployment.tick() is None
    assert deployment.tick() is None
    assert keys(memory) == ["orders/data.json"]


def test_assets_of_others_are_left_alone(deployment: Deployment) -> None:
    @dg.asset
    def dropped() -> int:
        return 1

    deployment.run(dropped)
    deployment.wipe(dropped)
    result = deployment.tick()
    assert result is not None
    assert keys(deployment.manager) == ["dropped/data.json"]


def test_outputs_of_old_runs_go_once_a_day(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    @dg.op
    def number() -> int:
        return 1

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        number()

    finished = job.execute_in_process(instance=instance).run_id
    running = dg.DagsterRun(job_name="job", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(running)
    plant(memory, f".runs/{running.run_id}/number/result/data.json", b"1")
    plant(memory, ".runs/unknown/number/result/data.json", b"1")
    plant(memory, "orders/data.json", b"1")
    young = Deployment(memory, instance, runs_older_than=timedelta(days=30))
    assert young.tick() is not None
    assert len(keys(memory)) == 4
    old = Deployment(memory, instance, runs_older_than=timedelta(0))
    old.tick()
    assert finished not in str(keys(memory))
    assert keys(memory) == [f".runs/{running.run_id}/number/result/data.json", "orders/data.json"]
    assert old.tick() is None
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    old.cursor = json.dumps({**json.loads(old.cursor or ""), "day": yesterday})
    assert old.tick() is not None


def test_layouts_that_cannot_tell_refuse_to_delete(instance: dg.DagsterInstance) -> None:
    manager = MemoryIOManager(layout="legacy:s3", format="pickle")
    deployment = Deployment(manager, instance)
    deployment.tick()
    deployment.run(orders)
    deployment.wipe(orders)
    with pytest.raises(Exception, match="legacy"):
        deployment.tick()
    assert len(keys(manager)) == 1
