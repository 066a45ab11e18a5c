"""Dialects: what a client needs to read a bucket, in the words of each client.

Pure functions of an :data:`~dagster_buckets.stores.access.Access`. Secrets in what they give are
real, and no ``repr`` shows them. A client that has no option for a setting without which nothing
could be read is refused with a ``ConfigurationError``; one that takes no credentials of this kind,
with an ``UnsupportedTypeError``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dagster_buckets.errors import ConfigurationError, UnsupportedTypeError
from dagster_buckets.redaction import Hidden
from dagster_buckets.stores.access import Access, FileAccess, GoogleAccess, S3Access

if TYPE_CHECKING:
    import daft
    import pyarrow.fs

__all__ = [
    "arrow_files",
    "daft_config",
    "duckdb_secret",
    "fsspec_options",
    "hadoop_properties",
    "object_store_options",
]


def object_store_options(access: Access) -> dict[str, str]:
    """For Rust's ``object_store``: Polars, delta-rs and others."""
    match access:
        case FileAccess():
            return {}
        case S3Access():
            options = {
                "aws_access_key_id": access.key_id,
                "aws_secret_access_key": Hidden(access.secret),
                "aws_session_token": access.session_token and Hidden(access.session_token),
                "aws_region": access.region,
                "aws_endpoint_url": access.endpoint_url,
                "aws_allow_http": _is_http(access) and "true",
                "aws_request_payer": access.request_payer and "true",
                "allow_invalid_certificates": access.verify is False and "true",
            }
        case GoogleAccess():
            _refuse(access, "object_store", "access_token", "user_project")
            options = {
                "google_skip_signature": access.anonymous and "true",
                "google_service_account": access.key_file,
                "google_service_account_key": access.key and Hidden(access.key),
                "google_base_url": access.endpoint_url,
                "allow_http": _is_http(access) and "true",
            }
    return {name: value for name, value in options.items() if value}


def fsspec_options(access: Access) -> dict[str, Any]:
    """For ``fsspec.filesystem``: s3fs, gcsfs, and nothing for files."""
    match access:
        case FileAccess():
            return {}
        case S3Access():
            options = {
                "key": access.key_id,
                "secret": Hidden(access.secret),
                "token": access.session_token and Hidden(access.session_token),
                "endpoint_url": access.endpoint_url,
                "client_kwargs": {"region_name": access.region, "verify": access.verify},
                "requester_pays": access.request_payer,
            }
        case GoogleAccess():
            options = {
                "project": access.project,
                "token": _gcsfs_token(access),
                "endpoint_url": access.endpoint_url,
                "requester_pays": access.user_project,
            }
    return {name: value for name, value in options.items() if value}


def _gcsfs_token(access: GoogleAccess) -> Any:
    if access.key:
        # As text gcsfs would take it for an access token.
        told = json.loads(access.key).items()
        return {name: Hidden(value) if isinstance(value, str) else value for name, value in told}
    if access.access_token:
        return Hidden(access.access_token)
    return "anon" if access.anonymous else access.key_file


def duckdb_secret(access: Access) -> str:
    """A statement of DuckDB that creates a secret for this bucket; of files an empty one."""
    match access:
        case FileAccess():
            return ";"
        case S3Access():
            parts = urlsplit(access.endpoint_url or "")
            told: dict[str, str | None] = {
                "KEY_ID": access.key_id,
                "SECRET": access.secret,
                "SESSION_TOKEN": access.session_token,
                "REGION": access.region,
                "ENDPOINT": parts.netloc + parts.path,
                "URL_STYLE": access.endpoint_url and "path",
                "USE_SSL": "false" if _is_http(access) else None,
                "SCOPE": f"s3://{access.bucket}",
            }
            words = [f"{name} {_quoted(value)}" for name, value in told.items() if value]
            name = _quoted(f"dagster_buckets_{access.bucket}", '"')
            return Hidden(f"CREATE OR REPLACE SECRET {name} (TYPE s3, {', '.join(words)});")
        case GoogleAccess():
            raise _no_client(access, "DuckDB's own client")


