"""The wire: the requests that move an object's bytes, whoever sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from dagster_buckets.objects import Buffer

if TYPE_CHECKING:
    from dagster_buckets_s3.uploads import Feed

__all__ = [
    "PARALLEL",
    "PARALLEL_RANGES",
    "PART",
    "RANGE",
    "Arriving",
    "Described",
    "Last",
    "NotModifiedError",
    "Span",
    "Wire",
]

#: Up to so many bytes one request carries an object. Parts of a stream have as many: nobody knows
#: how long it is, and S3 takes 10,000.
PART = 16 * 1024 * 1024
#: Of a larger one each carries so many. One connection to S3 gives about 90 MB/s; small pieces end
#: at about the same time.
RANGE = 8 * 1024 * 1024
#: Requests for one object at the same time: of its parts, and of its ranges.
PARALLEL = 12
PARALLEL_RANGES = 16


@dataclass(frozen=True, slots=True)
class Last:
    """So many bytes, counted from the end of an object."""

    size: int


#: A part of an object: from the first number up to the second, without it, or its end.
Span: TypeAlias = tuple[int, int] | Last


@dataclass(frozen=True, slots=True)
class Described:
    """What an answer says of the whole object.

    Attributes:
        size: Bytes.
        etag: Quoted; empty if the server gave none, as none that speaks S3 does.
        modified: When it was written; ``None`` as above.
        attributes: Its user metadata, among headers of HTTP.
    """

    size: int
    etag: str
    modified: datetime | None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Arriving(Protocol):
    """An answer whose head is here, and whose bytes are to come. They can be taken once."""

    @property
    def described(self) -> Described:
        """What it says of the object that they come from."""
        ...

    @property
    def size(self) -> int:
        """How many there will be."""
        ...

    def all(self) -> Buffer:
        """Wait for all of them, which may be fewer if the connection says so."""
        ...

    def fill(self, target: memoryview) -> int:
        """Put them where they belong, as they come.

        Args:
            target: As many as there will be.

        Returns:
            How many came, if not all of them did.
        """
        ...


class NotModifiedError(Exception):
    """The object is still the version that is known."""


class Wire(Protocol):
    """Requests for objects of one bucket, each tried again after transient failures.

    Paths are whole keys. Safe to use from many threads. Errors are those of the library that
    sends; :func:`~dagster_buckets_s3.errors.code_of` understands them. Conditions are
    ``{"IfNoneMatch": "*"}``, ``{"IfMatch": etag}`` or nothing.

    Attributes:
        resends: Whether writes under a condition are tried again after a broken connection, too.
    """

    resends: ClassVar[bool]

    def put(
        self,
        path: str,
        data: memoryview,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """Write an object by one request; the server checks the bytes. Returns the ETag."""
        ...

    def put_parts(
        self,
        path: str,
        feed: Feed,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """Write an object in parts, in bounded memory; the server checks the bytes of each.

        Whatever is raised, here or by the feed, no object is written and no upload is left.

        Returns:
            The ETag.
        """
        ...

    def get(self, path: str, span: Span, *, etag: str = "", unless: str = "") -> Arriving:
        """Ask for a part by one request, less where the object has less; all of it if it is empty.

        Args:
            path: The whole key.
            span: Which part.
            etag: Of the only version that will do, if not any.
            unless: Of the version that is known.

        Raises:
            NotModifiedError: It is still the one that is known.
        """
        ...

    def head(self, path: str) -> Described:
        """Describe an object without its bytes."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Delete up to 1,000 objects by one request; those that do not exist are no error."""
        ...
