"""What the runs under a policy materialise. Dagster reads the annotations: none are text."""

import dagster as dg

months = dg.StaticPartitionsDefinition(["2026-01", "2026-02"])


@dg.asset(partitions_def=months)
def orders(context: dg.AssetExecutionContext) -> dict[str, str]:
    return {"month": context.partition_key}


@dg.asset
def revenue(orders: dict[str, dict[str, str]]) -> list[str]:
    return sorted(orders)


@dg.asset
def report(revenue: list[str]) -> str:
    return ", ".join(revenue)
