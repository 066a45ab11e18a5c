"""Hand-over: stored objects in the words of other engines, which read them by themselves.

Each function takes an ``ObjectRef``, several, or a ``TableRef``, and gives what the reader of one
engine takes: the URIs in order and in that engine's spelling, and the options of its client, with
real credentials in them. No ``repr`` shows these. They are those of now: temporary ones end, so ask
again for a query that begins later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit

from dagster_buckets.errors import ConfigurationError, UnsupportedTypeError
from dagster_buckets.formats.table_refs import TableRef
from dagster_buckets.redaction import Hidden
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.access import Access, FileAccess, GoogleAccess, S3Access, access_to

if TYPE_CHECKING:
    import daft
    import pyarrow.fs

__all__ = [
    "Handover",
    "Stored",
    "for_arrow",
    "for_daft",
    "for_duckdb",
    "for_fsspec",
    "for_polars",
    "for_spark",
]

#: What can be handed over.
Stored: TypeAlias = TableRef | ObjectRef | Sequence[ObjectRef]
OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True, slots=True)
class Handover(Generic[OptionsT]):
    """What the reader of an engine takes.

    Attributes:
        uris: Of the objects, in order, as the engine spells them.
        options: Of its client, credentials included; ``repr`` hides these.
    """

    uris: list[str]
    options: OptionsT = field(repr=False)


def for_polars(stored: Stored) -> Handover[dict[str, str]]:
    """For ``polars.scan_parquet(uris, storage_options=options, glob=False)``.

    The options are those of Rust's ``object_store``, which delta-rs and others take, too.

    Raises:
        UnsupportedTypeError: Only this process can read the store.
        ConfigurationError: The objects lie in stores of different settings, or the client has no
            option for these.
        AccessDeniedError: There are no credentials.
    """
    refs, access = _of_one_store(stored)
    return Handover([_path(ref.uri) for ref in refs], _object_store(access))


def for_fsspec(stored: Stored) -> Handover[dict[str, Any]]:
    """For whatever reads by way of fsspec: ``fsspec.filesystem("s3", **options)``.

    pandas and Dask take them as ``storage_options``; DuckDB takes the file system by
    ``register_filesystem``, without any extension.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(stored)
    return Handover([_path(ref.uri) for ref in refs], _fsspec(access))


def for_duckdb(stored: Stored) -> Handover[str]:
    """For DuckDB's own client of S3: the options are a statement that creates a secret.

    It holds for URIs of this bucket. Of local files it is a statement that does nothing.

    Raises:
        BucketsError: As :func:`for_polars`; also for Google Cloud Storage, of which DuckDB takes
            no credentials but keys of its own kind.
    """
    refs, access = _of_one_store(stored)
    return Handover([_no_pattern(_path(ref.uri), "*?[", "DuckDB") for ref in refs], _duckdb(access))


def for_daft(stored: Stored) -> Handover[daft.io.IOConfig]:
    """For ``daft.read_parquet(uris, io_config=options)``.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(stored)
    return Handover([_no_pattern(_path(ref.uri), "*?[{", "Daft") for ref in refs], _daft(access))


def for_arrow(stored: Stored) -> Handover[pyarrow.fs.FileSystem]:
    """For Arrow and Ray: ``ray.data.read_parquet(uris, filesystem=options)``.

    The URIs are paths within that file system.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(stored)
    paths = [ref.uri.partition("://")[2] for ref in refs]
    return Handover(paths, _arrow(access))


def for_spark(stored: Stored) -> Handover[dict[str, str]]:
    """For ``spark.read.options(**options).parquet(*uris)``.

    The options are properties of Hadoop's client ``s3a``, for this bucket alone. Spark needs it on
    its class path (``hadoop-aws``).

    Raises:
        BucketsError: As :func:`for_polars`; also for Google Cloud Storage.
    """
    refs, access = _of_one_store(stored)
    scheme = {"s3": "s3a"}
    uris = []
    for ref in refs:
        own, _, path = _no_pattern(ref.uri, "*?[{\\", "Spark").partition("://")
        uris.append(f"{scheme.get(own, own)}://{path}")
    return Handover(uris, _hadoop(access))


def _of_one_store(stored: Stored) -> tuple[Sequence[ObjectRef], Access]:
    """The objects, and what a client needs for all of them."""
    if isinstance(stored, TableRef):
        stored = stored.objects
    refs = [stored] if isinstance(stored, ObjectRef) else list(stored)
    if not refs:
        msg = "there is nothing to hand over"
        raise ConfigurationError(msg, hint="give at least one object")
    stores = {id(ref.store): ref for ref in refs}
    first, *others = stores.values()
    access = access_to(first.store)
    for other in others:
        if access_to(other.store) != access:
            msg = f"{first.uri} and {other.uri} are read with different settings"
            hint = "hand the partitions over one by one: TableRef.by_partition, dict[str, TableRef]"
            raise ConfigurationError(msg, uri=other.uri, hint=hint)
    return refs, access


def _object_store(access: Access) -> dict[str, str]:
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


def _fsspec(access: Access) -> dict[str, Any]:
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
        return {name: Hidden(value) for name, value in json.loads(access.key).items()}
    if access.access_token:
        return Hidden(access.access_token)
    return "anon" if access.anonymous else access.key_file


def _duckdb(access: Access) -> str:
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


def _daft(access: Access) -> daft.io.IOConfig:
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


def _arrow(access: Access) -> pyarrow.fs.FileSystem:
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


def _hadoop(access: Access) -> dict[str, str]:
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


def _path(uri: str) -> str:
    """The URI; of a file its path, which no client decodes."""
    return uri.removeprefix("file://")


def _no_pattern(uri: str, marks: str, engine: str) -> str:
    """The URI, which the engine would take for a pattern if it held one of these."""
    if found := next((mark for mark in marks if mark in uri), None):
        msg = f"{engine} takes {uri} for a pattern, because of its {found!r}"
        hint = "keep it under a root, a prefix and a name without such characters"
        raise ConfigurationError(msg, uri=uri, hint=hint)
    return uri


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
