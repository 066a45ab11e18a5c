"""What Google Cloud Storage and its client say, as the errors of :mod:`dagster_buckets.errors`."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from dagster_buckets.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    BucketsError,
    ConfigurationError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster_buckets_gcs.client import Answer

__all__ = [
    "TRANSIENT",
    "bucket_missing",
    "conflict",
    "object_missing",
    "refusal",
    "translated",
    "what_is_missing",
]

#: The statuses that Google asks clients to repeat.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_LONGEST_MESSAGE = 300


class _Row(NamedTuple):
    error: type[BucketsError]
    message: str
    hint: str


_LOG_IN = (
    "run 'gcloud auth application-default login', point GOOGLE_APPLICATION_CREDENTIALS to a key "
    "file, or give token=; token='anon' reads public buckets"
)
_RENEW = (
    "the credentials are wrong, expired or revoked: log in again with "
    "'gcloud auth application-default login', or renew the key or token that token= gives"
)
_WAIT = "check the network, endpoint_url and Google's status page, then run it again"

_BAD_REQUEST = 400

_STATUSES = {
    _BAD_REQUEST: _Row(StoreError, "Google refused the request", "see what it says above"),
    401: _Row(AccessDeniedError, "Google does not accept the credentials", _RENEW),
    403: _Row(
        AccessDeniedError,
        "the credentials do not allow this",
        "grant the role roles/storage.objectUser on the bucket; reading alone needs "
        "roles/storage.objectViewer",
    ),
    413: _Row(StoreError, "the object is too large", "one object holds at most 5 TiB"),
}
_UNAVAILABLE = _Row(StoreUnavailableError, "Google Cloud Storage keeps failing", _WAIT)
_UNEXPECTED = _Row(StoreError, "Google answered unexpectedly", "see what it says above")

# By name, because importing this module must import neither gcsfs nor google-auth.
_EXCEPTIONS = {
    "google.auth.exceptions.DefaultCredentialsError": _Row(
        AccessDeniedError, "no Google credentials found", _LOG_IN
    ),
    "google.auth.exceptions.TransportError": _Row(
        StoreUnavailableError, "Google's login service cannot be reached", _WAIT
    ),
    "google.auth.exceptions.GoogleAuthError": _Row(
        AccessDeniedError, "Google does not accept the credentials", _RENEW
    ),
    "gcsfs.retry.HttpError": _Row(
        AccessDeniedError, "Google does not renew the credentials", _RENEW
    ),
    "gcsfs.retry.NonRetryableError": _Row(
        AccessDeniedError, "the credentials cannot be renewed", _RENEW
    ),
    "aiohttp.client_exceptions.InvalidURL": _Row(
        ConfigurationError,
        "the endpoint is not a URL",
        "endpoint_url looks like 'http://127.0.0.1:4443', without a path",
    ),
    "aiohttp.client_exceptions.ClientConnectorCertificateError": _Row(
        StoreUnavailableError,
        "the server's certificate is not trusted",
        "check endpoint_url; SSL_CERT_FILE names a file with further certificates",
    ),
    "aiohttp.client_exceptions.ClientError": _Row(
        StoreUnavailableError, "Google Cloud Storage cannot be reached", _WAIT
    ),
    "builtins.TimeoutError": _Row(
        StoreUnavailableError, "Google Cloud Storage does not answer in time", _WAIT
    ),
    "builtins.ConnectionError": _Row(
        StoreUnavailableError, "Google Cloud Storage cannot be reached", _WAIT
    ),
}


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Exchange the exceptions of gcsfs, aiohttp and google-auth for ours, which name ``uri``."""
    try:
        yield
    except BucketsError:
        raise
    except Exception as exc:
        for kind in type(exc).__mro__:
            row = _EXCEPTIONS.get(f"{kind.__module__}.{kind.__qualname__}")
            if row is not None:
                msg = f"{row.message} ({type(exc).__name__}), for {uri}"
                raise row.error(msg, uri=uri, hint=row.hint) from exc
        raise


def is_damage(answer: Answer) -> bool:
    """Whether Google refused an upload because its bytes do not fit their checksum."""
    said = _message(answer.body)
    return answer.status == _BAD_REQUEST and "match" in said and ("CRC32C" in said or "MD5" in said)


def refusal(answer: Answer, uri: str) -> BucketsError:
    """The error that stands for an answer that is no success, with the reason Google gives."""
    unlisted = _UNAVAILABLE if answer.status in TRANSIENT else _UNEXPECTED
    row = _STATUSES.get(answer.status, unlisted)
    said = _message(answer.body)
    msg = f"{row.message} (HTTP {answer.status}{': ' + said if said else ''}), for {uri}"
    return row.error(msg, uri=uri, hint=row.hint)


def bucket_missing(bucket: str, uri: str) -> BucketNotFoundError:
    """The error for a bucket that is not there."""
    msg = f"there is no bucket {bucket!r}, wanted for {uri}"
    return BucketNotFoundError(msg, uri=uri, hint="check its name, or create it")


def object_missing(uri: str) -> ObjectNotFoundError:
    """The error for a key that is not there."""
    msg = f"there is no object {uri}"
    hint = "has it been materialized, by this deployment and with this prefix and layout?"
    return ObjectNotFoundError(msg, uri=uri, hint=hint)


def conflict(uri: str, *, if_absent: bool) -> ObjectExistsError:
    """The error for a conditional write that found another version."""
    state = "exists" if if_absent else "is not the expected version"
    return ObjectExistsError(f"{uri} {state}", uri=uri, hint="read it and decide again")


def what_is_missing(answer: Answer) -> Literal["bucket", "object", "unknown"]:
    """What a 404 is about. Google says it; fake-gcs-server says ``Not Found`` for both."""
    code = re.search(rb"<Code>(\w+)</Code>", answer.body)
    said = _message(answer.body)
    if (code and code[1] == b"NoSuchBucket") or said.startswith("The specified bucket"):
        return "bucket"
    if (code and code[1] == b"NoSuchKey") or said.startswith("No such object"):
        return "object"
    return "unknown"


def _message(body: bytes) -> str:
    """The sentence in an error body: JSON, XML or plain text."""
    text = body.decode(errors="replace").strip()
    try:
        error = json.loads(text)["error"]
        text = error if isinstance(error, str) else str(error["message"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
        text = found[1] if found else text
    # Google does not repeat tokens, but a proxy that reports the request might.
    text = re.sub(r"(?i)bearer\s+\S+|ya29\.\S+", "***", text)
    return " ".join(text.split())[:_LONGEST_MESSAGE]
