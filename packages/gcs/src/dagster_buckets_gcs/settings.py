"""Settings: how to reach a bucket and what to write beside every object, checked early."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict
from urllib.parse import urlsplit

from dagster_buckets.errors import ConfigurationError

__all__ = ["Options", "Settings", "check_setting"]

_KMS_KEY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[\w-]+/cryptoKeys/[\w-]+")
# With the domain that old projects have before a colon.
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9-]+")
_STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
# What an HTTP header can hold unchanged, because downloads give metadata in headers.
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_OURS = "dagster-buckets-"
#: Google takes 8 KiB of names and values; what we write ourselves stays under 2.
_MOST_METADATA = 6 * 1024


class Options(TypedDict, total=False):
    """What a store can be told beyond its bucket and prefix; all of it optional.

    Attributes:
        project: The project for gcsfs; objects need none.
        token: As in gcsfs: ``"google_default"``, ``"cloud"``, ``"anon"``, the path of a key file,
            its content as a dict or JSON text, an access token, or google-auth credentials.
            ``None`` stands for Google's application default credentials, and for ``"anon"``
            where the endpoint is an emulator.
        endpoint_url: Another server than Google's, ``http://host:port``. Beats the environment
            variable ``STORAGE_EMULATOR_HOST``.
        user_project: The project that pays for every request, where the bucket's owner does not
            (requester pays).
        kms_key_name: The key of Cloud KMS that encrypts what is written (CMEK):
            ``projects/…/locations/…/keyRings/…/cryptoKeys/…``; the bucket's by default.
        storage_class: Of what is written: ``STANDARD``, ``NEARLINE``, ``COLDLINE`` or
            ``ARCHIVE``; the bucket's by default.
        metadata: User metadata of every object that is written. ASCII, 6 KiB at most.
        max_attempts: How often one request is sent at most.
        connect_timeout: Seconds to connect.
        read_timeout: Seconds of silence after which a request counts as lost.
        deadline: Seconds after which a failing request is not sent again.
    """

    project: str | None
    token: Any
    endpoint_url: str | None
    user_project: str | None
    kms_key_name: str | None
    storage_class: str | None
    metadata: Mapping[str, str]
    max_attempts: int
    connect_timeout: float
    read_timeout: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Settings:
    """The :class:`Options` of a store, secrets included."""

    project: str | None = None
    token: Any = field(default=None, repr=False)
    endpoint_url: str | None = None
    user_project: str | None = None
    kms_key_name: str | None = None
    storage_class: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 8
    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    deadline: float = 20.0

    def __post_init__(self) -> None:
        for declared in fields(self):
            check_setting(declared.name, getattr(self, declared.name))


def check_setting(name: str, value: Any) -> None:
    """Check one option by its name.

    Raises:
        ConfigurationError: It cannot work. A password in an endpoint is not quoted.
    """
    if value is not None and name in _CHECKS:
        _CHECKS[name](name, value)


def _check_endpoint(_name: str, url: str) -> None:
    parts = urlsplit(url)
    # Not quoted in the error: it may hold a password.
    if parts.username or parts.password:
        msg = "endpoint_url holds a user name or password"
        raise ConfigurationError(msg, hint="give credentials as token=")


def _check_metadata(_name: str, metadata: Mapping[str, str]) -> None:
    lower: set[str] = set()
    for name, value in metadata.items():
        if not _NAME.fullmatch(name) or name.lower() in lower:
            msg = f"{name!r} cannot be a name in metadata="
            hint = (
                "use letters, digits, '.', '_' and '-', and no name twice in upper and lower case"
            )
            raise ConfigurationError(msg, hint=hint)
        if name.lower().startswith(_OURS):
            msg = f"{name!r} in metadata= is a name of ours"
            raise ConfigurationError(msg, hint=f"choose one that does not begin with {_OURS!r}")
        if not _VALUE.fullmatch(value):
            msg = f"the value of {name!r} in metadata= cannot be kept"
            hint = "use printable ASCII without spaces at its ends; encode other text yourself"
            raise ConfigurationError(msg, hint=hint)
        lower.add(name.lower())
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > _MOST_METADATA:
        msg = f"metadata= has {size} bytes"
        raise ConfigurationError(
            msg, hint=f"Google takes no more than {_MOST_METADATA} beside ours"
        )


def _check_project(name: str, value: str) -> None:
    if not _PROJECT.fullmatch(value):
        msg = f"{name}={value!r} cannot be a project"
        raise ConfigurationError(msg, hint="give the id of the project that pays: 'shop-prod'")


def _check_kms_key(name: str, value: str) -> None:
    if not _KMS_KEY.fullmatch(value):
        msg = f"{name}={value!r} is not the full name of a key"
        hint = "'projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>'"
        raise ConfigurationError(msg, hint=f"write {hint}, without a version")


def _check_storage_class(name: str, value: str) -> None:
    if value not in _STORAGE_CLASSES:
        msg = f"{name}={value!r} is no storage class"
        raise ConfigurationError(msg, hint=f"it is one of {', '.join(_STORAGE_CLASSES)}")


def _check_attempts(name: str, value: int) -> None:
    if value < 1:
        msg = f"{name}={value!r} would send nothing"
        raise ConfigurationError(msg, hint="give 1 to send each request once")


def _check_seconds(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        msg = f"{name}={value!r} is no time to wait"
        raise ConfigurationError(msg, hint="give seconds, more than 0")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "endpoint_url": _check_endpoint,
    "user_project": _check_project,
    "kms_key_name": _check_kms_key,
    "storage_class": _check_storage_class,
    "metadata": _check_metadata,
    "max_attempts": _check_attempts,
    "connect_timeout": _check_seconds,
    "read_timeout": _check_seconds,
    "deadline": _check_seconds,
}
