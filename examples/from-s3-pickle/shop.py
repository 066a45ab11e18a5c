"""The assets, which do not change."""

import dagster as dg
import pandas as pd

MONTHS = dg.StaticPartitionsDefinition(["2026-01", "2026-02", "2026-03"])


@dg.asset(partitions_def=MONTHS)
def orders(context: dg.AssetExecutionContext) -> pd.DataFrame:
    """Each month's orders."""
    return pd.DataFrame({"month": [context.partition_key] * 3, "eur": [10.0, 20.5, 7.25]})


@dg.asset
def goals() -> dict:
    """What each month should bring."""
    return {"2026-01": 30.0, "2026-02": 35.0, "2026-03": 40.0}
