"""Faults 9 and 17: whole runs over a network that forgets, and a bucket that is deleted."""

import random
from collections.abc import Callable

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager
from dagster_buckets.errors import BucketNotFoundError

from tests.faults.conftest import SERVERS, Site
from tests.faults.managers import manager_of
from tests.faults.proxy import Fault, Request

_MANY = 300
_PARTITIONS = dg.StaticPartitionsDefinition([f"p{number:04}" for number in range(_MANY)])


@dg.asset(partitions_def=_PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
def many(context: dg.AssetExecutionContext) -> dict[str, int]:
    return {key: number for number, key in enumerate(context.partition_keys)}


@dg.asset
def total(many: dict[str, int]) -> dict[str, int]:
    return many


@pytest.fixture(params=SERVERS)
def site(
    request: pytest.FixtureRequest,
    make_site: Callable[[str], Site],
) -> Site:
    return make_site(request.param)


def write(manager: BucketIOManager, instance: dg.DagsterInstance) -> None:
    tags = {
        "dagster/asset_partition_range_start": "p0000",
        "dagster/asset_partition_range_end": f"p{_MANY - 1:04}",
    }
    done = dg.materialize([many], resources={"io_manager": manager}, tags=tags, instance=instance)
    assert done.success


@pytest.mark.parametrize("format", ["json", "auto"])
def test_a_404_that_passes_drops_no_partition(site: Site, rng: random.Random, format: str) -> None:  # noqa: A002
    manager = manager_of(site.backend, site.settings, on_missing="skip", format=format)
    with dg.DagsterInstance.ephemeral() as instance:
        write(manager, instance)

        def forgetful(request: Request) -> Fault | None:
            asks = request.method in {"GET", "HEAD"} and "data.json" in request.path
            return "404" if asks and rng.random() < 0.1 else None

        site.proxy.plan = forgetful
        done = dg.materialize(
            [many, total],
            selection=[total],
            resources={"io_manager": manager},
            instance=instance,
        )
        assert done.success
        site.proxy.plan = lambda _: None
        found = done.asset_value("total")
    assert len(found) == _MANY
    assert site.proxy.done["404"] >= _MANY / 60


def test_a_deleted_bucket_is_never_missing_partitions(site: Site) -> None:
    manager = manager_of(site.backend, site.settings, on_missing="skip")
    with dg.DagsterInstance.ephemeral() as instance:
        write(manager, instance)

        @dg.asset(deps=[many])
        def deletes() -> None:
            site.delete_bucket()

        @dg.asset(name="total", deps=[deletes])
        def after(many: dict[str, int]) -> int:
            return len(many)

        with pytest.raises(BucketNotFoundError) as caught:
            dg.materialize(
                [many, deletes, after],
                selection=[deletes, after],
                resources={"io_manager": manager, "nothing": dg.mem_io_manager},
                instance=instance,
            )
    assert site.settings["bucket"] in str(caught.value)
