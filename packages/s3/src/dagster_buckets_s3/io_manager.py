"""``S3IOManager``: values as objects of an S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Optional, Self, cast

from dagster_buckets import BucketIOManager, ConfigurationError, secret_field
from dagster_buckets.environment import from_environment
from pydantic import Field, ModelWrapValidatorHandler, model_validator

from dagster_buckets_s3.settings import Options, Settings

if TYPE_CHECKING:
    from dagster_buckets_s3.store import S3Store

__all__ = ["S3IOManager"]

_DEFAULTS = Settings("bucket")
# Not what may come from the environment in part only: credentials and what goes with them.
_CHECKED_EARLY = {"bucket", *Options.__annotations__} - {
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "profile_name", "verify",
}  # fmt: skip


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
        verify: Check TLS certificates.
        ca_bundle: The file of another certificate authority.
        max_attempts: Tries of one request, the first included.
        connect_timeout: Seconds.
        read_timeout: Seconds without a byte of an answer.
        deadline: Seconds for one request with its body, after which it is not tried again either.
        checksum_algorithm: By which S3 checks uploads: ``CRC64NVME``, ``SHA256``, or ``None`` for
            servers that refuse both.
        server_side_encryption: ``AES256``, ``aws:kms`` or ``aws:kms:dsse``; the bucket's default.
        sse_kms_key_id: The KMS key; AWS' own by default.
        bucket_key_enabled: With ``aws:kms``: ask KMS once for many objects.
        storage_class: Of new objects, as ``STANDARD_IA``.
        tags: Of new objects, up to ten.
        metadata: User metadata of new objects: lower-case names, ASCII.
        request_payer: Whether whoever asks pays.
        expected_bucket_owner: The 12 digits of the account to which the bucket must belong.

    Raises:
        ConfigurationError: The settings cannot work together, or one of them cannot at all.

    Example:
        >>> import dagster as dg
        >>> manager = S3IOManager(bucket="lake", prefix="prod", region_name="eu-west-1")
        >>> defs = dg.Definitions(resources={"io_manager": manager})
    """

    kind: ClassVar[str] = "s3"

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

    verify: bool = Field(default=True, description="Check TLS certificates.")
    ca_bundle: Optional[str] = Field(  # noqa: UP045
        default=None, description="The file of another certificate authority."
    )
    max_attempts: int = Field(
        default=_DEFAULTS.max_attempts,
        ge=1,
        description="Tries of one request, the first included.",
    )
    connect_timeout: float = Field(
        default=_DEFAULTS.connect_timeout, gt=0, description="For a connection, in seconds."
    )
    read_timeout: float = Field(
        default=_DEFAULTS.read_timeout, gt=0, description="Without a byte of an answer, in seconds."
    )
    deadline: float = Field(
        default=_DEFAULTS.deadline, gt=0, description="For one request with its body, in seconds."
    )
    checksum_algorithm: Optional[str] = Field(  # noqa: UP045
        default=_DEFAULTS.checksum_algorithm,
        description="By which S3 checks uploads: CRC64NVME, SHA256 or none.",
    )
    server_side_encryption: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of new objects: AES256, aws:kms or aws:kms:dsse."
    )
    sse_kms_key_id: Optional[str] = Field(  # noqa: UP045
        default=None, description="The KMS key of new objects; AWS' own by default."
    )
    bucket_key_enabled: Optional[bool] = Field(  # noqa: UP045
        default=None, description="Ask KMS once for many objects (with aws:kms)."
    )
    storage_class: Optional[str] = Field(  # noqa: UP045
        default=None, description="Of new objects, as STANDARD_IA."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Of new objects, up to ten.")
    metadata: dict[str, str] = Field(
        default_factory=dict, description="User metadata of new objects: lower-case names, ASCII."
    )
    request_payer: bool = Field(default=False, description="Whether whoever asks pays.")
    expected_bucket_owner: Optional[str] = Field(  # noqa: UP045
        default=None, description="The account, 12 digits, to which the bucket must belong."
    )

    @model_validator(mode="wrap")
    @classmethod
    def _check_together(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        manager = handler(data)
        given = data if isinstance(data, dict) else {}
        if manager.ca_bundle is not None and not manager.verify:
            msg = "ca_bundle names a certificate authority, but verify=False asks none"
            raise ConfigurationError(msg, hint="give one of the two")
        # Of an EnvVar only its name is known now: the store checks it when it is made.
        known = {
            name: getattr(manager, name)
            for name in _CHECKED_EARLY
            if not from_environment(given.get(name))
        }
        Settings(**{"bucket": "bucket", **known})
        return manager

    def make_store(self) -> S3Store:
        """See :meth:`BucketIOManager.make_store <dagster_buckets.BucketIOManager.make_store>`."""
        from dagster_buckets_s3.store import S3Store

        options = {name: getattr(self, name) for name in Options.__annotations__}
        options["verify"] = self.ca_bundle or self.verify
        return S3Store(self.bucket, self.prefix, **cast("Options", options))
