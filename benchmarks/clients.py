"""The managers and the bare client that are measured, all of them for one cloud."""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "BUCKET",
    "bare",
    "boto3_client",
    "dagster_polars",
    "on_s3fs",
    "ours",
    "ours_on_gcs",
    "stock",
]

BUCKET = "bench"
_REGION = "us-east-1"
#: For all of them, from the environment, as in a deployment. No server here looks at it.
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "of-no-account",
    # Of Polars, which dagster-polars has no way to tell.
    "AWS_ALLOW_HTTP": "true",
}
os.environ.update(KEYS)


def bare(endpoint: str) -> Any:
    """Obstore's S3 store, as its manual says: the floor."""
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        endpoint=endpoint,
        region=_REGION,
        access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def boto3_client(endpoint: str) -> Any:
    """boto3's client."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name=_REGION)


def ours(endpoint: str, **settings: Any) -> Any:
    """Our manager."""
    from dagster_buckets_s3 import S3IOManager

    return S3IOManager(bucket=BUCKET, endpoint_url=endpoint, region_name=_REGION, **settings)


def ours_on_gcs(endpoint: str, **settings: Any) -> Any:
    """Our manager for Google Cloud Storage."""
    from dagster_buckets_gcs import GCSIOManager

    return GCSIOManager(bucket=BUCKET, endpoint_url=endpoint, token="anon", **settings)  # noqa: S106


def stock(endpoint: str) -> Any:
    """Dagster's own S3 manager."""
    from dagster_aws.s3 import S3PickleIOManager, S3Resource

    resource = S3Resource(endpoint_url=endpoint, region_name=_REGION)
    return S3PickleIOManager(s3_resource=resource, s3_bucket=BUCKET)


def _s3fs_options(endpoint: str) -> dict[str, Any]:
    return {
        "key": KEYS["AWS_ACCESS_KEY_ID"],
        "secret": KEYS["AWS_SECRET_ACCESS_KEY"],
        "client_kwargs": {"endpoint_url": endpoint, "region_name": _REGION},
    }


def dagster_polars(endpoint: str) -> Any:
    """The manager of dagster-polars for Parquet."""
    from dagster_polars import PolarsParquetIOManager

    return PolarsParquetIOManager(
        base_dir=f"s3://{BUCKET}/polars", storage_options=_s3fs_options(endpoint)
    )


def on_s3fs(endpoint: str, *, asynchronous: bool = False) -> Any:
    """A manager as people write it by hand: UPathIOManager, s3fs, Parquet by Polars.

    Args:
        endpoint: Of the cloud.
        asynchronous: Whether it loads all partitions at once, as Dagster's manual shows.
    """
    import io

    import dagster as dg
    import polars as pl
    import s3fs
    from upath import UPath

    class ByHand(dg.UPathIOManager):
        extension = ".parquet"

        def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:  # noqa: ARG002
            with path.open("wb") as target:
                obj.write_parquet(target)

        def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:  # noqa: ARG002
            with path.open("rb") as source:
                return pl.read_parquet(source)

    class AtOnce(ByHand):
        # Of one event loop, which Dagster makes for each load; so of one manager.
        files = s3fs.S3FileSystem(
            asynchronous=True, skip_instance_cache=True, **_s3fs_options(endpoint)
        )

        async def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:  # noqa: ARG002
            return pl.read_parquet(io.BytesIO(await self.files._cat_file(str(path))))  # noqa: SLF001

    base = UPath(f"s3://{BUCKET}/upath", **_s3fs_options(endpoint))
    return (AtOnce if asynchronous else ByHand)(base_path=base)
