"""Moving what a stock manager wrote to the layout hive, with Dagster's own means."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_buckets_local import LocalIOManager

from tests.compat.test_stock_both_ways import MULTI, number_of, run

pytestmark = [pytest.mark.usefixtures("alone"), pytest.mark.filterwarnings("default")]

KEYS = ["2024-01-01-00:00", "1.5", "x/y"]
ONE = ["only"]


@dg.asset(key=["shop", "customers"])
def customers() -> Any:
    return {"n": number_of("customers")}


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(KEYS))
def orders(context: dg.AssetExecutionContext) -> Any:
    return {"n": number_of(context.partition_key)}


@dg.asset(partitions_def=MULTI)
def sales(context: dg.AssetExecutionContext) -> Any:
    return (number_of(str(context.partition_key)),)


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(ONE))
def single(context: dg.AssetExecutionContext) -> Any:
    return {"only": number_of(context.partition_key)}


PARTITIONED = [(orders, KEYS), (sales, MULTI.get_partition_keys()), (single, ONE)]
ASSETS = [customers, orders, sales, single]


@pytest.mark.parametrize(
    ("assets", "options"),
    [
        pytest.param([customers, orders, single], {}, id="one dimension"),
        pytest.param(
            [customers, orders, sales, single],
            {"batch_partitions": True},
            id="several dimensions",
        ),
    ],
)
def test_moving_to_hive(
    tmp_path: Path, instance: dg.DagsterInstance, assets: list[Any], options: dict[str, Any]
) -> None:
    source = dg.FilesystemIOManager(base_dir=str(tmp_path / "old"))
    target = LocalIOManager(root=str(tmp_path / "new"), format="pickle")
    wanted = [(asset, keys) for asset, keys in PARTITIONED if asset in assets]
    run([customers], source, instance)
    for asset, keys in wanted:
        for key in keys:
            run([asset], source, instance, partition_key=key)
    result = dg.migrate_io_storage(
        definitions=dg.Definitions(assets=assets, resources={"io_manager": source}),
        destination_io_manager=target,
        instance=instance,
        **options,
    )
    assert not result.failed
    values = []
    for manager in (source, target):
        definitions = dg.Definitions(assets=assets, resources={"io_manager": manager})
        found = {"": definitions.load_asset_value(["shop", "customers"], instance=instance)}
        for asset, keys in wanted:
            for key in keys:
                found[f"{asset.key.to_user_string()} {key}"] = definitions.load_asset_value(
                    asset.key, instance=instance, partition_key=key
                )
        values.append(found)
    assert values[0] == values[1]
    root = tmp_path / "new"
    moved = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert len(moved) == len(values[0]) == 1 + sum(len(keys) for _, keys in wanted)
    assert "orders/partition=x%2Fy/data.pickle" in moved
    assert sales not in assets or "sales/date=2024-01-01/region=us%20west/data.pickle" in moved


def test_what_cannot_be_named_is_not_moved(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    # Without batches Dagster hands over "2024-01-01|eu" and does not say that it is of two
    # dimensions.
    source = dg.FilesystemIOManager(base_dir=str(tmp_path / "old"))
    target = LocalIOManager(root=str(tmp_path / "new"), format="pickle")
    run([sales], source, instance, partition_key=MULTI.get_partition_keys()[0])
    result = dg.migrate_io_storage(
        definitions=dg.Definitions(assets=[sales], resources={"io_manager": source}),
        destination_io_manager=target,
        instance=instance,
    )
    assert "2024-01-01|eu" in str(result.failed)
    assert result.migrated == ()
    assert list(target.values.store.scan()) == []
