"""``GCSIOManager``: values as objects of a Google Cloud Storage bucket."""

from __future__ import annotations

from typing import Optional

from dagster_buckets import BucketIOManager
from pydantic import Field

from dagster_buckets_gcs.store import GCSStore

__all__ = ["GCSIOManager"]


class GCSIOManager(BucketIOManager):
    """Stores the values of assets and ops in Google Cloud Storage.

    Guarantee: as :class:`~dagster_buckets.BucketIOManager`; one request for each write and load up
    to 16 MiB, none when it is constructed.

    Credentials are Google's application default credentials unless ``token`` says otherwise.

    Args:
        bucket: The bucket's name; it must exist.
        project: The project that is billed; the bucket's by default.
        token: What gcsfs takes: ``google_default``, ``cloud``, ``anon``, or the path of a service
            account's key file. Give a secret as ``dg.EnvVar("…")``.
        endpoint_url: Of an emulator.

    Example:
        >>> import dagster as dg
        >>> manager = GCSIOManager(bucket="lake", prefix="prod", project="shop")
        >>> defs = dg.Definitions(resources={"io_manager": manager})
    """

    bucket: str = Field(description="The bucket's name; it must exist.")
    project: Optional[str] = Field(  # noqa: UP045
        default=None, description="The project that is billed."
    )
    token: Optional[str] = Field(  # noqa: UP045
        default=None, repr=False, description="What gcsfs takes as its token; give an EnvVar."
    )
    endpoint_url: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of an emulator."
    )

    def make_store(self) -> GCSStore:
        """See :meth:`BucketIOManager.make_store <dagster_buckets.BucketIOManager.make_store>`."""
        return GCSStore(
            self.bucket,
            self.prefix,
            project=self.project,
            token=self.token,
            endpoint_url=self.endpoint_url,
        )
