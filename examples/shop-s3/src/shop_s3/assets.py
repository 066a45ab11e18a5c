"""Orders by day, and what comes of them."""

import datetime as dt
import random

import dagster as dg
import polars as pl
from dagster_buckets import PartitionStream, bucket_options

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
_ITEMS = ("tea", "salt", "oil")


def _orders_of(day: str) -> pl.DataFrame:
    """As the till gives them: the same each time."""
    source = random.Random(day)  # noqa: S311 - an example's numbers
    count = source.randint(50, 80)
    return pl.DataFrame(
        {
            "at": [
                dt.datetime.fromisoformat(day) + dt.timedelta(seconds=source.randrange(86_400))
                for _ in range(count)
            ],
            "item": [source.choice(_ITEMS) for _ in range(count)],
            "eur": [round(source.uniform(1, 20), 2) for _ in range(count)],
        }
    )


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def orders(context: dg.AssetExecutionContext) -> PartitionStream[pl.DataFrame]:
    """One run for a day or for a year: each day is written as soon as it is made."""
    return PartitionStream((day, _orders_of(day)) for day in context.partition_keys)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def revenue(orders: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """By item, for each day of the run."""
    return {
        day: found.group_by("item").agg(pl.col("eur").sum().round(2)).sort("item")
        for day, found in orders.items()
    }


@dg.asset(ins={"revenue": dg.AssetIn(metadata=bucket_options(on_missing="skip"))})
def best_item(revenue: pl.LazyFrame) -> dict:
    """Over all days that there are, by one lazy scan."""
    total = revenue.group_by("item").agg(pl.col("eur").sum().round(2))
    return total.sort("eur", descending=True).head(1).collect().to_dicts()[0]


@dg.asset_check(asset=orders, partitions_def=DAYS)
def nothing_is_free(orders: pl.DataFrame) -> dg.AssetCheckResult:
    """Of the days of the run."""
    return dg.AssetCheckResult(passed=bool((orders["eur"] > 0).all()))
