"""The pipeline. Nothing in it says where a value is stored, or in which format.

Each asset takes its inputs as the class that suits it (pandas, Polars, Arrow, NumPy), whatever
the asset before it returned, and partitions in the shape that suits it: a dict, a stream, one frame
or a scan.
"""

import dagster as dg
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from dagster_buckets import PartitionStream, bucket_options
from pyarrow import csv

from demo.source import csv_file

__all__ = ["ASSETS", "MONTHS", "MONTHS_AND_ORIGINS"]

MONTHS = dg.MonthlyPartitionsDefinition("2013-01", end_date="2014-01", fmt="%Y-%m")
ORIGINS = dg.StaticPartitionsDefinition(["EWR", "JFK", "LGA"])
MONTHS_AND_ORIGINS = dg.MultiPartitionsDefinition({"month": MONTHS, "origin": ORIGINS})

_HOUR = 60

# ---------------------------------------------------------------- raw tables, one per CSV file


@dg.asset(key_prefix="raw")
def flights() -> pl.DataFrame:
    """336,776 flights, read with Polars."""
    return pl.read_csv(csv_file("flights"), null_values="NA", try_parse_dates=True)


@dg.asset(key_prefix="raw")
def weather() -> pa.Table:
    """The weather of each hour at each airport of the city, read with Arrow."""
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(csv_file("weather"), convert_options=options)


@dg.asset(key_prefix="raw")
def planes() -> pd.DataFrame:
    """Year, maker and engine of each plane, read with pandas."""
    return pd.read_csv(csv_file("planes"))


@dg.asset(key_prefix="raw")
def airports() -> pl.DataFrame:
    """Name and place of each airport, read with Polars."""
    return pl.read_csv(csv_file("airports"))


@dg.asset(key_prefix="raw")
def airlines() -> pd.DataFrame:
    """The name of each airline, read with pandas."""
    return pd.read_csv(csv_file("airlines"))


# ---------------------------------------------------------------- partitions


@dg.asset(partitions_def=MONTHS, ins={"flights": dg.AssetIn(["raw", "flights"])})
def flights_by_month(context: dg.AssetExecutionContext, flights: pa.Table) -> pa.Table:
    """The flights of one month: one run for each partition."""
    month = context.partition_time_window.start.month
    return flights.filter(pc.equal(flights["month"], month))


@dg.asset(partitions_def=MONTHS_AND_ORIGINS, backfill_policy=dg.BackfillPolicy.single_run())
def flights_by_month_and_origin(
    flights_by_month: PartitionStream[pl.DataFrame],
) -> PartitionStream[pl.DataFrame]:
    """The flights of a month from one airport: one run for all partitions, a month at a time."""
    return PartitionStream(
        ({"month": month, "origin": origin}, frame.filter(pl.col("origin") == origin))
        for month, frame in flights_by_month
        for origin in ORIGINS.get_partition_keys()
    )


# ---------------------------------------------------------------- joins and aggregates


@dg.asset
def monthly_flights(flights_by_month: dict[str, pl.DataFrame]) -> dict[str, int]:
    """Flights in each month; ``dict[str, …]`` gives every partition under its key."""
    return {month: frame.height for month, frame in flights_by_month.items()}


@dg.asset
def origin_flights(flights_by_month_and_origin: dict[str, pa.Table]) -> dict[str, int]:
    """Flights in each month from each airport."""
    return {key: table.num_rows for key, table in flights_by_month_and_origin.items()}


@dg.asset(ins={"airlines": dg.AssetIn(["raw", "airlines"])})
def airline_delays(flights_by_month: pd.DataFrame, airlines: pd.DataFrame) -> pd.DataFrame:
    """Arrivals and their minutes of delay for each airline; the twelve months come as one frame."""
    return (
        flights_by_month.merge(airlines, on="carrier")
        .groupby("name", as_index=False)
        .agg(arrivals=("arr_delay", "count"), delay=("arr_delay", "sum"))
        .astype({"delay": "int64"})
    )


@dg.asset(ins={"airports": dg.AssetIn(["raw", "airports"])})
def destinations(flights_by_month_and_origin: pl.LazyFrame, airports: pl.DataFrame) -> pl.DataFrame:
    """Flights to each airport that is in the table of airports: one scan over all partitions."""
    return (
        flights_by_month_and_origin.group_by("dest")
        .agg(flights=pl.len().cast(pl.Int64))
        .collect()
        .join(airports, left_on="dest", right_on="faa")
        .group_by("name")
        .agg(pl.col("flights").sum())
        .sort("flights", "name", descending=[True, False])
    )


