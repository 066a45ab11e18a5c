"""The settings of a store: what can be given, and which of it cannot work."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict, get_args
from urllib.parse import urlsplit

from dagster_buckets.errors import ConfigurationError
from dagster_buckets.objects import Header

__all__ = ["METADATA_LIMIT", "Checksum", "Encryption", "Options", "Settings", "metadata_size"]

Checksum = Literal["CRC64NVME", "SHA256"]
Encryption = Literal["AES256", "aws:kms", "aws:kms:dsse"]

#: Bytes that the names and values of an object's user metadata may have on S3.
METADATA_LIMIT = 2048

_TAGS, _TAG_KEY, _TAG_VALUE = 10, 128, 256
_TAG_MARKS = " +-=._:/@"
# They would be stored and could not be loaded.
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}
# Header.to_attributes begins its names like this.
_OWN = "dagster-buckets-"
# obstore sends attributes of these names as headers of HTTP.
_HEADERS = {
    "cache-control", "content-disposition", "content-encoding", "content-language", "content-type",
    "storage-class",
}  # fmt: skip


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
        server_side_encryption: Of new objects, where it is not to be the bucket's default.
        sse_kms_key_id: Key, alias or ARN for ``aws:kms`` and ``aws:kms:dsse``; AWS' own by default.
        bucket_key_enabled: With ``aws:kms``: ask KMS once for many objects rather than for each.
        storage_class: Of new objects.
        tags: Of new objects; up to 10.
        metadata: User metadata of new objects, beside our own; lower-case names, ASCII.
        request_payer: Whether the reader pays, which some buckets of others demand.
        expected_bucket_owner: The account, 12 digits, to which the bucket must belong.
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
    checksum_algorithm: Checksum | None
    server_side_encryption: Encryption | None
    sse_kms_key_id: str | None
    bucket_key_enabled: bool | None
    storage_class: str | None
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    request_payer: bool
    expected_bucket_owner: str | None


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
    max_attempts: int = 10
    connect_timeout: float = 3
    read_timeout: float = 10
    deadline: float = 120
    checksum_algorithm: Checksum | None = "CRC64NVME"
    server_side_encryption: Encryption | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    storage_class: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_payer: bool = False
    expected_bucket_owner: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+", self.bucket):
            msg = f"{self.bucket!r} cannot be the name of a bucket"
            raise ConfigurationError(msg, hint="give its bare name; folders belong into prefix")
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            msg = f"half of the credentials for s3://{self.bucket} is missing"
            hint = "give both aws_access_key_id and aws_secret_access_key, or neither"
            raise ConfigurationError(msg, hint=hint)
        for name in ("tags", "metadata"):
            # Copies: the caller's own may change.
            object.__setattr__(self, name, dict(getattr(self, name)))
        self._check_endpoint()
        for what, hint in _faults(self):
            msg = f"s3://{self.bucket}: {what}"
            raise ConfigurationError(msg, hint=hint)

    def _check_endpoint(self) -> None:
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


def metadata_size(metadata: Mapping[str, str]) -> int:
    """The bytes of user metadata as S3 counts them."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


_Fault: TypeAlias = tuple[str, str]


def _faults(settings: Settings) -> Iterator[_Fault]:
    """What cannot work, and what to do about it."""
    yield from _faults_of_numbers(settings)
    yield from _faults_of_encryption(settings)
    yield from _faults_of_places(settings)
    yield from _faults_of_tags(settings.tags)
    yield from _faults_of_metadata(settings.metadata)


def _faults_of_numbers(settings: Settings) -> Iterator[_Fault]:
    attempts: Any = settings.max_attempts
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        yield f"max_attempts={attempts!r} is no number of tries", "give 1 or more; 1 tries once"
    for name in ("connect_timeout", "read_timeout", "deadline"):
        seconds: Any = getattr(settings, name)
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not math.isfinite(seconds) or seconds <= 0:
            yield f"{name}={seconds!r} is no time limit", "give seconds, more than 0"


def _faults_of_encryption(settings: Settings) -> Iterator[_Fault]:
    encryption = settings.server_side_encryption
    for name, kinds in (("checksum_algorithm", Checksum), ("server_side_encryption", Encryption)):
        value, known = getattr(settings, name), get_args(kinds)
        if value is not None and value not in known:
            yield f"{name}={value!r} is not known", f"give one of {', '.join(known)}, or None"
    if settings.sse_kms_key_id is not None and encryption not in {"aws:kms", "aws:kms:dsse"}:
        yield (
            "sse_kms_key_id names a KMS key, but the objects are not encrypted by KMS",
            "give server_side_encryption='aws:kms' or 'aws:kms:dsse', too",
        )
    if settings.sse_kms_key_id == "":
        yield "sse_kms_key_id is empty", "leave it out for the key that AWS keeps"
    # Dual-layer encryption has no bucket keys.
    if settings.bucket_key_enabled is not None and encryption != "aws:kms":
        yield (
            "bucket_key_enabled goes with server_side_encryption='aws:kms' only",
            "give that, too, or leave it out",
        )


def _faults_of_places(settings: Settings) -> Iterator[_Fault]:
    storage, owner = settings.storage_class, settings.expected_bucket_owner
    if storage is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", storage):
        yield f"storage_class={storage!r} is no storage class", "spell it as S3 does: STANDARD_IA"
    if storage in _ARCHIVES:
        yield (
            f"what storage_class={storage!r} takes must be restored before it can be loaded",
            "give GLACIER_IR, or let a lifecycle rule move what is old",
        )
    if owner is not None and not re.fullmatch(r"[0-9]{12}", owner):
        yield f"expected_bucket_owner={owner!r} is no AWS account", "give its 12 digits, as text"


def _faults_of_tags(tags: Mapping[str, str]) -> Iterator[_Fault]:
    if len(tags) > _TAGS:
        yield f"there are {len(tags)} tags", f"S3 takes up to {_TAGS}"
    for key, value in tags.items():
        if not 1 <= len(key) <= _TAG_KEY or key.lower().startswith("aws:"):
            hint = f"give 1 to {_TAG_KEY} characters that do not begin with 'aws:'"
            yield f"{key!r} cannot be the key of a tag", hint
        if len(value) > _TAG_VALUE:
            yield f"the value of the tag {key!r} is too long", f"{_TAG_VALUE} characters at most"
        if not all(c.isalnum() or c in _TAG_MARKS for c in key + value):
            hint = f"use letters, digits, spaces and {' '.join(_TAG_MARKS.strip())}"
            yield f"the tag {key!r} has a character that S3 refuses in tags", hint


def _faults_of_metadata(metadata: Mapping[str, str]) -> Iterator[_Fault]:
    for name, value in metadata.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            hint = "use ASCII letters in lower case, digits, '-', '_' and '.'"
            yield f"{name!r} cannot be a name of user metadata", hint
        if name.startswith(_OWN) or name in _HEADERS:
            yield f"the metadata {name!r} has a name that is taken", "give it another name"
        # Servers fold spaces in headers before they check a signature, and some lose what is empty.
        if not re.fullmatch(r"[!-~]+( [!-~]+)*", value):
            hint = "use printable ASCII with single spaces inside, or encode it (base64, URL)"
            yield f"the value of the metadata {name!r} cannot travel in a header", hint
    own = Header(size=0, digest="xxh3-128:" + "0" * 32, write_id="0" * 32).to_attributes()
    room = METADATA_LIMIT - metadata_size(own)
    if (size := metadata_size(metadata)) > room:
        yield f"the metadata has {size} bytes", f"S3 leaves {room} beside our own"
