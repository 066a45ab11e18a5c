"""``dagster-buckets migrate`` from and to each of Dagster's own managers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_buckets.cli import cli
from dagster_buckets.cli.event_log import EventLog
from dagster_buckets_local import LocalIOManager

from tests.compat.support import PLACES, Place
from tests.compat.test_stock_both_ways import run

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.parametrize("new_place", PLACES, indirect=True),
]

DAYS = dg.StaticPartitionsDefinition(["d1", "d2"])
CELLS = dg.MultiPartitionsDefinition(
    {"day": DAYS, "shop": dg.StaticPartitionsDefinition(["s 1", "s2"])}
)
#: What the module that the command loads gives it.
HELD: dict[str, dg.Definitions] = {}
MODULE = f"from {__name__} import HELD\ndefs = HELD['defs']\n"


def assets_of(place: Place) -> list[Any]:
    def table():  # type: ignore[no-untyped-def]
        return place.value(1)

    def orders(context):  # type: ignore[no-untyped-def]
        return place.value(int(context.partition_key[1:]))

    def cells():  # type: ignore[no-untyped-def]
        return place.value(3)

    made = []
    for function, partitions in ((table, None), (orders, DAYS), (cells, CELLS)):
        function.__annotations__["return"] = place.annotation
        made.append(dg.asset(key_prefix="shop", partitions_def=partitions)(function))
    return made


def loaded(assets: list[Any], manager: Any, annotation: Any) -> dict[str, Any]:
    definitions = dg.Definitions(assets=assets, resources={"io_manager": manager})
    found = {}
    for asset in assets:
        keys = asset.partitions_def.get_partition_keys() if asset.partitions_def else [None]
        for key in keys:
            found[f"{asset.key} {key}"] = definitions.load_asset_value(
                asset.key, partition_key=key, python_type=annotation
            )
    return found


@pytest.fixture
def migrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> Callable[..., Any]:
    @contextmanager
    def opened() -> Iterator[EventLog]:
        yield EventLog(instance)

    monkeypatch.setattr(EventLog, "opened_if_there", opened)

    def migrated(assets: list[Any], old: Any, new: Any) -> Any:
        HELD["defs"] = dg.Definitions(assets=assets, resources={"io_manager": old, "new": new})
        # A module is loaded once only.
        path = tmp_path / f"shop_{secrets.token_hex(4)}.py"
        path.write_text(MODULE)
        command = ["migrate", "-f", str(path), "io_manager", "new", "--json"]
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return migrated


def test_there_and_back(
    new_place: Callable[[], Place],
    migrate: Callable[..., Any],
    tmp_path: Path,
    instance: dg.DagsterInstance,
) -> None:
    place, back = new_place(), new_place()
    assets = assets_of(place)
    for asset in assets:
        keys = asset.partitions_def.get_partition_keys() if asset.partitions_def else [None]
        for key in keys:
            run([asset], place.theirs, instance, partition_key=key)
    hive = LocalIOManager(root=str(tmp_path / "lake"), format=place.ours.format)

    there = migrate(assets, place.theirs, hive)
    assert (there["converted"], there["failed"]) == (7, [])
    numbers = {name: place.number(v) for name, v in loaded(assets, hive, place.annotation).items()}
    assert sorted(numbers.values()) == [1, 1, 2, 3, 3, 3, 3]
    assert migrate(assets, place.theirs, hive)["already_there"] == 7

    again = migrate(assets, hive, back.theirs)
    assert (again["converted"], again["failed"]) == (7, [])
    assert back.keys() == place.keys()
    theirs = loaded(assets, back.theirs, place.annotation)
    assert {name: place.number(value) for name, value in theirs.items()} == numbers
    assert migrate(assets, hive, back.theirs)["already_there"] == 7


def test_the_bytes_go_where_our_manager_takes_theirs_place(
    new_place: Callable[[], Place],
    migrate: Callable[..., Any],
    tmp_path: Path,
    instance: dg.DagsterInstance,
) -> None:
    place = new_place()
    assets = assets_of(place)
    for asset in assets:
        keys = asset.partitions_def.get_partition_keys() if asset.partitions_def else [None]
        for key in keys:
            run([asset], place.theirs, instance, partition_key=key)
    hive = LocalIOManager(root=str(tmp_path / "lake"), format=place.ours.format)

    there = migrate(assets, place.ours, hive)

    assert (there["copied"], there["converted"], there["failed"]) == (7, 0, [])
    copies = [path.read_bytes() for path in (tmp_path / "lake").rglob("data.*")]
    assert sorted(copies) == sorted(place.objects().values())
    ours = loaded(assets, hive, place.annotation)
    assert sorted(place.number(value) for value in ours.values()) == [1, 1, 2, 3, 3, 3, 3]
