"""The error tree: what can go wrong, as types that callers can catch.

::

    BucketsError
    ├── StoreError                    the store refused, failed or answered wrongly
    │   ├── ObjectNotFoundError       no such object               (also FileNotFoundError)
    │   ├── ObjectExistsError         a create-only or             (also FileExistsError)
    │   │                             compare-and-swap write lost
    │   ├── AccessDeniedError         credentials or permissions   (also PermissionError)
    │   ├── StoreUnavailableError     transient, retries used up   (also ConnectionError)
    │   ├── IntegrityError            bytes differ from what was written
    │   └── InvalidKeyError           a key the store cannot hold  (also ValueError)
    ├── FormatError                   the bytes and the value do not fit together
    │   ├── EncodeError
    │   ├── DecodeError
    │   └── UnsupportedTypeError      no format holds this type    (also TypeError)
    ├── PartitionError                one or several partitions failed or do not exist
    └── ConfigurationError            settings that cannot work
        ├── BucketNotFoundError       the bucket itself is missing; never "object missing"
        ├── UnknownPluginError        no format, layout or store of that name
        ├── PluginConflictError       two distributions claim one name
        └── MissingDependencyError    an optional library is absent (also ModuleNotFoundError)

Every message says what failed, for which asset and partition, at which URI, and what to do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "AccessDeniedError",
    "BucketNotFoundError",
    "BucketsError",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "FormatError",
    "IntegrityError",
    "InvalidKeyError",
    "MissingDependencyError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "PartitionError",
    "PluginConflictError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownPluginError",
    "UnsupportedTypeError",
    "concerning",
]


class BucketsError(Exception):
    """Anything that this library raises on purpose.

    Attributes:
        message: What failed, in one sentence.
        uri: The object that it is about, or ``None``.
        hint: What to do about it, or ``None``.
        subject: The asset and partition (or run, step and output), filled in on the way up.
    """

    def __init__(self, message: str, *, uri: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.uri = uri
        self.hint = hint
        self.subject: str | None = None

    def __str__(self) -> str:
        lines = [self.message]
        if self.subject:
            lines.append(f"  for:  {self.subject}")
        if self.uri and self.uri not in self.message:
            lines.append(f"  at:   {self.uri}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class _Concerning:
    """See :func:`concerning`: a class, because a generator costs several times as much."""

    __slots__ = ("_subject", "_uri")

    def __init__(self, subject: object, uri: str | Callable[[], str] | None) -> None:
        self._subject, self._uri = subject, uri

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, BucketsError):
            return
        if error.subject is None:
            error.subject = str(self._subject)
        if error.uri is None and self._uri is not None:
            # A key that cannot be has no URI: that is what the error is about.
            with suppress(BucketsError):
                error.uri = self._uri() if callable(self._uri) else self._uri


def concerning(
    subject: object, uri: str | Callable[[], str] | None = None
) -> AbstractContextManager[None]:
    """Say in every :class:`BucketsError` that passes which asset, and which URI, it is about.

    The innermost knowledge wins: what is already known is kept.

    Args:
        subject: Its text is made where there is an error.
        uri: The URI, or what gives it.
    """
    return _Concerning(subject, uri)


class StoreError(BucketsError):
    """The store refused, failed or answered wrongly."""


class ObjectNotFoundError(StoreError, FileNotFoundError):
    """No object has this key. The store and the bucket are there and readable."""


class ObjectExistsError(StoreError, FileExistsError):
    """A create-only or compare-and-swap write found another version in place."""


class AccessDeniedError(StoreError, PermissionError):
    """The credentials are absent, wrong or expired, or do not allow this call."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The store could not be reached or kept failing until the retries were used up."""


class IntegrityError(StoreError):
    """The bytes that arrived are not the bytes that were written."""


class InvalidKeyError(StoreError, ValueError):
    """The key can leave its prefix, is ambiguous, or is longer than the store allows."""


class FormatError(BucketsError):
    """The bytes and the value do not fit together."""


class EncodeError(FormatError):
    """The format cannot hold this value."""


class DecodeError(FormatError):
    """The stored bytes are not in this format, or are damaged."""


class UnsupportedTypeError(FormatError, TypeError):
    """No format, or not this format, writes or returns this type."""


class PartitionError(BucketsError):
    """One or several partitions failed, or are not what the run expects.

    Attributes:
        failures: The error of each failed partition, by its key.
        succeeded: The partition keys that were read or written all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        failures: Mapping[str, BaseException] | None = None,
        succeeded: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        self.failures = dict(failures or {})
        self.succeeded = succeeded
        details = [f"  {key!r}: {_indented(error)}" for key, error in self.failures.items()]
        super().__init__("\n".join([message, *details]), hint=hint)


class ConfigurationError(BucketsError):
    """Settings that cannot work, found as early as they can be."""


class BucketNotFoundError(ConfigurationError, StoreError):
    """The bucket (or root folder) itself is missing, which never counts as a missing object."""


class UnknownPluginError(ConfigurationError):
    """No installed distribution offers a format, layout or store of that name."""


class PluginConflictError(ConfigurationError):
    """Two installed distributions offer a format, layout or store of one name."""


class MissingDependencyError(ConfigurationError, ModuleNotFoundError):
    """An optional library is not installed. The message has the ``pip install`` line."""


def _indented(error: BaseException) -> str:
    return str(error).replace("\n", "\n    ")
