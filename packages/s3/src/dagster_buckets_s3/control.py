"""boto3's side: the session that finds credentials, and a client with our limits and settings."""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from dagster_buckets_s3.settings import Settings

if TYPE_CHECKING:
    import boto3
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client

__all__ = ["address", "endpoint_of", "open_control", "open_session"]

# As many as the objects that a manager moves at once, and more.
_CONNECTIONS = 64
_BEGAN = "dagster_buckets_began"


@functools.cache
def _loader(path: str | None) -> Loader:
    """What botocore knows of S3: read once in a process, instead of for 70 ms by each session."""
    from botocore.loaders import create_loader

    return create_loader(path)


def open_session(settings: Settings) -> boto3.session.Session:
    """A session that finds profile, region and credentials as boto3 does."""
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=settings.profile_name)
    loader = _loader(core.get_config_variable("data_path"))
    core.register_component("data_loader", loader)
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
        aws_session_token=settings.aws_session_token,
        region_name=settings.region_name,
    )
    # boto3 adds its own folder for each session.
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)
    return session


def open_control(session: boto3.session.Session, settings: Settings) -> S3Client:
    """A client whose every request, whoever sends it, has the limits and settings of a store."""
    from botocore.config import Config

    client: S3Client = session.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        verify=settings.verify,
        config=Config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            max_pool_connections=_CONNECTIONS,
            # What is written is checked by what _defaults asks for, what is read by its header.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if settings.endpoint_url else None,
        ),
    )
    defaults = _defaults(settings)

    def complete(params: dict[str, Any], model: Any, **_: Any) -> None:
        for name, value in defaults.items():
            if name in model.input_shape.members:
                params.setdefault(name, value)

    def limit(request: Any, **_: Any) -> None:
        began = request.context.setdefault(_BEGAN, time.monotonic())
        if time.monotonic() - began > settings.deadline:
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=settings.bucket)

    client.meta.events.register("before-parameter-build.s3", complete)
    # Each try makes its request anew, and then signs it.
    client.meta.events.register_first("request-created.s3", limit)
    return client


def address(settings: Settings, resolved: str) -> tuple[str, bool]:
    """The endpoint for obstore, and whether the bucket is part of its host name."""
    parts = urlsplit(resolved)
    # A dot in the bucket's name does not match the certificate of *.s3.amazonaws.com.
    if endpoint_of(settings, resolved) or "." in settings.bucket:
        return resolved.rstrip("/"), False
    return f"{parts.scheme}://{settings.bucket}.{parts.hostname}", True


def endpoint_of(settings: Settings, resolved: str) -> str | None:
    """The endpoint, if it is not the one that a client of Amazon's S3 takes of itself."""
    host = urlsplit(resolved).hostname or ""
    aws = re.fullmatch(r"s3[.-]([a-z0-9-]+\.)*amazonaws\.com(\.cn)?", host) is not None
    return resolved.rstrip("/") if settings.endpoint_url or not aws else None


def _defaults(settings: Settings) -> dict[str, Any]:
    """What requests get that have such a parameter, by boto3's names."""
    # CRC-64/NVME would need awscrt.
    checksum = {"CRC64NVME": "CRC32", "SHA256": "SHA256", None: None}[settings.checksum_algorithm]
    known = {
        "ChecksumAlgorithm": checksum,
        "ServerSideEncryption": settings.server_side_encryption,
        "SSEKMSKeyId": settings.sse_kms_key_id,
        "BucketKeyEnabled": settings.bucket_key_enabled,
        "StorageClass": settings.storage_class,
        "Tagging": urlencode(settings.tags) or None,
        "RequestPayer": "requester" if settings.request_payer else None,
        "ExpectedBucketOwner": settings.expected_bucket_owner,
    }
    return {name: value for name, value in known.items() if value is not None}
