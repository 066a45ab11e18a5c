"""From prices as a shop exports them to a report: a value of every kind."""

import dagster as dg
import pandas as pd
from dagster_buckets import bucket_options

REGIONS = dg.StaticPartitionsDefinition(["north", "south"])
_EXPORTS = {
    "north": "item,price\ntea,4.50\nsalt,1.20\n",
    "south": "item,price\ntea,4.10\noil,7.90\n",
}


@dg.asset(partitions_def=REGIONS)
def export(context: dg.AssetExecutionContext) -> str:
    """What the till of a region gives: text, as it is."""
    return _EXPORTS[context.partition_key]


@dg.asset(partitions_def=REGIONS)
def prices(export: str) -> pd.DataFrame:
    """The prices of a region: a table, kept as Parquet."""
    lines = [line.split(",") for line in export.splitlines()[1:]]
    return pd.DataFrame({"item": [a for a, _ in lines], "price": [float(b) for _, b in lines]})


@dg.asset_check(asset=prices)
def prices_are_positive(prices: pd.DataFrame) -> dg.AssetCheckResult:
    """Of all regions together, as one table."""
    return dg.AssetCheckResult(passed=bool((prices["price"] > 0).all()))


@dg.asset
def cheapest(prices: dict[str, pd.DataFrame]) -> dict[str, list]:
    """Where each item costs least: JSON."""
    found: dict[str, list] = {}
    for region, table in prices.items():
        for item, price in table.itertuples(index=False):
            if item not in found or price < found[item][1]:
                found[item] = [region, price]
    return found


@dg.asset(metadata=bucket_options(format="text"))
def report(cheapest: dict) -> str:
    """For people, in Markdown."""
    lines = [f"* {item}: {price:.2f} in the {region}" for item, (region, price) in cheapest.items()]
    return "\n".join(["# Buy here", "", *sorted(lines), ""])
