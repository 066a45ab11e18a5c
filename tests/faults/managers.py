"""I/O managers of the fault tests, made from the settings of a store."""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
from dagster_buckets import BucketIOManager

__all__ = ["manager_of"]


def manager_of(backend: str, settings: dict[str, Any], **more: Any) -> BucketIOManager:
    """The I/O manager of a backend; its secret comes from the environment."""
    if backend == "gcs":
        from dagster_buckets_gcs import GCSIOManager

        return GCSIOManager(**{**settings, **more})
    from dagster_buckets_s3 import S3IOManager

    os.environ["FAULTS_SECRET"] = settings["aws_secret_access_key"]
    known = {**settings, "aws_secret_access_key": dg.EnvVar("FAULTS_SECRET"), **more}
    return S3IOManager(**known)
