"""The store protocol: where bytes lie, and what every store promises about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast, runtime_checkable

from dagster_buckets.errors import InvalidKeyError, StoreUnavailableError
from dagster_buckets.powers import has_power

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta

    from dagster_buckets.objects import Body, Buffer, Header, ObjectInfo, Payload

__all__ = [
    "KEY_LIMIT",
    "Answered",
    "ObjectStore",
    "SupportsConsole",
    "SupportsPrefetch",
    "SupportsRevalidation",
    "SupportsSweep",
    "changed",
    "check_key",
    "check_prefix",
    "console_url",
]

#: The longest key, with its prefix, that S3 and GCS take, in bytes of UTF-8.
KEY_LIMIT = 1024

# A load checks each key several times: without expressions, that took 5 µs each time.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@runtime_checkable
class ObjectStore(Protocol):
    """One bucket (or folder) and a prefix in it. Keys are relative to that prefix.

    A store makes no request and opens no file when it is constructed, may be used from many
    threads at once, and can be pickled into another process, where it connects anew. Its ``repr``
    holds no secret. ``StoreConformance`` in ``dagster_buckets.testing`` checks all of this.

    Every method raises only the errors of :mod:`dagster_buckets.errors`, among them
    :class:`~dagster_buckets.errors.AccessDeniedError`,
    :class:`~dagster_buckets.errors.BucketNotFoundError` and
    :class:`~dagster_buckets.errors.StoreUnavailableError`, and
    :class:`~dagster_buckets.errors.InvalidKeyError` for a key that :func:`check_key` refuses.
    """

    def put(
        self,
        key: str,
        body: Body,
        *,
        header: Header | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Write one object, all or nothing.

        Whatever happens, a crash and an exception of the body's iterator included, readers see
        the old object or the new one, never a mix. The header is sealed with size, digest and
        write id (:meth:`Body.seal`) and stored together with the bytes.

        Args:
            key: Relative to the store's prefix.
            body: The bytes.
            header: What else to write about them.
            if_absent: Write only if there is no such object.
            if_match: Write only over the version with this ETag.

        Returns:
            The new object, as ``head`` would describe it. ``modified`` may be this
            machine's clock where the store does not tell.

        Raises:
            ObjectExistsError: ``if_absent`` or ``if_match`` did not hold. Never raised for an
                object that this very call wrote (a lost answer and a retry).
        """
        ...

    def get(self, key: str) -> Payload:
        """Read one object in full and verify size and digest.

        Raises:
            ObjectNotFoundError: There is none.
            IntegrityError: It did not verify, twice.
        """
        ...

    def peek(self, key: str, size: int) -> Payload:
        """The last ``size`` bytes of an object, and what is known of all of it; one request.

        An object that has no more bytes than that is read in full and verified, as by
        :meth:`get`. Of a larger one ``data`` is only the end of what ``info`` describes, where
        many formats say what is in it, and not verified.

        Args:
            key: Relative to the store's prefix.
            size: Bytes; at least one, at most what one request carries (16 MiB).

        Raises:
            ObjectNotFoundError: There is none.
            IntegrityError: The object was read in full and did not verify, twice.
        """
        ...

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """Exactly these bytes of this version; one request up to 16 MiB. Nothing is verified.

        Args:
            version: As another method described it. Without an ETag it is whatever is there.
            start: Of the first byte.
            stop: Behind the last byte; at most the size.

        Raises:
            ObjectNotFoundError: The object was deleted.
            StoreUnavailableError: Another version is in place.
            IntegrityError: Fewer bytes came.
        """
        ...

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """A seekable reader that fetches only what is read, always of one version.

        Nothing is verified here: use it for formats with checksums of their own.

        Args:
            key: Relative to the store's prefix.
            version: Read this version, as another method described it; no request is made before
                the first read. The default reads the version that is there now, and so does one
                without an ETag, whose size then has to be right.

        Raises:
            ObjectNotFoundError: There is none.
            StoreUnavailableError: Another version than the one to read is in place; also raised by
                the reader.
        """
        ...

    def head(self, key: str) -> ObjectInfo:
        """Describe one object without reading it.

        Raises:
            ObjectNotFoundError: There is none.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such an object, by a way that knows no passing "not found".

        What ``get`` and ``head`` miss can be there: proxies and servers that are being mended
        answer 404, too. Servers are asked for a listing.
        """
        ...

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List the objects whose key starts with ``prefix``, in the order of their keys.

        Some servers have another order (SeaweedFS, S3's directory buckets); nothing here relies
        on it. Headers are not read. A string prefix as in S3, not a folder; nothing found is not an
        error. Temporary files of unfinished writes are never listed.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that do not exist are not an error."""
        ...

    def uri(self, key: str) -> str:
        """The absolute URI of a key, as other tools understand it (``s3://…``, ``gs://…``)."""
        ...


@runtime_checkable
class SupportsRevalidation(Protocol):
    """A store that tells whether an object has changed, instead of sending it once more."""

    def get_if_changed(self, key: str, known: ObjectInfo) -> Payload | None:
        """The object, as :meth:`ObjectStore.get` gives it, if it is not the version that is known.

        One request, which moves no body if it is.

        Args:
            key: Relative to the store's prefix.
            known: As ``get`` described it, maybe long ago.

        Returns:
            ``None`` if it is that version still.

        Raises:
            ObjectNotFoundError: There is none any more.
            IntegrityError: It did not verify, twice.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What a store has said to a request that nobody waited for.

    Attributes:
        get: Gives the object or raises, as :meth:`ObjectStore.get` of its key.
        complete: Whether ``get`` has all that it needs; if not, it may send requests and wait.
    """

    get: Callable[[], Payload]
    complete: bool


@runtime_checkable
class SupportsPrefetch(Protocol):
    """A store whose reads hold no thread while they wait for bytes.

    Many that are read at once then need a thread for each only where it would compute.
    """

    def prefetch(self, key: str, then: Callable[[Answered], None]) -> None:
        """Begin to read an object, as :meth:`ObjectStore.get` does, by the same requests.

        Args:
            key: Relative to the store's prefix.
            then: Called once, on a thread that all reads share, so it must not take long.

        Raises:
            InvalidKeyError: No request is sent, and ``then`` is not called.
        """
        ...


@runtime_checkable
class SupportsConsole(Protocol):
    """A store whose provider shows objects on a web page."""

    def console_url(self, key: str) -> str | None:
        """The page of an object. No request.

        ``None`` where the provider has none, as of another server that speaks its protocol.
        """
        ...


@runtime_checkable
class SupportsSweep(Protocol):
    """A store in which killed writers leave something that no listing shows."""

    def sweep(self, older_than: timedelta = ..., *, dry_run: bool = False) -> int:
        """Remove what killed writers left, never what a writer still adds to.

        Args:
            older_than: Nothing came to it for so long.
            dry_run: Count it, and leave it.

        Returns:
            How many such uploads or files there were.
        """
        ...


def changed(uri: str) -> StoreUnavailableError:
    """The error for an object that is not the version any more that a reader wants."""
    msg = f"{uri} was written again while it was being read"
    return StoreUnavailableError(msg, uri=uri, hint="load the input again, or run the step again")


def console_url(store: ObjectStore, key: str) -> str | None:
    """Where the provider of a store shows an object to people, if it does so."""
    if not has_power(store, SupportsConsole):
        return None
    return cast("SupportsConsole", store).console_url(key)


def base_of(store: ObjectStore) -> str:
    """What the URIs of a store's objects begin with."""
    return store.uri("x")[: -len("x")]


def check_key(key: str, *, prefix: str = "") -> str:
    """Return the full key, ``prefix/key``, or refuse it.

    Raises:
        InvalidKeyError: Empty, absolute or ending in ``/``; a component that is empty, ``.`` or
            ``..``; a control character; longer than 1,024 bytes with its prefix.
    """
    return _checked(key, prefix)


# A load asks for the key of each object several times, one after another.
@lru_cache(maxsize=1024)
def _checked(key: str, prefix: str) -> str:
    full = f"{prefix}/{key}" if prefix else key
    reason = _fault(key)
    if reason is None and len(full.encode(errors="surrogatepass")) > KEY_LIMIT:
        reason = f"it has more than {KEY_LIMIT} bytes with its prefix"
    if reason is not None:
        msg = f"{key!r} cannot be an object key: {reason}"
        raise InvalidKeyError(msg, hint="shorten or rename the asset or partition key")
    return full


def check_prefix(prefix: str | None) -> str:
    """Return the prefix without a closing ``/``, or refuse it; ``None`` and ``""`` mean none.

    Raises:
        InvalidKeyError: As :func:`check_key`.
    """
    cleaned = (prefix or "").removesuffix("/")
    if cleaned and (reason := _fault(cleaned)):
        msg = f"{prefix!r} cannot be a prefix: {reason}"
        raise InvalidKeyError(msg, hint="give a relative path such as 'prod' or 'team/prod'")
    return cleaned


def _fault(key: str) -> str | None:
    components = key.split("/")
    if key == "":
        return "it is empty"
    if "" in components:
        return "it begins or ends with '/' or holds '//'"
    if "." in components or ".." in components:
        return "it has a component '.' or '..'"
    if _CONTROL.search(key):
        return "it holds a control character"
    if _SURROGATE.search(key):
        return "it holds a lone surrogate"
    return None
