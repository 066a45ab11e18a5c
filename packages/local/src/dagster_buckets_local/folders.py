"""Folders, opened one below the other so that no symbolic link is ever followed.

``O_NOFOLLOW`` guards the last component only, which is why a path is never opened as a whole.
Only the root itself may be a link.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster_buckets.errors import InvalidKeyError

from dagster_buckets_local.errors import in_the_way, indistinct, symbolic_link
from dagster_buckets_local.spelling import is_spelled, other_spelling

__all__ = ["check_spelling", "locked", "open_file", "opened", "prune", "working"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a FIFO of that name must not block the reader.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Network file systems, and those without locks, answer with one of these.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL}


@contextmanager
def opened(root: str, names: Sequence[str], uri: str, *, listed: int = 0) -> Iterator[int | None]:
    """The descriptor of the folder ``root/names[0]/…``, or ``None`` where there is none.

    A folder whose name the file system spells otherwise counts as none. The last ``listed``
    names come from a listing and need no such check.
    """
    folder = _root(root)
    try:
        for depth, name in enumerate(names):
            if folder is None:
                break
            folder = _step(folder, name, uri, listed=depth >= len(names) - listed)
        yield folder
    finally:
        if folder is not None:
            os.close(folder)


@contextmanager
def working(root: str, names: Sequence[str], uri: str) -> Iterator[tuple[int, list[str]]]:
    """The descriptor of that folder, created where it is missing, and the names that were.

    The names are those of the folders this call created, outermost first, so that a failed
    write can take them away again.
    """
    Path(root).mkdir(parents=True, exist_ok=True)
    folder = os.open(root, _FOLDER)
    closed = False
    created: list[str] = []
    try:
        for depth, name in enumerate(names):
            try:
                os.mkdir(name, dir_fd=folder)
            except FileExistsError:
                # Only what lies below a new folder can be new.
                created.clear()
            else:
                os.fsync(folder)
                created.append(name)
            try:
                below = _step(folder, name, uri, write=True)
            except InvalidKeyError:
                # Perhaps it was created just now, but under another name than ours.
                prune(root, names[: depth + 1], len(created), uri)
                raise
            closed = below is None
            if below is None:  # a concurrent delete removed it: the caller tries again
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            folder = below
        yield folder, created
    finally:
        if not closed:
            os.close(folder)


def open_file(folder: int, name: str, uri: str) -> int | None:
    """The descriptor of a regular file of exactly this name, for reading; else ``None``."""
    try:
        file = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise symbolic_link(uri, name) from error
        # Sockets and devices without a driver.
        if error.errno in {errno.ENXIO, errno.ENODEV}:
            return None
        raise
    if stat.S_ISREG(os.fstat(file).st_mode) and is_spelled(folder, name):
        return file
    os.close(file)
    return None


@contextmanager
def locked(folder: int, *, required: bool) -> Iterator[None]:
    """Keep all other writers and deleters out of one folder.

    Args:
        folder: Its descriptor. Descriptors are not shared, so threads exclude each other, too.
        required: Fail where the file system has no locks; otherwise go on without.
    """
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError as error:
        if required or error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_UN)


def prune(root: str, names: Sequence[str], count: int, uri: str) -> None:
    """Remove the innermost ``count`` folders of the path as far as they are empty."""
    for depth in range(len(names), len(names) - count, -1):
        with opened(root, names[: depth - 1], uri) as parent:
            if parent is None:
                continue
            try:
                os.rmdir(names[depth - 1], dir_fd=parent)
            except FileNotFoundError:
                continue
            except OSError:
                # Not empty, or not ours to remove: an empty folder too many does no harm.
                return


def _root(root: str) -> int | None:
    try:
        return os.open(root, _FOLDER)
    except FileNotFoundError:
        return None


def check_spelling(folder: int, name: str, uri: str) -> bool:
    """Refuse an entry that was found under ``name`` but has another one; say if there is one.

    Raises:
        InvalidKeyError: This file system takes both for one name.
    """
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        if is_spelled(folder, name):
            return True
        other = other_spelling(folder, name)
    except FileNotFoundError:
        return False
    # FUSE remembers for a second what was deleted under another spelling.
    if other is None or other == name:
        return other == name
    raise indistinct(uri, name, other)


def _step(
    folder: int, name: str, uri: str, *, write: bool = False, listed: bool = False
) -> int | None:
    """Close ``folder`` and open the one named ``name`` in it; ``None`` if it is no folder."""
    try:
        below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        below = None
    except OSError as error:
        # Linux says ENOTDIR of a link, too, macOS ELOOP.
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise symbolic_link(uri, name) from error
        if write:
            check_spelling(folder, name, uri)
            raise in_the_way(uri, name) from error
        below = None
    if below is not None and not listed and not is_spelled(folder, name):
        os.close(below)
        below = None
        if write:
            check_spelling(folder, name, uri)
    os.close(folder)
    return below