def daft_config(access: Access) -> daft.io.IOConfig:
    """Daft's own object, whose ``repr`` hides the secret."""
    from daft.io import GCSConfig, IOConfig, S3Config

    match access:
        case FileAccess():
            return IOConfig()
        case S3Access():
            return IOConfig(
                s3=S3Config(
                    region_name=access.region,
                    endpoint_url=access.endpoint_url,
                    key_id=access.key_id,
                    access_key=access.secret,
                    session_token=access.session_token,
                    use_ssl=not _is_http(access),
                    verify_ssl=access.verify is not False,
                    requester_pays=access.request_payer,
                )
            )
        case GoogleAccess():
            _refuse(access, "Daft", "endpoint_url", "user_project")
            return IOConfig(
                gcs=GCSConfig(
                    project_id=access.project,
                    credentials=access.key_file or access.key,
                    token=access.access_token,
                    anonymous=access.anonymous,
                )
            )


def arrow_files(access: Access) -> pyarrow.fs.FileSystem:
    """A file system of Arrow."""
    import pyarrow.fs

    match access:
        case FileAccess():
            return pyarrow.fs.LocalFileSystem()
        case S3Access():
            _refuse(access, "Arrow", "request_payer")
            return pyarrow.fs.S3FileSystem(
                access_key=access.key_id,
                secret_key=access.secret,
                session_token=access.session_token,
                region=access.region,
                endpoint_override=access.endpoint_url,
            )
        case GoogleAccess():
            _refuse(access, "Arrow", "key", "key_file", "access_token", "user_project")
            parts = urlsplit(access.endpoint_url or "https://")
            return pyarrow.fs.GcsFileSystem(
                anonymous=access.anonymous,
                project_id=access.project,
                scheme=parts.scheme,
                endpoint_override=parts.netloc or None,
            )


def hadoop_properties(access: Access) -> dict[str, str]:
    """Properties of Hadoop's ``s3a``, for this bucket alone."""
    match access:
        case FileAccess():
            return {}
        case S3Access():
            kind = "TemporaryAWSCredentialsProvider"
            if not access.session_token:
                kind = "SimpleAWSCredentialsProvider"
            options = {
                "aws.credentials.provider": f"org.apache.hadoop.fs.s3a.{kind}",
                "access.key": access.key_id,
                "secret.key": Hidden(access.secret),
                "session.token": access.session_token and Hidden(access.session_token),
                "endpoint": access.endpoint_url,
                "endpoint.region": access.region,
                "path.style.access": access.endpoint_url and "true",
                "connection.ssl.enabled": _is_http(access) and "false",
                "requester.pays.enabled": access.request_payer and "true",
            }
            base = f"fs.s3a.bucket.{access.bucket}."
            return {base + name: value for name, value in options.items() if value}
        case GoogleAccess():
            raise _no_client(access, "Spark")


def _is_http(access: S3Access | GoogleAccess) -> bool:
    return urlsplit(access.endpoint_url or "").scheme == "http"


def _quoted(text: str, mark: str = "'") -> str:
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"


def _refuse(access: Access, client: str, *names: str) -> None:
    """Refuse settings for which a client has no option."""
    if found := [name for name in names if getattr(access, name)]:
        msg = f"{client} has no option for {', '.join(found)} of {access!r}"
        hint = "read it by way of fsspec (for_fsspec), or let the engine find its own credentials"
        raise ConfigurationError(msg, hint=hint)


def _no_client(access: GoogleAccess, client: str) -> UnsupportedTypeError:
    msg = f"there are no options for {client} and gs://{access.bucket}"
    hint = "read it by way of fsspec (for_fsspec), or set up the engine's own connector"
    return UnsupportedTypeError(msg, hint=hint)
