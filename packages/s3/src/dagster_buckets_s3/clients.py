"""The connections of a store: made at first use, by each process anew, the same for all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import BucketsError
from dagster_buckets.redaction import redacting
from dagster_buckets.stores.access import S3Access

from dagster_buckets_s3.boto_wire import BotoWire
from dagster_buckets_s3.control import endpoint_of, open_control, open_session
from dagster_buckets_s3.credentials import CredentialProvider
from dagster_buckets_s3.errors import REDIRECTS, cause_of, code_of, explained, translated
from dagster_buckets_s3.forks import LINEAGE, unforked
from dagster_buckets_s3.obstore_wire import ObstoreWire
from dagster_buckets_s3.seaweedfs import is_seaweedfs
from dagster_buckets_s3.settings import Settings
from dagster_buckets_s3.wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Clients", "Connections"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Connections:
    """The clients of one store in one process.

    Attributes:
        wire: Moves the objects' bytes.
        control: boto3, for what belongs to no object.
        credentials: What the clients ask.
        bucket: Its name.
    """

    wire: Wire
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
        """Raise whatever these clients raise in the block as the error that it means.

        A refusal may quote the credentials: neither it nor its cause shows them.
        """
        with redacting(self.credentials.secrets):
            try:
                yield
            except BucketsError:
                raise
            except Exception as error:  # noqa: BLE001 - raised again, whatever it is
                raise self.explained(error, uri) from cause_of(error)

    def access(self, settings: Settings) -> S3Access:
        """What a client of another library needs: what boto3 found, and these settings."""
        found = self.credentials()
        return S3Access(
            bucket=settings.bucket,
            region=self.control.meta.region_name,
            key_id=found["access_key_id"],
            secret=found["secret_access_key"],
            session_token=found.get("token"),
            endpoint_url=endpoint_of(settings, self.control.meta.endpoint_url),
            verify=settings.verify,
            request_payer=settings.request_payer,
        )

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


@dataclass(slots=True)
class _Here:
    """What one process has, and a lock that no thread of another process holds."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: Connections | None = None


class Clients:
    """Lazy, thread-safe access to :class:`Connections`.

    Attributes:
        etags_are_sums: Whether the ETags of uploads in parts may be sums of their bytes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # By generation. What a parent has left is kept: closing it would reach into its sockets.
        self._processes: dict[int, _Here] = {}
        self._seaweedfs: bool | None = None
        self.etags_are_sums = settings.server_side_encryption in {None, "AES256"}

    def get(self) -> Connections:
        """The connections; the first call in a process finds credentials, region and endpoint.

        Raises:
            AccessDeniedError: There are no credentials.
            ConfigurationError: The profile or the region does not exist.
        """
        here = self._here()
        with here.lock:
            if here.connections is None:
                with translated(f"s3://{self._settings.bucket}"):
                    here.connections = _connect(self._settings)
            return here.connections

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
        here = self._here()
        with here.lock:
            if here.connections is not None:
                here.connections.control.close()
            here.connections = None

    def _here(self) -> _Here:
        # One step, for which no lock is needed.
        return self._processes.setdefault(LINEAGE.generation, _Here())


def _connect(settings: Settings) -> Connections:
    with unforked():
        # The first is what the first look-up of a host imports, the third boto3's first client.
        import encodings.idna  # noqa: F401

        import boto3
        import boto3.s3.inject  # noqa: F401

        if not LINEAGE.without_obstore:
            import obstore  # noqa: F401
    session = open_session(settings)
    credentials = CredentialProvider(session.get_credentials(), f"s3://{settings.bucket}")
    # OpenSSL has locks, too, and holds them while it reads certificates.
    with unforked():
        control = open_control(session, settings)
        wire: Wire
        if LINEAGE.without_obstore:
            wire = BotoWire(control, settings)
        else:
            wire = ObstoreWire.connect(settings, credentials, control)
        connections = Connections(wire, control, credentials, settings.bucket)
        LINEAGE.made.add(connections)
    return connections
