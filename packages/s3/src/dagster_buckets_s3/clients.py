"""The connections of a store: made at first use, by each process anew, the same for all threads."""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

from dagster_buckets.errors import BucketsError, ConfigurationError, StoreUnavailableError

from dagster_buckets_s3.credentials import CredentialProvider
from dagster_buckets_s3.errors import REDIRECTS, cause_of, code_of, explained, translated
from dagster_buckets_s3.seaweedfs import is_seaweedfs

if TYPE_CHECKING:
    import boto3
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client
    from obstore.store import ClientConfig, S3Config
    from obstore.store import S3Store as ObstoreS3Store

__all__ = ["Clients", "Connections", "Options", "Settings"]

# obstore's runtime lives in the process that used it first: in a fork of it every call hangs.
_runtime: list[int] = []


class Options(TypedDict, total=False):
    """What a store can be told beyond its bucket and prefix; all of it optional.

    Attributes:
        endpoint_url: A server other than AWS, such as ``http://localhost:9000``. Addressed by
            path; AWS itself by host name.
        region_name: Of the bucket.
        profile_name: In ``~/.aws``.
        aws_access_key_id: With the next two: credentials instead of boto3's search for them.
        aws_secret_access_key: See there.
        aws_session_token: See there; temporary credentials have one.
        verify: Check TLS certificates; or the file that holds another certificate authority.
        max_attempts: Tries of one request, the first included.
        connect_timeout: Seconds.
        read_timeout: Seconds without a byte of an answer.
        deadline: Seconds for one request with its body, after which it is not tried again either.
        checksum_algorithm: By which S3 checks uploads. ``None`` for servers that refuse it: the
            signature's SHA-256 then covers the body.
    """

    endpoint_url: str | None
    region_name: str | None
    profile_name: str | None
    aws_access_key_id: str | None
    aws_secret_access_key: str | None
    aws_session_token: str | None
    verify: bool | str
    max_attempts: int
    connect_timeout: float
    read_timeout: float
    deadline: float
    checksum_algorithm: Literal["CRC64NVME", "SHA256"] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A bucket and its :class:`Options`, secrets included: the one part of a store to pickle."""

    bucket: str
    endpoint_url: str | None = None
    region_name: str | None = None
    profile_name: str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    verify: bool | str = True
    max_attempts: int = 5
    connect_timeout: float = 3
    read_timeout: float = 20
    deadline: float = 120
    checksum_algorithm: Literal["CRC64NVME", "SHA256"] | None = "CRC64NVME"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+", self.bucket):
            msg = f"{self.bucket!r} cannot be the name of a bucket"
            raise ConfigurationError(msg, hint="give its bare name; folders belong into prefix")
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            msg = f"half of the credentials for s3://{self.bucket} is missing"
            hint = "give both aws_access_key_id and aws_secret_access_key, or neither"
            raise ConfigurationError(msg, hint=hint)
        if self.endpoint_url is None:
            return
        parts = urlsplit(self.endpoint_url)
        # Not quoted in the errors: it may hold a password.
        if parts.username or parts.password:
            msg = f"the endpoint of s3://{self.bucket} holds a user name or password"
            raise ConfigurationError(msg, hint="use aws_access_key_id and aws_secret_access_key")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"the endpoint of s3://{self.bucket} is not a URL"
            raise ConfigurationError(msg, hint="give it as https://host or http://host:port")


@dataclass(frozen=True, slots=True)
class Connections:
    """The clients of one store in one process.

    Attributes:
        reading: obstore, which gives up a stalled answer after ``read_timeout``.
        writing: obstore without that limit: it would count the time that sending takes, too.
        control: boto3, for what obstore cannot do.
        credentials: What both obstore clients ask.
        bucket: Its name.
    """

    reading: ObstoreS3Store
    writing: ObstoreS3Store
    control: S3Client
    credentials: CredentialProvider
    bucket: str

    def explained(self, error: Exception, uri: str) -> BucketsError:
        """The error of this library that an error of these clients means."""
        if self.credentials.failure is not None:
            # obstore hides it behind an error of its own.
            return explained(self.credentials.failure, uri)
        region = self._region() if code_of(error) in REDIRECTS else None
        return explained(error, uri, region=region)

    @contextmanager
    def translated(self, uri: str) -> Iterator[None]:
        """Raise whatever these clients raise in the block as the error that it means."""
        try:
            yield
        except BucketsError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again, whatever it is
            raise self.explained(error, uri) from cause_of(error)

    def _region(self) -> str | None:
        """Where the bucket is, which every answer of S3 to HeadBucket says, refusals included."""
        answer: Any
        try:
            answer = self.control.head_bucket(Bucket=self.bucket)
        except Exception as error:  # noqa: BLE001 - asked for the sake of a hint only
            answer = getattr(error, "response", {})
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region: str | None = headers.get("x-amz-bucket-region")
        return region


class Clients:
    """Lazy, thread-safe access to :class:`Connections`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connections: Connections | None = None
        self._seaweedfs: bool | None = None

    def get(self) -> Connections:
        """The connections; the first call finds credentials, region and endpoint.

        Raises:
            AccessDeniedError: There are no credentials.
            ConfigurationError: The profile or the region does not exist.
            StoreUnavailableError: This process is a fork of one that had used S3.
        """
        # Before the lock, which another thread may have held at the time of the fork.
        _refuse_fork(self._settings.bucket)
        with self._lock:
            if self._connections is None:
                with translated(f"s3://{self._settings.bucket}"):
                    self._connections = _connect(self._settings)
            return self._connections

    @contextmanager
    def calling(self, uri: str) -> Iterator[Connections]:
        """The connections, for a block whose errors are raised as those of this library."""
        connections = self.get()
        with connections.translated(uri):
            yield connections

    def seaweedfs(self, uri: str, prefix: str) -> bool:
        """Whether the server is SeaweedFS; it is asked once, with a key that starts with this."""
        if self._seaweedfs is None:
            with self.calling(uri) as connections:
                self._seaweedfs = is_seaweedfs(connections.control, connections.bucket, prefix)
        return self._seaweedfs

    def close(self) -> None:
        """Give up the connections; the next use makes new ones."""
        with self._lock:
            if self._connections is not None:
                self._connections.control.close()
            self._connections = None


