"""``GCSIOManager``: values as objects of a Google Cloud Storage bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Optional

from dagster_buckets import BucketIOManager, secret_field
from dagster_buckets.environment import from_environment
from pydantic import Field, field_validator

from dagster_buckets_gcs.login import is_secret_token
from dagster_buckets_gcs.settings import check_setting

if TYPE_CHECKING:
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
        user_project: The project that pays for the requests to a requester-pays bucket.
        kms_key_name: The key of Cloud KMS that encrypts what is written (CMEK), by its full name.
        storage_class: Of what is written: ``STANDARD``, ``NEARLINE``, ``COLDLINE``, ``ARCHIVE``.
        metadata: User metadata of every object that is written.
        max_attempts: How often one request is sent at most.
        connect_timeout: Seconds to connect.
        read_timeout: Seconds of silence after which a request counts as lost.
        deadline: Seconds after which a failing request is not sent again.
        max_concurrency: How many objects are read or written at once, 64 by default: what waits
            for Google while many are read needs no thread of its own.

    Example:
        >>> import dagster as dg
        >>> manager = GCSIOManager(bucket="lake", prefix="prod", project="shop")
        >>> defs = dg.Definitions(resources={"io_manager": manager})
    """

    kind: ClassVar[str] = "gcs"

    bucket: str = Field(description="The bucket's name; it must exist.")
    project: Optional[str] = Field(  # noqa: UP045
        default=None, description="The project that is billed."
    )
    token: Optional[str] = secret_field(  # noqa: UP045
        "What gcsfs takes as its token; give an EnvVar."
    )
    endpoint_url: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of an emulator."
    )
    user_project: Optional[str] = Field(  # noqa: UP045
        default=None, description="The project that pays, where the bucket's does not."
    )
    kms_key_name: Optional[str] = Field(  # noqa: UP045
        default=None, description="The key of Cloud KMS for what is written, by its full name."
    )
    storage_class: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of what is written; the bucket's by default."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="User metadata of every object that is written."
    )
    max_attempts: int = Field(default=8, description="How often one request is sent at most.")
    connect_timeout: float = Field(default=5.0, description="Seconds to connect.")
    read_timeout: float = Field(
        default=10.0, description="Seconds of silence after which a request counts as lost."
    )
    deadline: float = Field(
        default=20.0, description="Seconds after which a failing request is not sent again."
    )
    max_concurrency: int = Field(
        default=64, ge=1, description="How many objects are read or written at once."
    )

    @field_validator(
        "endpoint_url", "user_project", "kms_key_name", "storage_class", "metadata",
        "max_attempts", "connect_timeout", "read_timeout", "deadline",
        mode="wrap",
    )  # fmt: skip
    @classmethod
    def _check_pass_through(cls, value: Any, handler: Any, info: Any) -> Any:
        found = handler(value)
        # Of an EnvVar only its name is known now: it is checked when the store is made.
        if not from_environment(value):
            check_setting(info.field_name, found)
        return found

    @classmethod
    def is_secret(cls, field: str, value: str) -> bool:
        """See :meth:`BucketIOManager.is_secret <dagster_buckets.BucketIOManager.is_secret>`."""
        return field != "token" or is_secret_token(value)

    def make_store(self) -> GCSStore:
        """See :meth:`BucketIOManager.make_store <dagster_buckets.BucketIOManager.make_store>`."""
        from dagster_buckets_gcs.store import GCSStore

        return GCSStore(
            self.bucket,
            self.prefix,
            project=self.project,
            token=self.token,
            endpoint_url=self.endpoint_url,
            user_project=self.user_project,
            kms_key_name=self.kms_key_name,
            storage_class=self.storage_class,
            metadata=self.metadata,
            max_attempts=self.max_attempts,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            deadline=self.deadline,
        )
