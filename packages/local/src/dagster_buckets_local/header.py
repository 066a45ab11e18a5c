"""The header of a local file, kept in an extended attribute beside its bytes.

It holds the file's modification time as well: a file that somebody edited on purpose has another
one, and its old size and digest no longer say anything about it.
"""

from __future__ import annotations

import errno
import json
import os

from dagster_buckets.objects import Header

__all__ = ["read_header", "write_header"]

_NAME = "user.dagster-buckets"
_MTIME = "mtime-ns"
_NOT_KEPT = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODATA, errno.EPERM}


def write_header(file: int, header: Header) -> None:
    """Attach the header to an open file whose bytes and times are final.

    Nothing is kept where the file system, or Python on this system (macOS), has no extended
    attributes.
    """
    if not hasattr(os, "setxattr"):
        return
    kept = header.to_attributes() | {_MTIME: str(os.fstat(file).st_mtime_ns)}
    try:
        os.setxattr(file, _NAME, json.dumps(kept).encode())
    except OSError as error:
        if error.errno not in _NOT_KEPT:
            raise


def read_header(file: int) -> Header | None:
    """The header of an open file; ``None`` where none is kept or the file was edited since."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        kept = json.loads(os.getxattr(file, _NAME))
    except OSError as error:
        if error.errno in _NOT_KEPT:
            return None
        raise
    except ValueError:  # not ours, or damaged: the file counts as one that others wrote
        return None
    if not isinstance(kept, dict) or kept.get(_MTIME) != str(os.fstat(file).st_mtime_ns):
        return None
    return Header.from_attributes(kept)