def _refuse_fork(bucket: str) -> None:
    if _runtime and _runtime[0] != os.getpid():
        msg = f"s3://{bucket} cannot be used in a fork of a process that has used S3"
        hint = (
            "start processes with multiprocessing.get_context('spawn') or 'forkserver' (in "
            "Dagster: the multiprocess executor's start_method), or fork before S3 is used"
        )
        raise StoreUnavailableError(msg, uri=f"s3://{bucket}", hint=hint)


@functools.cache
def _loader(path: str | None) -> Loader:
    """What botocore knows of S3: read once in a process, instead of for 70 ms by each session."""
    from botocore.loaders import create_loader

    return create_loader(path)


def _connect(settings: Settings) -> Connections:
    import boto3
    import botocore.session
    from botocore.config import Config
    from obstore.store import S3Store as ObstoreS3Store

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
    provider = CredentialProvider(session.get_credentials(), f"s3://{settings.bucket}")
    control = _control(session, settings, Config)
    endpoint, virtual = _address(settings, control.meta.endpoint_url)
    region = control.meta.region_name
    config: S3Config = {
        # Each of these would else come from the environment; the first would even override
        # `endpoint` (measured with obstore 0.12).
        "aws_endpoint_url_s3": endpoint,
        "endpoint": endpoint,
        "region": "us-east-1" if region in {None, "aws-global"} else region,
        "virtual_hosted_style_request": virtual,
        "skip_signature": False,
        "conditional_put": "etag",
        "s3_express": False,
        "request_payer": False,
        "disable_bulk_delete": False,
    }
    if settings.checksum_algorithm == "CRC64NVME":
        # The checksum covers the body: hashing it for the signature, too, costs twice the CPU.
        config |= {"checksum_algorithm": "CRC64NVME", "unsigned_payload": True}
    else:
        config |= {"unsigned_payload": False}
        if settings.checksum_algorithm:
            config |= {"checksum_algorithm": settings.checksum_algorithm}

    def client(options: ClientConfig) -> ObstoreS3Store:
        return ObstoreS3Store(
            settings.bucket,
            config=config,
            client_options=options,
            retry_config={
                "max_retries": settings.max_attempts - 1,
                "retry_timeout": timedelta(seconds=settings.deadline),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
            credential_provider=provider,
        )

    options: ClientConfig = {
        "allow_http": urlsplit(endpoint).scheme == "http",
        "connect_timeout": timedelta(seconds=settings.connect_timeout),
        "timeout": timedelta(seconds=settings.deadline),
    }
    if settings.verify is False:
        options["allow_invalid_certificates"] = True
    elif isinstance(settings.verify, str):
        options["root_certificate"] = Path(settings.verify).read_bytes()
    stalled: ClientConfig = {"read_timeout": timedelta(seconds=settings.read_timeout)}
    _runtime[:] = [os.getpid()]
    return Connections(
        reading=client({**options, **stalled}),
        writing=client(options),
        control=control,
        credentials=provider,
        bucket=settings.bucket,
    )


def _control(session: boto3.session.Session, settings: Settings, config: type) -> S3Client:
    client: S3Client = session.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        verify=settings.verify,
        config=config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            s3={"addressing_style": "path"} if settings.endpoint_url else None,
        ),
    )
    return client


def _address(settings: Settings, resolved: str) -> tuple[str, bool]:
    """The endpoint for obstore, and whether the bucket is part of its host name."""
    parts = urlsplit(resolved)
    host = parts.hostname or ""
    aws = re.fullmatch(r"s3[.-]([a-z0-9-]+\.)*amazonaws\.com(\.cn)?", host) is not None
    # A dot in the bucket's name does not match the certificate of *.s3.amazonaws.com.
    if settings.endpoint_url or not aws or "." in settings.bucket:
        return resolved.rstrip("/"), False
    return f"{parts.scheme}://{settings.bucket}.{host}", True
