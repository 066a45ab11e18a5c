"""Where values lie: a folder on a laptop, the bucket in production, both for a branch."""

import os

import dagster as dg
from dagster_buckets import BucketIOManager
from dagster_buckets_local import LocalIOManager
from dagster_buckets_s3 import S3IOManager


def io_manager() -> BucketIOManager:
    """By the environment: ``SHOP_DEPLOYMENT``, or what Dagster+ sets in a branch deployment."""
    deployment = os.getenv("SHOP_DEPLOYMENT", "dev")
    if os.getenv("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT") == "1":
        deployment = "branch"
    if deployment == "dev":
        return LocalIOManager(root=os.getenv("SHOP_ROOT", "data"))
    # The names that the outputs of the Terraform modules have.
    production = S3IOManager(bucket=dg.EnvVar("LAKE_BUCKET"), prefix=dg.EnvVar("LAKE_PREFIX"))
    if deployment == "prod":
        return production
    branch = os.getenv("DAGSTER_CLOUD_DEPLOYMENT_NAME", "me")
    return S3IOManager(
        bucket=dg.EnvVar("BRANCH_BUCKET"), prefix=f"branches/{branch}", read_from=production
    )
