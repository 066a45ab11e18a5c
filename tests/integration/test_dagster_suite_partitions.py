"""What Dagster's own suites say about partitions, as promises of ours, on every backend.

After the scenarios of ``test_upath_io_manager``, ``test_fs_io_manager`` and those of the S3 and GCS
managers. Where we differ on purpose, ``docs/explanation/differences.md`` says so.
"""

from typing import Any

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager, ObjectNotFoundError, PartitionError

from tests.integration.scenarios import (
    DAYS,
    HOURS,
    LETTERS,
    PREVIOUS,
    keyed,
    load,
    load_pairs,
    pairs,
    plant_partitions,
    value_of,
    write,
)
from tests.integration.support import MakeManager, keys, logged, materialized, plant, ranged, run

hourly, daily, letters = keyed("hourly", HOURS), keyed("daily", DAYS), keyed("letters", LETTERS)
A_DAY = [f"2024-01-31-{hour:02}:00" for hour in range(24)]
SINCE_YESTERDAY = dg.TimeWindowPartitionMapping(start_offset=-1)


def test_a_day_is_given_its_24_hours(manager: BucketIOManager) -> None:
    plant_partitions(manager, "hourly", A_DAY)
    found = load_pairs(manager, hourly, into=DAYS, partition_key="2024-01-31")
    assert found == pairs("hourly", A_DAY)


@pytest.mark.parametrize("annotated", [True, False], ids=["any", "bare"])
def test_without_an_annotation_several_partitions_are_a_dict(
    manager: BucketIOManager, *, annotated: bool
) -> None:
    plant_partitions(manager, "hourly", A_DAY)
    found = []

    @dg.asset(name="day", partitions_def=DAYS)
    def with_any(hourly: Any) -> None:
        found.append(hourly)

    @dg.asset(name="day", partitions_def=DAYS)
    def bare(hourly) -> None:  # type: ignore[no-untyped-def]
        found.append(hourly)

    day = with_any if annotated else bare
    run([hourly, day], manager, selection=[day], partition_key="2024-01-31")
    assert [type(value) for value in found] == [dict]
    assert list(found[0].items()) == pairs("hourly", A_DAY)


@pytest.mark.parametrize("annotation", [str, int])
def test_an_annotation_for_one_value_is_told_that_there_are_several(
    manager: BucketIOManager, annotation: type
) -> None:
    plant_partitions(manager, "hourly", A_DAY)
    spelled = annotation.__name__
    with pytest.raises(PartitionError, match=f"24 partitions .* cannot be one {spelled}") as caught:
        load(manager, hourly, as_type=annotation, into=DAYS, partition_key="2024-01-31")
    assert caught.value.hint == f"annotate the input with dict[str, {spelled}]"


@pytest.mark.parametrize("annotation", [dict, list])
def test_a_bare_dict_or_list_holds_partitions_of_any_type(
    memory: MemoryIOManager, annotation: type
) -> None:
    plant_partitions(memory, "hourly", A_DAY)
    found = load(memory, hourly, as_type=annotation, into=DAYS, partition_key="2024-01-31")
    expected = pairs("hourly", A_DAY)
    assert found == (dict(expected) if annotation is dict else [value for _, value in expected])


def test_a_run_of_one_partition_feeds_an_asset_without_partitions_all_of_them(
    manager: BucketIOManager,
) -> None:
    @dg.asset(ins={"letters": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())})
    def everything(letters: dict[str, str]) -> dict[str, str]:
        return letters

    write(manager, letters, "b", "c")
    result = run([letters, everything], manager, partition_key="a")
    assert list(result.output_for_node("everything").items()) == pairs("letters", "cab")
    events = {event.label: event.partition for event in materialized(result)}
    assert events == {"letters": "a", "everything": None}
    assert "everything/data.json" in keys(manager)


