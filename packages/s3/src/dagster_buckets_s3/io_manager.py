"""``S3IOManager``: values as objects of an S3 bucket."""

from __future__ import annotations

from typing import Optional

from dagster_buckets import BucketIOManager, secret_field
from pydantic import Field

from dagster_buckets_s3.store import S3Store

__all__ = ["S3IOManager"]


class S3IOManager(BucketIOManager):
    """Stores the values of assets and ops in Amazon S3, or in a store that speaks its protocol.

    Guarantee: as :class:`~dagster_buckets.BucketIOManager`; one request for each write and load up
    to 16 MiB, none when it is constructed.

    Credentials come from boto3's chain (environment, profile, SSO, role of the task or pod) unless
    they are given. Give secrets as ``dg.EnvVar("…")``: Dagster's webserver sees a literal one.
    The fields have the names of dagster-aws' ``S3Resource``.

    Args:
        bucket: The bucket's name; it must exist.
        endpoint_url: Of another store with S3's protocol (MinIO, SeaweedFS, moto).
        region_name: Of the bucket.
        profile_name: Of the AWS configuration file.
        aws_access_key_id: With the secret key, instead of boto3's chain.
        aws_secret_access_key: The secret of the access key.
        aws_session_token: For temporary credentials.

    Example:
        >>> import dagster as dg
        >>> manager = S3IOManager(bucket="lake", prefix="prod", region_name="eu-west-1")
        >>> defs = dg.Definitions(resources={"io_manager": manager})
    """

    bucket: str = Field(description="The bucket's name; it must exist.")
    endpoint_url: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of another store that speaks S3's protocol."
    )
    region_name: Optional[str] = Field(  # noqa: UP045
        default=None, description="The bucket's region."
    )
    profile_name: Optional[str] = Field(  # noqa: UP045
        default=None, description="A profile of the AWS configuration file."
    )
    aws_access_key_id: Optional[str] = Field(  # noqa: UP045
        default=None, repr=False, description="Instead of boto3's credential chain."
    )
    aws_secret_access_key: Optional[str] = secret_field(  # noqa: UP045
        "The secret of the access key; give an EnvVar."
    )
    aws_session_token: Optional[str] = secret_field(  # noqa: UP045
        "For temporary credentials; give an EnvVar."
    )

    def make_store(self) -> S3Store:
        """See :meth:`BucketIOManager.make_store <dagster_buckets.BucketIOManager.make_store>`."""
        return S3Store(
            self.bucket,
            self.prefix,
            endpoint_url=self.endpoint_url,
            region_name=self.region_name,
            profile_name=self.profile_name,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
        )
