"""An asset is given partitions, other ones, or loses them; and partitions that are refused.

Dagster's file system manager deletes what was stored before. Here both lie beside each other, and
each is found through the definition that it was written by.
"""

from typing import Any

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager, PartitionError, StoreError

from tests.integration.scenarios import DAYS, HOURS, LETTERS, keyed, load, plant_partitions
from tests.integration.support import MakeManager, keys, materialized, ranged, run, snapshot

GRID = dg.MultiPartitionsDefinition({"day": DAYS, "letter": LETTERS})
#: Both spellings of each: the definition of the asset, and a partition key in it.
WHOLE: tuple[None, None] = (None, None)
BY_DAY = (DAYS, "2024-01-02")
BY_HOUR = (HOURS, "2024-01-31-02:00")
BY_LETTER = (LETTERS, "a")
BY_CELL = (GRID, "2024-01-02|a")

LAYOUTS = pytest.mark.parametrize(
    "layout",
    [
        "hive",
        "legacy",
        "template:{asset}[/p={partition}][/d={dim.day}/{dim.letter}]/data.{ext}",
    ],
    ids=["hive", "legacy", "template"],
)
Stage = tuple[dg.PartitionsDefinition[Any] | None, str | None]


def orders(definition: dg.PartitionsDefinition[Any] | None, value: str = "") -> Any:
    """The asset, as some version of the code defines it."""

    @dg.asset(name="orders", partitions_def=definition)
    def made() -> str:
        return value

    return made


def write(manager: BucketIOManager, stage: Stage, value: str) -> str:
    """Materialise the asset with this definition, and give the URI that the event has."""
    definition, key = stage
    (event,) = materialized(run([orders(definition, value)], manager, partition_key=key))
    assert event.partition == key
    uri: str = event.metadata["dagster/uri"]
    return uri


def read(manager: BucketIOManager, stage: Stage) -> Any:
    """Outside of a run, by this definition."""
    definition, key = stage
    definitions = dg.Definitions([orders(definition)], resources={"io_manager": manager})
    return definitions.load_asset_value("orders", partition_key=key)


def load_in_run(manager: BucketIOManager, stage: Stage) -> Any:
    """In a run of a consumer, by this definition."""
    definition, key = stage
    return load(manager, orders(definition), into=definition, partition_key=key)


@LAYOUTS
@pytest.mark.parametrize(
    "stages",
    [
        [WHOLE, BY_DAY, BY_CELL, WHOLE],
        [BY_CELL, BY_DAY, WHOLE, BY_DAY],
    ],
    ids=["from-whole", "from-cells"],
)
def test_there_and_back(make_manager: MakeManager, layout: str, stages: list[Stage]) -> None:
    manager = make_manager(layout=layout)
    expected: dict[Stage, str] = {}
    places: dict[Stage, str] = {}
    for number, stage in enumerate(stages):
        was = snapshot(manager)
        expected[stage] = f"value {number}"
        uri = write(manager, stage, expected[stage])
        # Its own value is replaced, if there was one, and nothing else.
        assert places.setdefault(stage, uri) == uri
        key = uri.removeprefix(f"{make_manager.scheme}/")
        now = snapshot(manager)
        assert now.pop(key)
        was.pop(key, None)
        assert now == was
    assert len(set(places.values())) == len(keys(manager)) == 3
    for stage, value in expected.items():
        assert (read(manager, stage), load_in_run(manager, stage)) == (value, value)


@LAYOUTS
def test_all_partitions_are_those_of_the_definition(make_manager: MakeManager, layout: str) -> None:
    """Whatever else lies in the asset's folder, from whichever definition."""
    manager = make_manager(layout=layout)
    stages: list[Stage] = [WHOLE, BY_DAY, BY_HOUR, BY_LETTER, BY_CELL]
    for stage in stages:
        write(manager, stage, str(stage[1]))
    assert len(keys(manager)) == len(stages)
    assert load(manager, orders(None)) == "None"
    skip = {"dagster_buckets/on_missing": "skip"}
    for definition, key in stages[1:]:
        found = load(manager, orders(definition), as_type=dict[str, str], metadata=skip)
        assert found == {key: key}


