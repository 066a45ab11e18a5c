"""Refusals: whether S3 forbids to read an object, or does not say that it is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dagster_buckets.errors import AccessDeniedError, ObjectNotFoundError

from dagster_buckets_s3.errors import TABLE, code_of

__all__ = ["missing_unless_listed"]

#: What is said of a GET and of a HEAD; other codes are about the credentials.
_REFUSED = {"AccessDenied", "403"}


@contextmanager
def missing_unless_listed(uri: str, exists: Callable[[], bool]) -> Iterator[None]:
    """Raise a refusal as what it means, if a listing can tell.

    Of a missing object S3 says 403, and not 404, to who may not list the whole bucket: a policy
    that allows listings of one prefix is not looked at for a request that has none.

    Args:
        uri: Of the object that the block reads.
        exists: Asks for a listing.

    Raises:
        ObjectNotFoundError: It is allowed, and does not show the object.
    """
    try:
        yield
    except AccessDeniedError as refused:
        cause = refused.__cause__
        if not isinstance(cause, Exception) or code_of(cause) not in _REFUSED or _listed(exists):
            raise
        _, text, hint = TABLE["NoSuchKey"]
        msg = f"{uri}: {text}, as a listing shows (AccessDenied)"
        raise ObjectNotFoundError(msg, uri=uri, hint=hint) from cause


def _listed(exists: Callable[[], bool]) -> bool:
    """Whether a listing shows the object, or is refused, too."""
    try:
        return exists()
    except AccessDeniedError:
        return True
