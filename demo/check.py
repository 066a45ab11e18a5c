"""The check: totals computed straight from the CSV files, against what lies in the store.

Shares no code with the pipeline: Python's own ``csv`` module, counters, and loops.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa
from dagster_buckets import AssetAddress, ValueStore

from demo.source import csv_file

__all__ = ["Totals", "computed_totals", "differences", "stored_totals"]

#: A number for each name, such as ``("flights by month", "2013-01")``.
Totals = Mapping[tuple[str, str], int]

_TABLES = ("flights", "weather", "planes", "airports", "airlines")
_PARTITIONED = ("flights_by_month", "flights_by_month_and_origin")
_HOUR = 60


def differences(stored: Totals, computed: Totals) -> list[str]:
    """One line for each total that is not the same, or is on one side only."""
    return [
        f"{': '.join(filter(None, name))}: stored {stored.get(name, 'nothing')},"
        f" in the CSV files {computed.get(name, 'nothing')}"
        for name in sorted({*stored, *computed})
        if stored.get(name) != computed.get(name)
    ]


def stored_totals(values: ValueStore) -> Totals:
    """The summary that the pipeline stored, and the rows of its tables, counted object by object.

    Raises:
        BucketsError: Something was not stored or cannot be read.
    """
    summary = values.read(AssetAddress.of(["summary"]), dict)
    totals = {
        (title, name): number for title, part in summary.items() for name, number in part.items()
    }
    for table in _TABLES:
        frame = values.read(AssetAddress.of(["raw", table]), pa.Table)
        totals[f"rows of raw/{table}", ""] = frame.num_rows
    for asset in _PARTITIONED:
        for address, frame in _partitions(values, asset):
            partition = "|".join(value for _, value in address.partition)
            totals[f"rows of {asset}", partition] = frame.num_rows
    return totals


def _partitions(values: ValueStore, asset: str) -> Iterator[tuple[AssetAddress, pa.Table]]:
    for info in values.store.scan(values.layout.prefix((asset,))):
        parsed = values.layout.parse(info.key)
        if parsed is not None and isinstance(parsed[0], AssetAddress):
            yield parsed[0], values.read(parsed[0], pa.Table, format_name="parquet")


def computed_totals() -> Totals:
    """The same totals, from the CSV files alone."""
    totals: Counter[tuple[str, str]] = Counter()
    for table in _TABLES:
        totals[f"rows of raw/{table}", ""] = sum(1 for _ in _rows(table))
    airlines = {row["carrier"]: row["name"] for row in _rows("airlines")}
    airports = {row["faa"]: row["name"] for row in _rows("airports")}
    engines = {row["tailnum"]: row["engine"] for row in _rows("planes")}
    weather = _weather()
    for flight in _rows("flights"):
        month = f"{flight['year']}-{int(flight['month']):02}"
        month_and_origin = f"{month}|{flight['origin']}"
        miles = int(flight["distance"])
        totals["all", "flights"] += 1
        totals["all", "cancelled"] += flight["dep_time"] == "NA"
        totals["all", "miles"] += miles
        totals["flights by month", month] += 1
        totals["rows of flights_by_month", month] += 1
        totals["flights by month and origin", month_and_origin] += 1
        totals["rows of flights_by_month_and_origin", month_and_origin] += 1
        if flight["arr_delay"] != "NA":
            delay = int(flight["arr_delay"])
            totals["arrivals by airline", airlines[flight["carrier"]]] += 1
            totals["delay by airline", airlines[flight["carrier"]]] += delay
            totals["punctuality", "early"] += delay < 0
            totals["punctuality", "over an hour late"] += delay > _HOUR
        if flight["dest"] in airports:
            totals["flights by destination", airports[flight["dest"]]] += 1
        then = weather.get((flight["origin"], flight["time_hour"]))
        if then is not None and flight["dep_delay"] != "NA":
            totals["departures by weather", then] += 1
            totals["delay by weather", then] += int(flight["dep_delay"])
        if flight["tailnum"] in engines:
            totals["miles by engine", engines[flight["tailnum"]]] += miles
    return totals


def _weather() -> dict[tuple[str, str], str]:
    """``rain`` or ``dry`` for each airport and hour; an hour that is there twice may be both."""
    found: dict[tuple[str, str], str] = {}
    for row in _rows("weather"):
        place = row["origin"], row["time_hour"]
        rained = row["precip"] != "NA" and float(row["precip"]) > 0
        found[place] = "rain" if rained or found.get(place) == "rain" else "dry"
    return found


def _rows(table: str) -> Iterator[dict[str, str]]:
    with io.TextIOWrapper(csv_file(table), "utf-8", newline="") as text:
        yield from csv.DictReader(text)
