"""What the answers of S3, obstore and botocore mean: one flat table, and the way into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster_buckets.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    BucketsError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)

__all__ = [
    "CONFLICTS",
    "REDIRECTS",
    "REPLAYED",
    "cause_of",
    "code_of",
    "explained",
    "not_s3",
    "translated",
]

_KEYS = "check aws_access_key_id and aws_secret_access_key, or the profile they come from"
_LOGIN = "sign in again (aws sso login), or give the store fresh credentials"
_SEARCHED = (
    "give profile_name or aws_access_key_id and aws_secret_access_key, set AWS_PROFILE or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
)
_LATER = "try again later, or raise max_attempts and deadline"
_REGION = "set region_name to the region of the bucket"
_FORBIDDEN = (
    "allow s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on the objects, and "
    "s3:ListBucket on the bucket, without which a missing object is forbidden, too"
)

#: What the answers' codes, the HTTP statuses of answers without a code (those to HEAD) and the
#: SDK's exceptions mean: error class, what is wrong, what to do about it.
TABLE: dict[str, tuple[type[BucketsError], str, str]] = {
    # -- what is missing, or there already
    "NoSuchKey": (ObjectNotFoundError, "there is no such object", "has it been materialized?"),
    # Of a GET: S3 names what is missing; a proxy or another kind of server does not.
    "404": (
        ConfigurationError,
        "the answer is 404, but not one of S3",
        "is endpoint_url an S3 server, and is a proxy in the way?",
    ),
    "NoSuchBucket": (
        BucketNotFoundError,
        "the bucket does not exist",
        "create it, or check its name, the endpoint and the account",
    ),
    "PreconditionFailed": (
        ObjectExistsError,
        "another version is in place",
        "read it and decide again",
    ),
    "412": (ObjectExistsError, "another version is in place", "read it and decide again"),
    # -- who may do what
    "AccessDenied": (AccessDeniedError, "these credentials may not do this", _FORBIDDEN),
    "403": (AccessDeniedError, "these credentials may not do this", _FORBIDDEN),
    "AllAccessDisabled": (AccessDeniedError, "the bucket is disabled", "ask its owner"),
    "AccountProblem": (AccessDeniedError, "AWS has suspended the account", "contact AWS support"),
    "InvalidObjectState": (
        AccessDeniedError,
        "the object is archived",
        "restore it from its storage class (S3 Glacier) first",
    ),
    "KMS.DisabledException": (AccessDeniedError, "the KMS key is disabled", "enable the key"),
    "401": (AccessDeniedError, "the credentials were not accepted", _KEYS),
    "InvalidAccessKeyId": (AccessDeniedError, "there is no such access key", _KEYS),
    "SignatureDoesNotMatch": (
        AccessDeniedError,
        "the secret key does not belong to the access key",
        "check aws_secret_access_key, also for a lost or added character",
    ),
    "ExpiredToken": (AccessDeniedError, "the session has expired", _LOGIN),
    "InvalidToken": (
        AccessDeniedError,
        "the session token is not valid",
        "check aws_session_token; long-lived keys have none",
    ),
    "RequestTimeTooSkewed": (
        AccessDeniedError,
        "the clock of this machine is wrong",
        "synchronise it (NTP): S3 allows 15 minutes",
    ),
    "NoCredentialsError": (
        AccessDeniedError,
        "no AWS credentials found",
        _SEARCHED,
    ),
    "PartialCredentialsError": (AccessDeniedError, "half of the AWS credentials is missing", _KEYS),
    "CredentialRetrievalError": (AccessDeniedError, "no credentials could be fetched", _LOGIN),
    "SSOTokenLoadError": (AccessDeniedError, "nobody has signed in with AWS SSO", _LOGIN),
    "UnauthorizedSSOTokenError": (AccessDeniedError, "the AWS SSO session has expired", _LOGIN),
    "TokenRetrievalError": (AccessDeniedError, "the AWS SSO session has expired", _LOGIN),
    # -- settings
    "PermanentRedirect": (ConfigurationError, "the bucket lies in another region", _REGION),
    "TemporaryRedirect": (ConfigurationError, "the bucket lies in another region", _REGION),
    "AuthorizationHeaderMalformed": (ConfigurationError, "the region is not the bucket's", _REGION),
    "IllegalLocationConstraintException": (ConfigurationError, "the region is wrong", _REGION),
    "301": (ConfigurationError, "the bucket lies in another region", _REGION),
    "307": (ConfigurationError, "the bucket lies in another region", _REGION),
    "InvalidBucketName": (ConfigurationError, "this is no name of a bucket", "check the name"),
    "ParamValidationError": (ConfigurationError, "this is no name of a bucket", "check the name"),
    "ProfileNotFound": (
        ConfigurationError,
        "there is no such AWS profile",
        "check profile_name and AWS_PROFILE against ~/.aws/config",
    ),
    "ConfigParseError": (ConfigurationError, "~/.aws/config cannot be read", "repair the file"),
    "NoRegionError": (ConfigurationError, "no region is known", _REGION),
    "InvalidTag": (
        ConfigurationError,
        "S3 refuses a tag",
        "check tags",
    ),
    "InvalidStorageClass": (
        ConfigurationError,
        "there is no such storage class here",
        "check storage_class",
    ),
    "400": (ConfigurationError, "the server does not understand the request", "check the endpoint"),
    "405": (ConfigurationError, "the server does not offer this", "is endpoint_url an S3 server?"),
    "NotImplemented": (
        ConfigurationError,
        "the server does not offer this",
        "checksum_algorithm=None may help with servers that are older than CRC-64/NVME",
    ),
    # -- keys and bytes
    "KeyTooLongError": (
        InvalidKeyError,
        "the key is too long",
        "shorten the asset or partition key",
    ),
    # SeaweedFS, where it keeps objects and folders in one tree.
    "ExistingObjectIsDirectory": (
        InvalidKeyError,
        "on this server a folder is in the way",
        "rename the asset or partition key, or delete what lies below it",
    ),
    "ExistingObjectIsFile": (
        InvalidKeyError,
        "on this server an object is in the way, of the name of one of its folders",
        "rename the asset or partition key, or delete that object",
    ),
    "EntityTooLarge": (StoreError, "the object is larger than S3 allows", "store it in partitions"),
    "BadDigest": (IntegrityError, "the bytes arrived damaged, several times", "check the network"),
    "XAmzContentSHA256Mismatch": (IntegrityError, "the bytes arrived damaged", "check the network"),
    # -- transient
    "ConditionalRequestConflict": (StoreUnavailableError, "others write at the same time", _LATER),
    "OperationAborted": (StoreUnavailableError, "the bucket is being changed", _LATER),
    "NoSuchUpload": (StoreUnavailableError, "somebody aborted the upload", "materialize again"),
    "SlowDown": (StoreUnavailableError, "S3 asks to slow down", f"lower max_concurrency; {_LATER}"),
    "429": (StoreUnavailableError, "the server asks to slow down", _LATER),
    "RequestTimeout": (StoreUnavailableError, "the upload stalled", _LATER),
    "InternalError": (StoreUnavailableError, "the server failed", _LATER),
    "ServiceUnavailable": (StoreUnavailableError, "the server is unavailable", _LATER),
    "500": (StoreUnavailableError, "the server failed", _LATER),
    "502": (StoreUnavailableError, "the server failed", _LATER),
    "503": (StoreUnavailableError, "the server is unavailable", _LATER),
    "504": (StoreUnavailableError, "the server does not answer", _LATER),
    "unreachable": (
        StoreUnavailableError,
        "the server could not be reached, or the connection broke",
        "check endpoint_url, the network, DNS and proxies",
    ),
}

#: botocore's exceptions for a server that does not answer.
_UNREACHABLE = {
    "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError", "EndpointConnectionError",
    "HTTPClientError", "IncompleteReadError", "ProxyConnectionError", "ReadTimeoutError",
    "ResponseStreamingError", "SSLError",
}  # fmt: skip

#: A conditional write lost, or may have lost against itself.
CONFLICTS = {"PreconditionFailed", "412", "NoSuchKey", "404", "409"}
#: Worth sending once more, which obstore does not do by itself.
REPLAYED = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "ConditionalRequestConflict",
    "OperationAborted",
}
#: Another region's bucket.
REDIRECTS = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"}

_CODE = re.compile(r"<Code>\s*([\w.]+)\s*</Code>")
_DELETE_CODE = re.compile(r'\bcode: "([A-Za-z]\w+)"')
_STATUS = re.compile(r"status code: (\d{3})\b")
_BODY = re.compile(r"<(?!Code>|/?Error>|Region>|Message>)([\w-]+)>[^<]*</\1>")


def code_of(error: BaseException) -> str:
    """The key of :data:`TABLE` for an error of obstore or botocore; else its class name."""
    response: dict[str, Any] | None = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code") or "500")
    text = str(error)
    for pattern in (_CODE, _STATUS, _DELETE_CODE):
        if found := pattern.search(text):
            return found[1]
    # obstore on a 301 or 307 without a Location, which is how S3 answers.
    if "redirect without LOCATION" in text:
        return "PermanentRedirect"
    name = type(error).__name__
    if name in _UNREACHABLE or "HTTP error:" in text or isinstance(error, TimeoutError):
        return "unreachable"
    return name


def _status_of(error: BaseException) -> str:
    response: dict[str, Any] | None = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    found = _STATUS.search(str(error))
    return found[1] if found else ""


def explained(error: Exception, uri: str, *, region: str | None = None) -> BucketsError:
    """The error of this library that an error of obstore or botocore means."""
    code = code_of(error)
    found = TABLE.get(code) or TABLE.get(_status_of(error))
    if code not in TABLE and code.startswith("KMS"):
        found = (AccessDeniedError, "the KMS key refuses", "allow kms:GenerateDataKey, kms:Decrypt")
    kind, text, hint = found or (
        StoreError,
        f"S3 or its client failed: {type(error).__name__}",
        "the cause above has the details",
    )
    if region:
        text, hint = f"{text}, {region}", f"set region_name={region!r}"
    shown = f" ({code})" if found and code not in {"404", "NoSuchKey", "unreachable"} else ""
    return kind(f"{uri}: {text}{shown}", uri=uri, hint=hint)


def not_s3(uri: str) -> ConfigurationError:
    """The error of an answer that says success and is not one of S3, such as a login page."""
    msg = f"{uri}: the server answers, but not as S3 does"
    return ConfigurationError(msg, uri=uri, hint=TABLE["404"][2])


def cause_of(error: Exception) -> Exception:
    """The same exception, fit to be shown: an answer may quote the session token.

    S3 puts the token into the body of ExpiredToken and InvalidToken, what it signed into that of
    SignatureDoesNotMatch, and obstore puts the body into its text, twice.
    """
    response: dict[str, Any] | None = getattr(error, "response", None)
    if isinstance(response, dict):
        known = response.get("Error", {})
        response["Error"] = {k: known[k] for k in ("Code", "Message", "Region") if k in known}
    elif type(error).__module__.startswith("obstore") or isinstance(error, FileNotFoundError):
        text = str(error).partition("\n\nDebug source:")[0]
        error.args = (_BODY.sub("", text),)
    return error


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise whatever obstore or botocore raises in the block as the error that it means."""
    try:
        yield
    except BucketsError:
        raise
    except Exception as error:  # noqa: BLE001 - raised again, whatever it is
        raise explained(error, uri) from cause_of(error)
