"""Access: what a client of another library needs to read the objects of a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

from dagster_buckets.errors import UnsupportedTypeError
from dagster_buckets.powers import has_power

if TYPE_CHECKING:
    from dagster_buckets.stores.base import ObjectStore

__all__ = ["Access", "FileAccess", "GoogleAccess", "S3Access", "SupportsAccess", "access_to"]


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Files of this machine, or of a folder that all machines share: nothing is needed."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """A bucket of S3, or of a server that speaks its protocol.

    Attributes:
        bucket: Its name.
        region: Of the bucket.
        key_id: Of the credentials.
        secret: Of the credentials.
        session_token: Of temporary credentials.
        endpoint_url: Of another server than Amazon's, which is addressed by path.
        verify: Whether to check TLS certificates; or the file of another certificate authority.
        request_payer: Whether the reader pays.
    """

    bucket: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    verify: bool | str = True
    request_payer: bool = False


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """A bucket of Google Cloud Storage; by default with Google's application default credentials.

    Attributes:
        bucket: Its name.
        project: The project for the client.
        endpoint_url: Of an emulator.
        anonymous: Without credentials.
        key_file: The path of a service account's key.
        key: The content of such a file, JSON.
        access_token: Of short life, instead.
        user_project: The project that pays for the requests.
    """

    bucket: str
    project: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False
    key_file: str | None = None
    key: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    user_project: str | None = None


Access: TypeAlias = FileAccess | S3Access | GoogleAccess


@runtime_checkable
class SupportsAccess(Protocol):
    """A store whose objects clients of other libraries can read."""

    def access(self) -> Access:
        """What they need for it, credentials included, as they are now.

        May ask whoever gives credentials, but not the store's server.

        Raises:
            AccessDeniedError: There are no credentials.
        """
        ...


def access_to(store: ObjectStore) -> Access:
    """See :meth:`SupportsAccess.access`.

    Raises:
        UnsupportedTypeError: Other libraries cannot read this store.
    """
    if not has_power(store, SupportsAccess):
        msg = f"{store!r} can be read by this process only"
        raise UnsupportedTypeError(msg, hint="keep the value in files, on S3 or on Google's store")
    return cast("SupportsAccess", store).access()
