from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster_buckets.windows import windows_of
from hypothesis import given
from hypothesis import strategies as st

#: Each around a change of the clocks, or several.
DEFINITIONS: dict[str, Any] = {
    "hourly, spring": dg.HourlyPartitionsDefinition("2024-03-09-20:00", end_date="2024-03-11-00:00", timezone="America/New_York"),
    "hourly, autumn": dg.HourlyPartitionsDefinition("2024-11-02-20:00", end_date="2024-11-04-00:00", timezone="America/New_York"),
    "hourly with minutes": dg.HourlyPartitionsDefinition("2024-10-26-20:00", end_date="2024-10-28-00:00", timezone="Europe/Berlin", minute_offset=20),
    "daily": dg.DailyPartitionsDefinition("2024-01-01", end_date="2025-01-01", timezone="Europe/Berlin"),
    "daily, skipped midnight": dg.DailyPartitionsDefinition("2018-11-01", end_date="2018-11-08", timezone="America/Sao_Paulo"),
    "daily, in the hour that is twice": dg.DailyPartitionsDefinition("2024-10-30", end_date="2024-11-08", timezone="America/New_York", hour_offset=1, minute_offset=30),
    "daily, in the hour that is skipped": dg.DailyPartitionsDefinition("2024-03-07", end_date="2024-03-14", timezone="America/New_York", hour_offset=2, minute_offset=30),
    "weekly": dg.WeeklyPartitionsDefinition("2024-01-01", end_date="2025-01-01", timezone="America/New_York", day_offset=3, hour_offset=5),
    "monthly": dg.MonthlyPartitionsDefinition("1999-12-01", end_date="2025-01-01", timezone="Europe/Berlin", day_offset=15),
    "with exclusions": dg.DailyPartitionsDefinition("2024-10-20", end_date="2024-11-08", timezone="Europe/Berlin", exclusions=["0 0 * * 6", datetime(2024, 10, 27)]),  # noqa: DTZ001
    "cron": dg.TimeWindowPartitionsDefinition(cron_schedule="15 */7 * * 1-5", start="2024-10-24 00:00", end="2024-11-08 00:00", fmt="%Y-%m-%d %H:%M", timezone="Europe/Berlin"),
    "cron by the year": dg.TimeWindowPartitionsDefinition(cron_schedule="0 0 1 1 *", start="1990", end="2024", fmt="%Y"),
    "cron with the offset in keys": dg.TimeWindowPartitionsDefinition(cron_schedule="*/30 * * * *", start="2024-11-03 00:00-0400", end="2024-11-03 05:00-0500", fmt="%Y-%m-%d %H:%M%z", timezone="America/New_York"),
    "cron finer than its keys": dg.TimeWindowPartitionsDefinition(cron_schedule="0 */6 * * *", start="2024-10-25", end="2024-11-08", fmt="%Y-%m-%d", timezone="Europe/Berlin"),
}  # fmt: skip


@st.composite
def some_keys(draw: st.DrawFn) -> tuple[Any, list[str]]:
    """A definition, and keys of it in any order."""
    definition = DEFINITIONS[draw(st.sampled_from(sorted(DEFINITIONS)))]
    keys = sorted(set(definition.get_partition_keys()))
    return definition, draw(st.lists(st.sampled_from(keys), max_size=30).map(list))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_all_windows_are_those_of_dagster(name: str) -> None:
    definition = DEFINITIONS[name]
    keys = definition.get_partition_keys()
    found = windows_of(definition, keys)["partition"]
    for key in keys:
        window = definition.time_window_for_partition_key(key)
        assert [moment.isoformat() for moment in found[key]] == [
            moment.isoformat() for moment in (window.start, window.end)
        ]
        assert [moment.timestamp() for moment in found[key]] == [
            window.start.timestamp(),
            window.end.timestamp(),
        ]