def test_partitions_of_several_dimensions_come_by_their_joined_keys(
    manager: BucketIOManager,
) -> None:
    """Dimension names sort before their values are joined, whatever they are called."""
    grid = dg.MultiPartitionsDefinition(
        {"a": dg.StaticPartitionsDefinition(["a", "b"]), "1": dg.StaticPartitionsDefinition(["1"])}
    )
    up = keyed("up", grid)

    @dg.asset
    def down(up) -> list[Any]:  # type: ignore[no-untyped-def]
        return [[str(key), value] for key, value in up.items()]

    write(manager, up, str(dg.MultiPartitionKey({"a": "b", "1": "1"})))
    key = dg.MultiPartitionKey({"a": "a", "1": "1"})
    result = run([up, down], manager, partition_key=key)
    assert result.output_for_node("down") == [list(p) for p in pairs("up", ["1|a", "1|b"])]
    assert keys(manager) == [
        "down/data.json",
        "up/1=1/a=a/data.txt",
        "up/1=1/a=b/data.txt",
    ]


def test_assets_of_several_dimensions_read_each_other_by_cell(manager: BucketIOManager) -> None:
    grid = dg.MultiPartitionsDefinition({"letter": LETTERS, "day": DAYS})
    up = keyed("up", grid)

    @dg.asset(partitions_def=grid)
    def down(up: str) -> str:
        return f"down of {up}"

    for cell in ({"letter": "a", "day": "2024-01-02"}, {"day": "2024-01-03", "letter": "b"}):
        key = dg.MultiPartitionKey(cell)
        result = run([up, down], manager, partition_key=key)
        assert result.output_for_node("down") == f"down of {value_of('up', key)}"
    assert keys(manager) == [
        f"{asset}/day={day}/letter={letter}/data.txt"
        for asset in ("down", "up")
        for day, letter in (("2024-01-02", "a"), ("2024-01-03", "b"))
    ]


def test_what_a_run_without_partitions_loads_was_written_by_runs_with(
    manager: BucketIOManager,
) -> None:
    first, second = write(manager, letters, "b", "a")
    assert [event.partition for event in materialized(first) + materialized(second)] == ["b", "a"]
    only_two = dg.SpecificPartitionsPartitionMapping(["a", "b"])
    assert load_pairs(manager, letters, by=only_two) == pairs("letters", "ab")
    # As an external asset, too, of which only the key and the partitions are known.
    spec = dg.AssetSpec("letters", partitions_def=LETTERS)
    assert load_pairs(manager, spec, by=only_two) == pairs("letters", "ab")


@pytest.mark.parametrize("as_type", [Any, str])
def test_a_partition_of_the_same_name_is_one_value(manager: BucketIOManager, as_type: Any) -> None:
    @dg.asset(partitions_def=DAYS, ins={"daily": dg.AssetIn(dagster_type=as_type)})
    def again(daily: Any) -> str:
        assert isinstance(daily, str)
        return f"again {daily}"

    for day in ("2024-01-01", "2024-02-29"):
        result = run([daily, again], manager, partition_key=day)
        assert result.output_for_node("again") == f"again daily {day}"


