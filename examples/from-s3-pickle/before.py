"""Before: pickles in a bucket."""

import dagster as dg
from dagster_aws.s3 import S3PickleIOManager, S3Resource
from shop import goals, orders

defs = dg.Definitions(
    assets=[orders, goals],
    resources={
        "io_manager": S3PickleIOManager(
            s3_resource=S3Resource(), s3_bucket=dg.EnvVar("OLD_BUCKET")
        ),
    },
)