@given(case=some_keys())
def test_any_keys_in_any_order(case: tuple[Any, list[str]]) -> None:
    definition, keys = case
    found = windows_of(definition, keys)
    assert list(found) == ["partition"]
    assert list(found["partition"]) == list(dict.fromkeys(keys))
    for key, (start, end) in found["partition"].items():
        window = definition.time_window_for_partition_key(key)
        assert start.timestamp() == window.start.timestamp()
        assert end.timestamp() == window.end.timestamp()


def test_the_hour_that_is_twice_has_two_windows() -> None:
    keys = ["2024-11-03-01:00-0500", "2024-11-03-01:00"]
    found = windows_of(DEFINITIONS["hourly, autumn"], keys)["partition"]
    assert [found[key][0].astimezone(UTC).hour for key in keys] == [6, 5]
    assert windows_of(DEFINITIONS["hourly, autumn"], keys[:1])["partition"] == {
        keys[0]: found[keys[0]]
    }


def test_windows_are_in_the_zone_of_the_definition() -> None:
    for definition in DEFINITIONS.values():
        for start, end in windows_of(definition, definition.get_partition_keys())[
            "partition"
        ].values():
            assert {str(start.tzinfo), str(end.tzinfo)} == {definition.timezone}


def test_the_only_dimension_is_called_as_asked() -> None:
    daily = DEFINITIONS["daily"]
    assert windows_of(daily, ["2024-01-01"], "day") == {
        "day": windows_of(daily, ["2024-01-01"])["partition"]
    }


def test_a_key_that_dagster_reads_and_does_not_write() -> None:
    found = windows_of(DEFINITIONS["daily"], ["2024-1-5"])["partition"]
    assert found["2024-1-5"][0].date().isoformat() == "2024-01-05"


@pytest.mark.parametrize("spelled", [True, False], ids=["MultiPartitionKey", "string"])
def test_dimensions_of_time_among_several(*, spelled: bool) -> None:
    definition = dg.MultiPartitionsDefinition(
        {"when": DEFINITIONS["daily"], "country": dg.StaticPartitionsDefinition(["de", "fr"])}
    )
    parts = [
        {"when": day, "country": c} for day in ("2024-03-31", "2024-01-01") for c in ("de", "fr")
    ]
    keys: list[str] = [dg.MultiPartitionKey(part) for part in parts]
    keys = keys if spelled else [f"{part['country']}|{part['when']}" for part in parts]
    assert windows_of(definition, keys, "partition") == {
        "when": windows_of(DEFINITIONS["daily"], ["2024-03-31", "2024-01-01"])["partition"]
    }


def test_a_dimension_beside_keys_with_bars() -> None:
    other = dg.DynamicPartitionsDefinition(name="other")
    definition = dg.MultiPartitionsDefinition({"a": other, "when": DEFINITIONS["daily"]})
    keys = [dg.MultiPartitionKey({"a": "x|y", "when": "2024-03-31"})]
    assert list(windows_of(definition, keys)["when"]) == ["2024-03-31"]


def test_two_dimensions_of_time() -> None:
    daily, weekly = DEFINITIONS["daily"], DEFINITIONS["weekly"]
    definition = dg.MultiPartitionsDefinition({"a": daily, "b": weekly})
    day, week = "2024-03-31", weekly.get_partition_keys()[0]
    assert windows_of(definition, [f"{day}|{week}"]) == {
        "a": windows_of(daily, [day])["partition"],
        "b": windows_of(weekly, [week])["partition"],
    }


@pytest.mark.parametrize(
    "definition",
    [
        dg.StaticPartitionsDefinition(["2024-01-01"]),
        dg.DynamicPartitionsDefinition(name="days"),
    ],
    ids=lambda definition: type(definition).__name__,
)
def test_without_a_dimension_of_time(definition: Any) -> None:
    assert windows_of(definition, ["2024-01-01"]) == {}


def test_without_keys() -> None:
    assert windows_of(DEFINITIONS["daily"], []) == {"partition": {}}