@dg.asset(
    ins={
        "flights": dg.AssetIn(["raw", "flights"]),
        "weather": dg.AssetIn(["raw", "weather"]),
    }
)
def rain_delays(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Departures and their minutes of delay, with and without rain (Arrow read as Polars)."""
    hour = pl.col("time_hour").cast(pl.Datetime("us", "UTC"))
    rain = weather.group_by("origin", hour).agg(rain=pl.col("precip").max() > 0)
    return (
        flights.with_columns(hour)
        .join(rain, on=["origin", "time_hour"])
        .group_by("rain")
        .agg(
            departures=pl.col("dep_delay").count().cast(pl.Int64),
            delay=pl.col("dep_delay").sum(),
        )
        .sort("rain")
    )


@dg.asset(
    ins={
        "flights": dg.AssetIn(
            ["raw", "flights"], metadata=bucket_options(columns=["tailnum", "distance"])
        ),
        "planes": dg.AssetIn(
            ["raw", "planes"], metadata=bucket_options(columns=["tailnum", "engine"])
        ),
    }
)
def engine_miles(flights: pa.Table, planes: pa.Table) -> pa.Table:
    """Miles flown with each type of engine (Polars and pandas, two columns of each, as Arrow)."""
    # Polars and pandas differ in how long an Arrow string may be, and Arrow joins equals only.
    key = flights.schema.field("tailnum").type
    planes = planes.set_column(0, "tailnum", planes.column("tailnum").cast(key))
    joined = flights.join(planes, "tailnum", join_type="inner")
    return joined.group_by("engine").aggregate([("distance", "sum")]).sort_by("engine")


@dg.asset
def arrival_delays(flights_by_month: pl.DataFrame) -> pl.DataFrame:
    """The arrival delay of each flight that arrived."""
    return flights_by_month.select("arr_delay").drop_nulls()


@dg.asset
def punctuality(arrival_delays: np.ndarray) -> dict[str, int]:
    """How many flights came early or late (Polars read as NumPy)."""
    return {
        "early": int(np.count_nonzero(arrival_delays < 0)),
        "over an hour late": int(np.count_nonzero(arrival_delays > _HOUR)),
    }


# ---------------------------------------------------------------- results


@dg.asset(ins={"flights": dg.AssetIn(["raw", "flights"])})
def summary(  # noqa: PLR0913, PLR0917 - one input for each asset that it sums up
    flights: pl.DataFrame,
    monthly_flights: dict[str, int],
    origin_flights: dict[str, int],
    airline_delays: pl.DataFrame,
    destinations: pa.Table,
    rain_delays: pd.DataFrame,
    engine_miles: pl.DataFrame,
    punctuality: dict[str, int],
) -> dict[str, dict[str, int]]:
    """All totals, as JSON."""
    rain = rain_delays["rain"].map({False: "dry", True: "rain"})
    return {
        "all": {
            "flights": flights.height,
            "cancelled": flights["dep_time"].null_count(),
            "miles": int(flights["distance"].sum()),
        },
        "flights by month": monthly_flights,
        "flights by month and origin": origin_flights,
        "arrivals by airline": dict(airline_delays.select("name", "arrivals").iter_rows()),
        "delay by airline": dict(airline_delays.select("name", "delay").iter_rows()),
        "flights by destination": {row["name"]: row["flights"] for row in destinations.to_pylist()},
        "departures by weather": dict(zip(rain, rain_delays["departures"].tolist(), strict=True)),
        "delay by weather": dict(zip(rain, rain_delays["delay"].tolist(), strict=True)),
        "miles by engine": dict(engine_miles.iter_rows()),
        "punctuality": punctuality,
    }


@dg.asset
def report(summary: dict[str, dict[str, int]]) -> str:
    """What a person wants to know, as text."""
    total, punctual = summary["all"], summary["punctuality"]
    by_month, by_place = summary["flights by month"], summary["flights by destination"]
    month, place = max(by_month, key=by_month.__getitem__), next(iter(by_place))
    late = _means(summary["delay by airline"], summary["arrivals by airline"])
    best, worst = min(late, key=late.__getitem__), max(late, key=late.__getitem__)
    wait = _means(summary["delay by weather"], summary["departures by weather"])
    return f"""\
{total["flights"]:,} flights left New York City in 2013 and flew {total["miles"]:,} miles.
{total["cancelled"]:,} were cancelled, {punctual["early"]:,} came early, \
{punctual["over an hour late"]:,} over an hour late.
The busiest month was {month} ({by_month[month]:,} flights), \
the first destination {place} ({by_place[place]:,}).
The mean delay goes from {late[best]:.0f} minutes ({best}) \
to {late[worst]:.0f} ({worst}).
Flights left {wait["rain"]:.0f} minutes late in rain and {wait["dry"]:.0f} in dry weather."""


def _means(sums: dict[str, int], counts: dict[str, int]) -> dict[str, float]:
    return {name: sums[name] / count for name, count in counts.items()}


ASSETS = (
    *(flights, weather, planes, airports, airlines),
    *(flights_by_month, flights_by_month_and_origin),
    *(monthly_flights, origin_flights, airline_delays, destinations),
    *(rain_delays, engine_miles, arrival_delays, punctuality),
    *(summary, report),
)
