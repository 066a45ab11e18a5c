"""After: Parquet and JSON. The old manager goes when its last values were moved."""

import dagster as dg
from dagster_aws.s3 import S3PickleIOManager, S3Resource
from dagster_buckets_s3 import S3IOManager
from shop import goals, orders

defs = dg.Definitions(
    assets=[orders, goals],
    resources={
        "io_manager": S3IOManager(bucket=dg.EnvVar("LAKE_BUCKET"), prefix="prod"),
        "old": S3PickleIOManager(s3_resource=S3Resource(), s3_bucket=dg.EnvVar("OLD_BUCKET")),
    },
)
