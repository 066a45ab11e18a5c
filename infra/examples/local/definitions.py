"""Two assets in the bucket that the Terraform of this folder makes on a moto server."""

import dagster as dg
import pyarrow as pa
from dagster_buckets_s3 import S3IOManager

months = dg.StaticPartitionsDefinition(["2026-01", "2026-02"])


@dg.asset(partitions_def=months)
def orders(context: dg.AssetExecutionContext) -> pa.Table:
    """Each month's orders."""
    return pa.table({"month": [context.partition_key] * 2, "eur": [10.0, 20.5]})


@dg.asset
def revenue(orders: pa.Table) -> dict:
    """What all months brought."""
    return {"eur": sum(orders["eur"].to_pylist())}


defs = dg.Definitions(
    assets=[orders, revenue],
    resources={
        "io_manager": S3IOManager(
            bucket=dg.EnvVar("LAKE_BUCKET"),
            prefix=dg.EnvVar("LAKE_PREFIX"),
            region_name=dg.EnvVar("LAKE_REGION"),
            expected_bucket_owner=dg.EnvVar("LAKE_OWNER"),
            endpoint_url=dg.EnvVar("LAKE_ENDPOINT"),
        )
    },
)
