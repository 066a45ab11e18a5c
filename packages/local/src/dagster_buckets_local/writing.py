"""Temporary files: written beside their target, flushed, then renamed over it."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from dagster_buckets.errors import InvalidKeyError, StoreUnavailableError
from dagster_buckets.objects import Buffer, Header

from dagster_buckets_local.errors import translated
from dagster_buckets_local.folders import check_spelling, locked, prune, working
from dagster_buckets_local.header import write_header
from dagster_buckets_local.spelling import is_spelled

__all__ = ["Draft", "is_temporary", "listing", "remove", "sweep", "temporary"]

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp~")
_ATTEMPTS = 20
_umask_lock = threading.Lock()


class Draft:
    """A temporary file that nobody else can read until it is published.

    Attributes:
        folder: The descriptor of its folder.
        name: Its name in there.
        status: What the file system says of it, once it is sealed.
    """

    def __init__(self, folder: int, uri: str) -> None:
        self.folder = folder
        self.name = f".{secrets.token_hex(16)}.tmp~"
        self.status: os.stat_result
        self._uri = uri
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self.name, flags, 0o600, dir_fd=folder)
        # Held until it is closed, also by a kill: tells `sweep` that the writer still runs.
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def write(self, buffer: Buffer) -> None:
        """Append one buffer."""
        view = memoryview(buffer).cast("B")
        with translated(self._uri):
            while view:
                # Linux writes at most 2 GiB in one call.
                view = view[os.write(self._file, view) :]

    def seal(self, header: Header) -> None:
        """Attach the header and wait until all of it is on the disk."""
        with translated(self._uri):
            # The kernel's clock moves every 4 ms only: two writes could share an ETag.
            now = time.time_ns()
            os.utime(self._file, ns=(now, now))
            write_header(self._file, header)
            os.fchmod(self._file, 0o644 & ~_umask())
            os.fsync(self._file)
            self.status = os.fstat(self._file)

    def publish(self, name: str) -> None:
        """Rename it over ``name``, which is on the disk afterwards.

        Raises:
            InvalidKeyError: The file system gives it another name, or takes it for another file,
                which stays as it was.
        """
        replaces = check_spelling(self.folder, name, self._uri)
        os.rename(self.name, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        if not replaces:
            try:
                check_spelling(self.folder, name, self._uri)
            except InvalidKeyError:
                os.unlink(name, dir_fd=self.folder)
                raise
        os.fsync(self.folder)

    def close(self) -> None:
        """Remove the file if it was not published."""
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self.folder)
        os.close(self._file)


@contextmanager
def temporary(root: str, folders: Sequence[str], uri: str) -> Iterator[Draft]:
    """A new temporary file in that folder, which is created if need be.

    What is not published when the block ends is gone, and so are the folders made for it.
    """
    created: list[str] = []
    try:
        with ExitStack() as stack:
            with translated(uri):
                draft, created = _draft(stack, root, folders, uri)
            yield draft
    except BaseException:
        with suppress(OSError):
            prune(root, folders, len(created), uri)
        raise


def is_temporary(name: str) -> bool:
    """Whether a file of this name is an unfinished write."""
    return _TEMPORARY.fullmatch(name) is not None


def listing(folder: int) -> list[tuple[str, os.stat_result | None]]:
    """The files and folders in a folder, in the order of the keys; folders have no status."""
    found: list[tuple[str, os.stat_result | None]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name, None))
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted since
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda pair: pair[0] if pair[1] else f"{pair[0]}/")


def remove(folder: int, name: str) -> bool:
    """Delete one file, with writers kept out; say whether there was one."""
    with locked(folder, required=False):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        # A folder is no object, and neither is a link, which reads refuse to follow.
        if not stat.S_ISREG(status.st_mode) or not is_spelled(folder, name):
            return False
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)
    return True


def sweep(folder: int, name: str, limit: datetime, *, dry_run: bool = False) -> bool:
    """Remove one temporary file if it is older than ``limit`` and its writer is gone."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        if os.fstat(file).st_mtime >= limit.timestamp():
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks on this file system: its age has to do
            pass
        with suppress(FileNotFoundError):
            if not dry_run:
                os.unlink(name, dir_fd=folder)
            return True
        return False
    finally:
        os.close(file)


def _draft(
    stack: ExitStack, root: str, folders: Sequence[str], uri: str
) -> tuple[Draft, list[str]]:
    for _ in range(_ATTEMPTS):
        with ExitStack() as attempt:
            try:
                folder, created = attempt.enter_context(working(root, folders, uri))
                draft = Draft(folder, uri)
            except FileNotFoundError:
                continue  # a concurrent delete removed the folder while it was empty
            attempt.callback(draft.close)
            stack.push(attempt.pop_all())
            return draft, list(created)
    msg = f"{uri} cannot be written: its folder vanishes as often as it is created"
    raise StoreUnavailableError(msg, uri=uri, hint="is something deleting below the root?")


def _umask() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    # Without /proc the mask can only be read by setting it, for all threads.
    with _umask_lock:
        mask = os.umask(0o077)
        os.umask(mask)
        return mask