def test_partition_keys_with_dots_do_not_lose_what_follows(manager: BucketIOManager) -> None:
    ratios = ["0.0-to-1.0", "1.0-to-2.0", "1", "1.json", "1.0"]
    definition = dg.StaticPartitionsDefinition(ratios)

    @dg.asset(partitions_def=definition)
    def share(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {"key": context.partition_key}

    for ratio in ratios:
        run([share], manager, partition_key=ratio)
    assert keys(manager) == sorted(f"share/partition={ratio}/data.json" for ratio in ratios)
    found = load(manager, share, as_type=dict[str, dict[str, str]])
    assert list(found.items()) == [(ratio, {"key": ratio}) for ratio in ratios]


@pytest.mark.parametrize(
    ("format_name", "ending"), [("pickle", ""), ("json", ".json")], ids=["bare", "extension"]
)
def test_partition_keys_with_dots_under_the_names_of_dagster(
    make_manager: MakeManager, format_name: str, ending: str
) -> None:
    manager = make_manager(layout="legacy", format=format_name)
    ratios = keyed("ratios", dg.StaticPartitionsDefinition(["0.0-to-1.0", "1.0-to-2.0"]))
    write(manager, ratios, "0.0-to-1.0", "1.0-to-2.0")
    assert keys(manager) == [f"ratios/0.0-to-1.0{ending}", f"ratios/1.0-to-2.0{ending}"]
    assert load_pairs(manager, ratios) == pairs("ratios", ["0.0-to-1.0", "1.0-to-2.0"])


def test_yesterday_and_today_are_two(manager: BucketIOManager) -> None:
    write(manager, daily, "2024-01-01", "2024-01-02")
    how: dict[str, Any] = {"by": SINCE_YESTERDAY, "into": DAYS}
    for today, days in (
        ("2024-01-02", ["2024-01-01", "2024-01-02"]),
        # The first day has none before it: one partition, and still a dict.
        ("2024-01-01", ["2024-01-01"]),
    ):
        assert load_pairs(manager, daily, partition_key=today, **how) == pairs("daily", days)


def test_missing_partitions_fail_and_are_named(manager: BucketIOManager) -> None:
    write(manager, daily, "2024-01-01")
    how: dict[str, Any] = {"by": SINCE_YESTERDAY, "into": DAYS, "as_type": dict[str, str]}
    with pytest.raises(PartitionError, match="1 of 2 partitions could not be read") as caught:
        load(manager, daily, partition_key="2024-01-02", **how)
    assert caught.value.succeeded == ("2024-01-01",)
    assert list(caught.value.failures) == ["2024-01-02"]
    with pytest.raises(PartitionError, match="2 of 2 partitions could not be read") as caught:
        load(manager, daily, partition_key="2024-01-05", **how)
    assert list(caught.value.failures) == ["2024-01-04", "2024-01-05"]
    for error in caught.value.failures.values():
        # What the stock managers raise, so that a user's "except" goes on working.
        assert isinstance(error, ObjectNotFoundError)
        assert isinstance(error, FileNotFoundError)


def test_missing_partitions_are_left_out_where_that_is_allowed(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    write(manager, daily, "2024-01-01")
    write(manager, letters, "b")
    metadata = {"allow_missing_partitions": True}
    how: dict[str, Any] = {"metadata": metadata, "by": SINCE_YESTERDAY, "into": DAYS}
    assert load_pairs(manager, daily, partition_key="2024-01-02", **how) == pairs(
        "daily", ["2024-01-01"]
    )
    assert load_pairs(manager, daily, partition_key="2024-01-05", **how) == []

    @dg.asset(ins={"letters": dg.AssetIn(metadata=metadata)})
    def some(letters: dict[str, str]) -> dict[str, str]:
        return letters

    result = run([letters, some], manager, selection=[some], instance=instance)
    assert result.output_for_node("some") == {"b": "letters b"}
    # Never silently.
    assert "left them out or gave None: c, a" in logged(instance, result.run_id)


@pytest.mark.parametrize(
    ("annotation", "expected"), [(Any, None), (dict[str, str], {}), (list[str], [])]
)
def test_a_mapping_to_no_partition_gives_nothing(
    manager: BucketIOManager, annotation: Any, expected: Any
) -> None:
    write(manager, daily, "2024-01-01")
    found = load(
        manager,
        daily,
        by=dg.SpecificPartitionsPartitionMapping([]),
        as_type=annotation,
        into=DAYS,
        partition_key="2024-01-01",
    )
    assert (found, type(found)) == (expected, type(expected))


def test_each_output_of_a_partitioned_multi_asset_has_its_object(manager: BucketIOManager) -> None:
    @dg.multi_asset(
        partitions_def=LETTERS,
        outs={"one": dg.AssetOut(dagster_type=int), "two": dg.AssetOut(dagster_type=int)},
    )
    def both() -> tuple[int, int]:
        return 1, 2

    @dg.asset(partitions_def=LETTERS)
    def after(one: int) -> int:
        return one + 10

    result = run([both, after], manager, partition_key="a")
    assert result.output_for_node("after") == 11
    assert keys(manager) == [f"{name}/partition=a/data.json" for name in ("after", "one", "two")]
    assert {(event.label, event.partition) for event in materialized(result)} == {
        (name, "a") for name in ("after", "one", "two")
    }


def test_a_partitioned_asset_made_by_a_graph(manager: BucketIOManager) -> None:
    @dg.asset(key_prefix=["the", "cool", "prefix"], partitions_def=LETTERS)
    def one() -> int:
        return 1

    @dg.op
    def add_one(number: int) -> int:
        return number + 1

    @dg.graph
    def four(number: int) -> int:
        total: int = add_one(add_one(add_one(number)))
        return total

    made = dg.AssetsDefinition.from_graph(
        four, keys_by_input_name={"number": one.key}, partitions_def=LETTERS
    )
    results = [run([one, made], manager, partition_key=key) for key in "ab"]
    assets = [f"{path}/partition={key}" for path in ("four", "the/cool/prefix/one") for key in "ab"]
    # Between its steps a graph has values of the run, not of the asset.
    between = [
        f".runs/{result.run_id}/four%2E{step}/result"
        for result in results
        for step in ("add_one", "add_one_2")
    ]
    assert keys(manager) == sorted(f"{folder}/data.json" for folder in assets + between)
    how: dict[str, Any] = {"into": LETTERS, "partition_key": "b"}
    assert load(manager, [one, made], **how) == 4


def test_a_chain_adds_up_over_its_days(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=DAYS, ins={"total": dg.AssetIn(partition_mapping=PREVIOUS)})
    def total(total: int | None) -> int:
        return 1 if total is None else total + 1

    results = write(manager, total, *(f"2024-01-0{day}" for day in (1, 2, 3)))
    assert [result.output_for_node("total") for result in results] == [1, 2, 3]


def test_a_range_in_one_run_is_stored_partition_by_partition(manager: BucketIOManager) -> None:
    plant_partitions(manager, "hourly", [*A_DAY, *(f"2024-02-01-{h:02}:00" for h in range(24))])

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def per_day(hourly: dict[str, str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for key in hourly:
            counts[key[:10]] = counts.get(key[:10], 0) + 1
        return counts

    tags = ranged("2024-01-31", "2024-02-01")
    result = run([hourly, per_day], manager, selection=[per_day], tags=tags)
    found = {event.partition: event.metadata["dagster/uri"] for event in materialized(result)}
    assert {day: uri.partition("/per_day/")[2] for day, uri in found.items()} == {
        day: f"partition={day}/data.json" for day in ("2024-01-31", "2024-02-01")
    }
    assert load(manager, [hourly, per_day], as_type=dict[str, int], into=DAYS, tags=tags) == {
        "2024-01-31": 24,
        "2024-02-01": 24,
    }


def test_values_of_very_old_dagsters_are_found(make_manager: MakeManager) -> None:
    """Several dimensions were one component once, ``c|2024-01-02``."""
    manager = make_manager(layout="legacy", format="json")
    grid = dg.MultiPartitionsDefinition({"abc": LETTERS, "date": DAYS})
    old = keyed("old", grid)
    plant(manager, "old/c|2024-01-02.json", b'"from long ago"')
    how: dict[str, Any] = {"into": grid, "partition_key": "c|2024-01-02"}
    assert load(manager, old, **how) == "from long ago"

    with pytest.raises(ObjectNotFoundError, match="c/2024-01-03"):
        load(manager, old, into=grid, partition_key="c|2024-01-03")

    # Written anew it lies where it lies today, and is found there first.
    (result,) = write(manager, old, "c|2024-01-02")
    (event,) = materialized(result)
    assert event.metadata["dagster/uri"].endswith("/old/c/2024-01-02.json")
    assert load(manager, old, **how) == value_of("old", "c|2024-01-02")
