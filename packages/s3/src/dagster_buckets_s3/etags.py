"""ETags: of uploads in parts they are made of the parts' MD5 sums, which a read can compare.

That is how streamed values are verified, of which no digest was known when their upload began.
Where KMS or a customer's key encrypts objects, ETags are no such sums, and nothing tells so but
that two readings agree with each other and not with the ETag.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import IntegrityError
from dagster_buckets.objects import Payload
from dagster_buckets.threads import Pool

from dagster_buckets_s3.wire import PARALLEL, PART

if TYPE_CHECKING:
    from dagster_buckets_s3.clients import Clients

__all__ = ["expected", "found", "sound"]

_OF_PARTS = re.compile(r'"?([0-9a-f]{32})-([0-9]+)"?')


def sound(payload: Payload, again: Callable[[], Payload], clients: Clients) -> Payload:
    """What is what its ETag promises: the payload, or the next one.

    Args:
        payload: As it came.
        again: Reads the object once more.
        clients: Remember whether ETags are sums here.

    Raises:
        IntegrityError: Both came in ways that are not what the ETag promises.
    """
    promised = expected(payload) if clients.etags_are_sums else None
    if promised is None or (first := found(payload)) == promised:
        return payload
    etag, uri = payload.info.etag, payload.info.uri
    del payload
    second = again()
    if (sums := found(second)) == expected(second):
        return second
    if (sums, second.info.etag) != (first, etag):
        msg = f"{uri} came in two ways, and neither is what its ETag {etag} promises"
        raise IntegrityError(msg, uri=uri, hint="check the network")
    # Nothing changes in the same way twice: a key encrypts the object, and with it the sum.
    clients.etags_are_sums = False
    return second


def expected(payload: Payload) -> str | None:
    """The sum that an ETag promises of an object without a digest; ``None`` if it promises none."""
    header = payload.info.header
    if header is None or header.digest is not None:
        # Others may have used parts of another size.
        return None
    match = _OF_PARTS.fullmatch(payload.info.etag)
    parts = -(-payload.info.size // PART)
    return match[1] if match and int(match[2]) == parts else None


def found(payload: Payload) -> str:
    """The sum of the bytes that came."""
    view = memoryview(payload.data).cast("B")
    starts = range(0, len(view), PART)
    pool = Pool(min(PARALLEL, len(starts)), "s3-md5")
    futures = [pool.submit(_md5, view[start : start + PART]) for start in starts]
    sums = [future.result() for future in futures]
    pool.shutdown()
    return _md5(b"".join(sums)).hex()


def _md5(data: Any) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
