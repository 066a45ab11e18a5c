"""Partition mappings: which partitions a consumer is given, in which order, and what is in them."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager, ObjectNotFoundError

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
    write,
)
from tests.integration.support import keys, ranged, run

# Dagster's own warning about its mappings.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Class `Multi.*PartitionMapping` is currently in beta"
)

MONTHS = dg.MonthlyPartitionsDefinition("2024-01-01", end_date="2024-04-01")
GRID = dg.MultiPartitionsDefinition({"region": LETTERS, "day": DAYS})
SINGLE_RUN = dg.BackfillPolicy.single_run()

hourly, daily, letters, grid = (
    keyed("hourly", HOURS),
    keyed("daily", DAYS),
    keyed("letters", LETTERS),
    keyed("grid", GRID),
)
FIRST_DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
#: Days of two months.
TWO_MONTHS = ["2024-01-30", "2024-01-31", "2024-02-01"]


def hours_of(*days: str) -> list[str]:
    return [f"{day}-{hour:02}:00" for day in days for hour in range(24)]


def test_hours_become_days_and_days_become_months(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=DAYS)
    def days(hourly: dict[str, str]) -> list[str]:
        return [f"{key}={value}" for key, value in hourly.items()]

    @dg.asset(
        partitions_def=MONTHS,
        ins={"days": dg.AssetIn(metadata={"dagster_buckets/on_missing": "skip"})},
    )
    def months(days: dict[str, list[str]]) -> dict[str, list[str]]:
        return days

    plant_partitions(manager, "hourly", list(reversed(hours_of(*TWO_MONTHS))))
    expected = {
        day: [f"{key}={value}" for key, value in pairs("hourly", hours_of(day))]
        for day in TWO_MONTHS
    }
    for day in reversed(TWO_MONTHS):
        result = run([hourly, days], manager, selection=[days], partition_key=day)
        assert result.output_for_node("days") == expected[day]
    for month, members in (("2024-01-01", TWO_MONTHS[:2]), ("2024-02-01", TWO_MONTHS[2:])):
        result = run([hourly, days, months], manager, selection=[months], partition_key=month)
        found = result.output_for_node("months")
        assert list(found) == members
        assert found == {day: expected[day] for day in members}
    # A month of which nothing was ever stored.
    result = run([hourly, days, months], manager, selection=[months], partition_key="2024-03-01")
    assert result.output_for_node("months") == {}


def test_a_month_is_one_frame_in_the_order_of_its_days(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=DAYS)
    def sales(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"day": [context.partition_key] * 2, "n": [1, 2]})

    @dg.asset(
        partitions_def=MONTHS,
        ins={"sales": dg.AssetIn(metadata={"dagster_buckets/on_missing": "skip"})},
    )
    def monthly(sales: pl.DataFrame) -> pl.DataFrame:
        return sales

    for day in ("2024-02-03", "2024-02-01", "2024-01-31", "2024-02-29"):
        run([sales], manager, partition_key=day)
    result = run([sales, monthly], manager, selection=[monthly], partition_key="2024-02-01")
    found = result.output_for_node("monthly")
    assert found["day"].to_list() == [f"2024-02-{d}" for d in ("01", "01", "03", "03", "29", "29")]
    assert found["n"].to_list() == [1, 2] * 3


def test_a_chain_of_days_begins_where_there_is_no_day_before(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=DAYS, ins={"chain": dg.AssetIn(partition_mapping=PREVIOUS)})
    def chain(context: dg.AssetExecutionContext, chain: list[str] | None) -> list[str]:
        return [*(chain or []), context.partition_key]

    for number, day in enumerate(FIRST_DAYS, start=1):
        result = run([chain], manager, partition_key=day)
        assert result.output_for_node("chain") == FIRST_DAYS[:number]
    assert keys(manager) == [f"chain/partition={day}/data.json" for day in FIRST_DAYS]
    # Again, from the middle: it reads the day before and writes over its own only.
    run([chain], manager, partition_key=FIRST_DAYS[1])
    assert load(manager, chain, into=DAYS, partition_key=FIRST_DAYS[2]) == FIRST_DAYS


@pytest.mark.parametrize(
    ("annotation", "at_the_start"),
    [(Any, None), (dict[str, str], {}), (list[str], []), (str | None, None)],
    ids=["any", "dict", "list", "optional"],
)
def test_the_first_partition_of_a_chain_is_given_nothing_in_the_shape_it_asks_for(
    memory: MemoryIOManager, annotation: Any, at_the_start: Any
) -> None:
    first = load(
        memory, daily, by=PREVIOUS, as_type=annotation, into=DAYS, partition_key="2024-01-01"
    )
    assert first == at_the_start
    assert type(first) is type(at_the_start)


def test_a_gap_in_a_chain_is_an_error_that_names_the_day(memory: MemoryIOManager) -> None:
    with pytest.raises(ObjectNotFoundError, match="asset 'daily', partition '2024-01-31'"):
        load(memory, daily, by=PREVIOUS, into=DAYS, partition_key="2024-02-01")


def test_a_window_of_several_days_is_clipped_at_the_start(manager: BucketIOManager) -> None:
    plant_partitions(manager, "daily", FIRST_DAYS)
    window = dg.TimeWindowPartitionMapping(start_offset=-2)
    for last in range(1, 4):
        found = load_pairs(manager, daily, by=window, into=DAYS, partition_key=FIRST_DAYS[last - 1])
        assert found == pairs("daily", FIRST_DAYS[:last])


def test_all_partitions_go_into_an_asset_without_any(manager: BucketIOManager) -> None:
    write(manager, letters, "b", "c", "a")
    for mapping in (None, dg.AllPartitionMapping()):
        assert load_pairs(manager, letters, by=mapping) == pairs("letters", "cab")
    assert load(manager, letters, as_type=list[str]) == [v for _, v in pairs("letters", "cab")]


def test_all_partitions_go_into_each_of_another_definition(memory: MemoryIOManager) -> None:
    write(memory, letters, "a", "b", "c")
    found = load_pairs(
        memory, letters, by=dg.AllPartitionMapping(), into=DAYS, partition_key="2024-01-30"
    )
    assert found == pairs("letters", "cab")


def test_the_last_partition(manager: BucketIOManager, instance: dg.DagsterInstance) -> None:
    last = dg.LastPartitionMapping()
    write(manager, letters, "a", "b", "c")
    assert load(manager, letters, by=last) == "letters b"
    assert load_pairs(manager, letters, by=last) == pairs("letters", "b")

    write(manager, daily, "2024-03-31", "2024-01-30")
    assert load(manager, daily, by=last, into=LETTERS, partition_key="a") == "daily 2024-03-31"

    names = keyed("names", dg.DynamicPartitionsDefinition(name="names"))
    for name in ("z", "a"):
        instance.add_dynamic_partitions("names", [name])
        write(manager, names, name, instance=instance)
        assert load(manager, names, by=last, instance=instance) == f"names {name}"


def test_static_partitions_map_by_name(manager: BucketIOManager) -> None:
    by_country = dg.StaticPartitionsDefinition(["eu", "us", "none"])
    mapping = dg.StaticPartitionMapping({"c": "eu", "a": {"us", "eu"}, "b": "us"})
    write(manager, letters, "a", "b", "c")
    expected = {"eu": "ca", "us": "ab", "none": ""}
    for country, members in expected.items():
        found = load_pairs(manager, letters, by=mapping, into=by_country, partition_key=country)
        assert found == pairs("letters", members)


def test_specific_partitions_only(manager: BucketIOManager) -> None:
    write(manager, letters, "a", "c")
    mapping = dg.SpecificPartitionsPartitionMapping
    # In the order of the definition, not of the mapping; and "b" was never stored.
    assert load_pairs(manager, letters, by=mapping(["a", "c"])) == pairs("letters", "ca")
    assert load(manager, letters, by=mapping(["a"])) == "letters a"
    assert load_pairs(
        manager, letters, by=mapping(["a", "c"]), into=DAYS, partition_key="2024-01-30"
    ) == pairs("letters", "ca")
    with pytest.raises(ObjectNotFoundError, match="partition 'b'"):
        load(manager, letters, by=mapping(["b"]))


def test_two_dimensions_become_one_and_one_becomes_two(manager: BucketIOManager) -> None:
    small = dg.MultiPartitionsDefinition(
        {"region": LETTERS, "day": dg.StaticPartitionsDefinition(["mon", "sun"])}
    )
    table = keyed("table", small)
    every = [str(key) for key in small.get_partition_keys()]
    write(manager, table, *reversed(every))
    assert sorted(every) == sorted(f"{day}|{letter}" for day in ("mon", "sun") for letter in "abc")

    of_a = load_pairs(manager, table, into=LETTERS, partition_key="a")
    assert of_a == pairs("table", [key for key in every if key.endswith("|a")])
    explicit = dg.MultiToSingleDimensionPartitionMapping("day")
    days = dg.StaticPartitionsDefinition(["mon", "sun"])
    of_sun = load_pairs(manager, table, by=explicit, into=days, partition_key="sun")
    assert of_sun == pairs("table", [key for key in every if key.startswith("sun|")])

    write(manager, letters, "a", "b", "c")
    for key in (every[0], every[-1]):
        letter = key.partition("|")[2]
        assert load(manager, letters, into=small, partition_key=key) == f"letters {letter}"
    with pytest.raises(dg.DagsterError, match="c"):
        run([table], manager, partition_key="c|mon")


def test_keys_of_several_dimensions_tell_their_dimensions(memory: MemoryIOManager) -> None:
    write(memory, grid, "2024-01-01|a", "2024-01-02|a")
    how: dict[str, Any] = {"metadata": {"allow_missing_partitions": True}, "into": LETTERS}
    for annotation in (Any, dict[str, str]):
        found = load(memory, grid, as_type=annotation, partition_key="a", **how)
        assert found == dict(pairs("grid", ["2024-01-01|a", "2024-01-02|a"]))
        assert all(isinstance(key, dg.MultiPartitionKey) for key in found)
        assert [dict(key.keys_by_dimension) for key in found] == [
            {"region": "a", "day": "2024-01-01"},
            {"region": "a", "day": "2024-01-02"},
        ]


def test_dimensions_map_each_by_its_own_rule(manager: BucketIOManager) -> None:
    target = dg.MultiPartitionsDefinition(
        {"area": dg.StaticPartitionsDefinition(["x"]), "date": DAYS}
    )
    mapping = dg.MultiPartitionMapping(
        {
            "region": dg.DimensionPartitionMapping(
                "area", dg.StaticPartitionMapping({"c": "x", "b": "x"})
            ),
            "day": dg.DimensionPartitionMapping("date", PREVIOUS),
        }
    )
    write(manager, grid, "2024-01-01|c", "2024-01-01|b", "2024-01-01|a", "2024-01-02|b")
    found = load_pairs(manager, grid, by=mapping, into=target, partition_key="x|2024-01-02")
    in_definition = [str(k) for k in GRID.get_partition_keys() if str(k) in dict(found)]
    assert sorted(in_definition) == ["2024-01-01|b", "2024-01-01|c"]
    assert found == pairs("grid", in_definition)
    # The first day has no day before.
    assert load_pairs(manager, grid, by=mapping, into=target, partition_key="x|2024-01-01") == []


def test_the_same_names_of_two_dynamic_definitions(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    here, there = (dg.DynamicPartitionsDefinition(name=name) for name in ("here", "there"))
    instance.add_dynamic_partitions("here", ["é", "a/b", "only here"])
    instance.add_dynamic_partitions("there", ["a/b", "é"])
    up = keyed("up", here)
    write(manager, up, "a/b", "é", "only here", instance=instance)
    identity = dg.IdentityPartitionMapping()
    for key in ("a/b", "é"):
        how: dict[str, Any] = {"by": identity, "into": there, "instance": instance}
        assert load(manager, up, partition_key=key, **how) == f"up {key}"
    assert load_pairs(manager, up, instance=instance) == pairs("up", ["é", "a/b", "only here"])


@pytest.mark.parametrize(
    ("definition", "start", "end", "members"),
    [
        (DAYS, "2024-01-31", "2024-02-02", ["2024-01-31", "2024-02-01", "2024-02-02"]),
        (LETTERS, "c", "b", ["c", "a", "b"]),
        (
            HOURS,
            "2024-01-30-22:00",
            "2024-01-31-01:00",
            ["2024-01-30-22:00", "2024-01-30-23:00", "2024-01-31-00:00", "2024-01-31-01:00"],
        ),
    ],
    ids=["days", "letters", "hours"],
)
def test_a_run_over_a_range_after_another(
    manager: BucketIOManager,
    definition: dg.PartitionsDefinition[Any],
    start: str,
    end: str,
    members: list[str],
) -> None:
    @dg.asset(partitions_def=definition, backfill_policy=SINGLE_RUN)
    def up(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {key: f"up {key}" for key in sorted(context.partition_keys, reverse=True)}

    order = []

    @dg.asset(partitions_def=definition, backfill_policy=SINGLE_RUN)
    def down(up: dict[str, str]) -> dict[str, str]:
        order.append(list(up))
        return {key: value.upper() for key, value in up.items()}

    tags = ranged(start, end)
    run([up], manager, tags=tags)
    run([up, down], manager, selection=[down], tags=tags)
    run([up, down], manager, tags=tags)
    assert order == [members, members]
    assert len(keys(manager)) == 2 * len(members)
    for key in members:
        found = load(manager, [up, down], into=definition, partition_key=key)
        assert found == f"UP {key.upper()}"


def test_a_range_of_months_reads_a_range_of_days(memory: MemoryIOManager) -> None:
    days = DAYS.get_partition_keys()
    plant_partitions(memory, "daily", days)
    tags = ranged("2024-01-01", "2024-02-01")
    found = load_pairs(memory, daily, into=MONTHS, tags=tags)
    assert found == pairs("daily", [day for day in days if day < "2024-03"])
    # The first day of a range is given the day before it, too, if there is one.
    tags = ranged("2024-01-31", "2024-02-02")
    shifted = load_pairs(memory, daily, by=PREVIOUS, into=DAYS, tags=tags)
    assert shifted == pairs("daily", TWO_MONTHS)
    tags = ranged("2024-01-01", "2024-01-04")
    assert load_pairs(memory, daily, by=PREVIOUS, into=DAYS, tags=tags) == pairs(
        "daily", FIRST_DAYS
    )


def test_a_range_of_several_dimensions_after_another(manager: BucketIOManager) -> None:
    @dg.asset(partitions_def=GRID, backfill_policy=SINGLE_RUN)
    def up(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {key: f"up {key}" for key in context.partition_keys}

    tags = ranged("2024-01-30|a", "2024-01-31|b")
    run([up], manager, tags=tags)
    members = [f"{day}|{letter}" for day in ("2024-01-30", "2024-01-31") for letter in "ab"]
    in_definition = [str(key) for key in GRID.get_partition_keys() if str(key) in members]
    assert load_pairs(manager, up, into=GRID, tags=tags) == pairs("up", in_definition)
