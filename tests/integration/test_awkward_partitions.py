"""Partitions where they hurt: hostile names, ten thousand at once, loops, processes, neighbours."""

import asyncio
import json
import time
import unicodedata
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager

from tests.integration import partition_processes
from tests.integration.scenarios import (
    LETTERS,
    keyed,
    load,
    load_pairs,
    pairs,
    plant_partitions,
    value_of,
    write,
)
from tests.integration.support import S3_KEYS, MakeManager, keys, raw, run

NAMES = dg.DynamicPartitionsDefinition(name="names")
#: Each could be taken for another, for a folder, or for something of a server's.
HOSTILE = [
    *("a/b", "a//b", "/a", "a/", "..", "../../etc/passwd", ".", "./a", "a\\b"),
    *("%", "%2F", "a%2Fb", "=", "partition=a", "a=b", "|", "a|b", " ", "a b", " a", "a "),
    *("é", unicodedata.normalize("NFD", "é"), "日本", "\U0001f600", "\u200b"),
    *("data", "data.json", "None", "a", "A", "~", "?#&+", "[a]", "'\"", "x" * 200, "x" * 2000),
    "é" * 500,
]

names = keyed("names", NAMES)


def test_hostile_names_of_dynamic_partitions(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    assert len(set(HOSTILE)) == len(HOSTILE)
    instance.add_dynamic_partitions("names", HOSTILE)
    plant_partitions(manager, "names", HOSTILE)
    assert len(keys(manager)) == len(HOSTILE)
    # All at once, in the order in which they were added.
    assert load_pairs(manager, names, instance=instance) == pairs("names", HOSTILE)


@pytest.mark.parametrize("make_manager", ["local", "gcs"], indirect=True)
def test_hostile_names_are_written_and_read_one_by_one(
    make_manager: MakeManager, instance: dg.DagsterInstance
) -> None:
    manager = make_manager()
    worst = [*HOSTILE[:6], *("%2F", "=", "a|b", " ", "é", HOSTILE[22], "x" * 2000)]
    instance.add_dynamic_partitions("names", worst)

    @dg.asset(partitions_def=NAMES)
    def again(names: str) -> str:
        return names

    for name in worst:
        result = run([names, again], manager, partition_key=name, instance=instance)
        assert result.output_for_node("again") == value_of("names", name)
    # None has written over another's.
    assert len(keys(manager)) == 2 * len(worst)
    both = [names, again]
    assert load_pairs(manager, both, instance=instance) == [
        (name, value_of("names", name)) for name in worst
    ]


@pytest.mark.parametrize(
    "make_manager", ["memory", pytest.param("local", marks=pytest.mark.long)], indirect=True
)
def test_ten_thousand_partitions_in_one_load(make_manager: MakeManager) -> None:
    manager = make_manager()
    many = [f"p{number:05}" for number in range(10_000)]
    # Another order than that of the names.
    many = [*many[5_000:], *reversed(many[:5_000])]
    definition = dg.StaticPartitionsDefinition(many)
    plant_partitions(manager, "many", sorted(many))
    began = time.monotonic()
    found = load_pairs(manager, keyed("many", definition))
    assert found == pairs("many", many)
    # Seconds; a look-up that were quadratic would take minutes.
    assert time.monotonic() - began < 60


def test_two_managers_side_by_side_in_one_run(make_manager: MakeManager) -> None:
    lake = make_manager("lake", format="parquet")
    old = MemoryIOManager(name=f"old-{make_manager.scheme}", layout="legacy", format="pickle")

    @dg.asset(partitions_def=LETTERS, io_manager_key="lake")
    def table(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"key": [context.partition_key]})

    @dg.asset(partitions_def=LETTERS, io_manager_key="old")
    def note(table: pl.DataFrame) -> set[str]:
        return set(table["key"])

    @dg.asset(io_manager_key="lake")
    def joined(table: pl.DataFrame, note: dict[str, set[str]]) -> pl.DataFrame:
        assert list(note.items()) == [(key, {key}) for key in "cab"]
        return table

    resources = {"lake": lake, "old": old}
    for key in ("a", "b"):
        run([table, note], lake, partition_key=key, resources=resources)
    result = run([table, note, joined], lake, partition_key="c", resources=resources)
    assert result.output_for_node("joined")["key"].to_list() == ["c", "a", "b"]
    assert keys(lake) == [
        "joined/data.parquet",
        *(f"table/partition={key}/data.parquet" for key in "abc"),
    ]
    assert keys(old) == ["note/a", "note/b", "note/c"]


# Dagster itself makes a loop of its own for the resources of each run, and cannot close it here.
@pytest.mark.filterwarnings("ignore:coroutine 'BaseEventLoop.shutdown_asyncgens'")
def test_partitions_are_loaded_within_a_running_event_loop(manager: BucketIOManager) -> None:
    """As a notebook does, and whoever calls Dagster from async code."""
    letters = keyed("letters", LETTERS)
    definitions = dg.Definitions([letters], resources={"io_manager": manager})

    async def cell() -> list[Any]:
        assert asyncio.get_running_loop().is_running()
        write(manager, letters, "b", "c", "a")
        with definitions.get_asset_value_loader() as loader:
            some = loader.load_asset_value(
                "letters", partition_key_range=dg.PartitionKeyRange("c", "a")
            )
        assert isinstance(some, dict)
        return [
            load_pairs(manager, letters),
            load(manager, letters, as_type=list[str]),
            list(some.items()),
            definitions.load_asset_value("letters", partition_key="b"),
        ]

    expected = pairs("letters", "cab")
    assert asyncio.run(cell()) == [
        expected,
        [value for _, value in expected],
        expected[:2],
        "letters b",
    ]


# Each process imports Dagster: seconds alone, a minute on a machine that is busy.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "make_manager",
    [
        pytest.param("local", marks=pytest.mark.long),
        "s3",
        pytest.param("gcs", marks=pytest.mark.long),
    ],
    indirect=True,
)
def test_partitioned_assets_in_processes_of_their_own(
    make_manager: MakeManager,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IT_SECRET", S3_KEYS["aws_secret_access_key"])
    manager: Any = make_manager()
    local = make_manager.backend == "local"
    arguments: Any = (
        make_manager.backend,
        manager.root if local else manager.bucket,
        "" if local else manager.endpoint_url,
    )
    job = dg.build_reconstructable_job(partition_processes.__name__, "in_processes", arguments)
    write(manager, partition_processes.parts, "b", "c")
    folder = str(tmp_path_factory.mktemp("dagster"))
    with (
        dg.DagsterInstance.local_temp(folder) as instance,
        dg.execute_job(job, instance, tags={"dagster/partition": "a"}) as result,
    ):
        assert result.success
    # Each of the two steps looked that it was in another process than the other.
    assert json.loads(raw(manager, "gathered/data.json")) == [["c", "a", "b"], ["c", "a", "b"]]
    assert keys(manager) == [
        "gathered/data.json",
        *(f"parts/partition={key}/data.json" for key in "abc"),
    ]
