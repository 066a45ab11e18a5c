"""What the operating system's error numbers mean for a user of the local store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from unicodedata import normalize

from dagster_buckets.errors import (
    AccessDeniedError,
    BucketsError,
    InvalidKeyError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)

__all__ = ["in_the_way", "indistinct", "missing", "symbolic_link", "translated"]

#: Error number -> error class, what is wrong, what to do about it.
TABLE: dict[int, tuple[type[StoreError], str, str]] = {
    errno.EACCES: (
        AccessDeniedError,
        "permission denied",
        "let this user read and write the root folder and the folders in it",
    ),
    errno.EPERM: (
        AccessDeniedError,
        "operation not permitted",
        "look for immutable files (lsattr), another owner or a security policy",
    ),
    errno.EROFS: (
        AccessDeniedError,
        "the file system is read-only",
        "mount it writable, or choose another root",
    ),
    errno.ENOSPC: (
        StoreError,
        "no space is left on the device",
        "free some space, then materialize again; what was stored before is unharmed",
    ),
    errno.EDQUOT: (
        StoreError,
        "the disk quota is used up",
        "free some space or raise the quota; what was stored before is unharmed",
    ),
    errno.EFBIG: (StoreError, "the file is too large for this file system", "choose another root"),
    errno.ENAMETOOLONG: (
        InvalidKeyError,
        "the path is longer than this file system allows",
        "shorten the asset or partition key, or choose a shorter root",
    ),
    errno.EILSEQ: (
        InvalidKeyError,
        "this file system cannot hold such a name",
        "rename the asset or partition key, or choose another file system",
    ),
    errno.EISDIR: (
        StoreError,
        "a folder is in the way",
        "move the folder of that name, or rename the asset",
    ),
    errno.ENOTDIR: (
        StoreError,
        "a file is in the way of a folder",
        "move the file that has the name of one of the key's folders, or rename the asset",
    ),
    errno.ELOOP: (
        StoreError,
        "a symbolic link is in the path and is not followed",
        "replace the link by what it points to; only the root itself may be a link",
    ),
    errno.EIO: (StoreUnavailableError, "input/output error", "check the disk"),
    errno.ESTALE: (StoreUnavailableError, "the network file system lost the file", "try again"),
    errno.ETIMEDOUT: (StoreUnavailableError, "the network file system timed out", "try again"),
    errno.EMFILE: (
        StoreUnavailableError,
        "too many open files",
        "raise the limit (ulimit -n) or lower max_concurrency",
    ),
}


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise every :class:`OSError` of the block as the error of this library that it means."""
    try:
        yield
    except BucketsError:
        raise
    except OSError as error:
        kind, text, hint = TABLE.get(
            error.errno or 0, (StoreError, error.strerror or str(error), "check the root folder")
        )
        msg = f"{uri}: {text}"
        raise kind(msg, uri=uri, hint=hint) from error


def missing(uri: str) -> ObjectNotFoundError:
    """The error of a key that has no file."""
    return ObjectNotFoundError(
        f"there is no object {uri}", uri=uri, hint="has it been materialized into this root?"
    )


def in_the_way(uri: str, name: str) -> StoreError:
    """The error of a write below something that is no folder."""
    msg = f"{uri} cannot be written: {name!r} is a file, and is in the way of a folder"
    return StoreError(msg, uri=uri, hint=TABLE[errno.ENOTDIR][2])


def indistinct(uri: str, name: str, other: str) -> InvalidKeyError:
    """The error of a write where the file system spells a name otherwise."""
    # Normal forms of the same text look alike.
    show = ascii if normalize("NFC", name) == normalize("NFC", other) else repr
    msg = f"{uri} cannot be written: this file system cannot tell {show(name)} from {show(other)}"
    hint = "choose a root on a case-sensitive volume, or rename the asset or partition key"
    return InvalidKeyError(msg, uri=uri, hint=hint)


def symbolic_link(uri: str, name: str) -> StoreError:
    """The error of a path that leads through a symbolic link."""
    msg = f"{uri}: {name!r} is a symbolic link, which is not followed"
    return StoreError(msg, uri=uri, hint=TABLE[errno.ELOOP][2])