@pytest.mark.parametrize("make_manager", ["memory", "s3", "gcs"], indirect=True)
@pytest.mark.parametrize("stages", [(WHOLE, BY_DAY), (BY_DAY, WHOLE)], ids=["there", "back"])
def test_pickles_under_the_names_of_dagster_in_a_bucket(
    make_manager: MakeManager, stages: tuple[Stage, Stage]
) -> None:
    manager = make_manager(layout="legacy", format="pickle")
    for number, stage in enumerate(stages):
        write(manager, stage, f"value {number}")
    assert keys(manager) == ["orders", "orders/2024-01-02"]
    for number, stage in enumerate(stages):
        assert read(manager, stage) == load_in_run(manager, stage) == f"value {number}"


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
@pytest.mark.parametrize("stages", [(WHOLE, BY_DAY), (BY_DAY, WHOLE)], ids=["there", "back"])
def test_pickles_under_the_names_of_dagster_on_a_disk_are_in_the_way_and_stay(
    make_manager: MakeManager, stages: tuple[Stage, Stage]
) -> None:
    """A file cannot be a folder. Dagster's manager deletes the file; we refuse."""
    manager = make_manager(layout="legacy", format="pickle")
    before, after = stages
    write(manager, before, "precious")
    was = snapshot(manager)
    with pytest.raises(StoreError, match="in the way") as caught:
        write(manager, after, "second")
    assert caught.value.hint
    assert snapshot(manager) == was
    assert read(manager, before) == load_in_run(manager, before) == "precious"


def test_assets_that_are_equal_in_all_but_partitions_feed_one_consumer(
    manager: BucketIOManager,
) -> None:
    """While a team moves over, one code location has the old definition, another the new one."""
    write(manager, WHOLE, "whole")
    for key in ("c", "a", "b"):
        write(manager, (LETTERS, key), key)
    assert load(manager, orders(None), into=LETTERS, partition_key="a") == "whole"
    found = load(manager, orders(LETTERS), as_type=dict[str, str])
    assert list(found.items()) == [("c", "c"), ("a", "a"), ("b", "b")]
    for part, value in (("a", "a"), ("b", "b")):
        assert load(manager, orders(LETTERS), into=LETTERS, partition_key=part) == value


@pytest.mark.parametrize(
    ("definition", "start", "end"),
    [
        (DAYS, "2024-01-03", "2024-01-02"),
        (HOURS, "2024-01-31-05:00", "2024-01-31-04:00"),
        (LETTERS, "b", "c"),
    ],
    ids=["days", "hours", "letters"],
)
def test_a_reversed_range_is_refused(
    manager: BucketIOManager,
    definition: dg.PartitionsDefinition[Any],
    start: str,
    end: str,
) -> None:
    for returned in ({}, {start: "x", end: "y"}, "x"):
        with pytest.raises(PartitionError, match="holds no partition") as caught:
            run([orders_over_a_range(definition, returned)], manager, tags=ranged(start, end))
        assert "asset 'orders'" in str(caught.value)
        assert "reversed" in str(caught.value)
        assert keys(manager) == []


def orders_over_a_range(definition: dg.PartitionsDefinition[Any], returned: Any) -> Any:
    @dg.asset(
        name="orders", partitions_def=definition, backfill_policy=dg.BackfillPolicy.single_run()
    )
    def made() -> Any:
        return returned

    return made


def test_the_empty_partition_key_is_refused_whatever_the_partitions_are(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    names = dg.DynamicPartitionsDefinition(name="names")
    instance.add_dynamic_partitions("names", ["", "a"])
    static = dg.StaticPartitionsDefinition(["", "a"])
    for definition in (names, static):
        with pytest.raises(PartitionError, match="the run has no partition key") as caught:
            run([orders(definition, "x")], manager, partition_key="", instance=instance)
        assert "asset 'orders'" in str(caught.value)
        assert caught.value.hint
        assert keys(manager) == []
    # What another tool stored under it is no value of the whole asset.
    plant_partitions(manager, "orders", [""])
    definitions = dg.Definitions([orders(static)], resources={"io_manager": manager})
    assert definitions.load_asset_value("orders", partition_key="") == "orders "


def test_an_asset_with_partitions_is_not_written_as_a_whole(memory: MemoryIOManager) -> None:
    with pytest.raises(PartitionError, match="the run has no partition key"):
        run([orders(LETTERS, "x")], memory)
    assert keys(memory) == []


def test_a_reversed_range_is_refused_on_load_too(memory: MemoryIOManager) -> None:
    letters = keyed("letters", LETTERS)
    plant_partitions(memory, "letters", LETTERS.get_partition_keys())
    start, end = LETTERS.get_partition_keys()[-1], LETTERS.get_partition_keys()[0]

    @dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.single_run())
    def consumer(letters: dict[str, str]) -> None:
        raise AssertionError(letters)

    with pytest.raises(PartitionError, match="holds no partition"):
        run([letters, consumer], memory, selection=[consumer], tags=ranged(start, end))
    with dg.DagsterInstance.ephemeral() as instance:
        defs = dg.Definitions(assets=[letters], resources={"io_manager": memory})
        loader = defs.get_asset_value_loader(instance=instance)
        with pytest.raises(PartitionError, match="is the range reversed"):
            loader.load_asset_value(
                letters.key, partition_key_range=dg.PartitionKeyRange(start, end)
            )
