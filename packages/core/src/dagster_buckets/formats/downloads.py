"""Downloads: the bytes of one object as a local file, and as a file that reads on."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from dagster_buckets.errors import IntegrityError
from dagster_buckets.objects import Digest, Header, ObjectInfo, Payload
from dagster_buckets.references import ObjectRef

__all__ = ["VerifiedReader", "download", "open_verified", "save"]

#: So much is fetched at once, in parallel where the store can.
_STEP = 64 * 1024 * 1024
_BUFFER = 8 * 1024 * 1024


def save(payload: Payload) -> Path:
    """A local file with these bytes, named as the one that was stored; see :func:`download`."""
    path = _place(payload.info)
    path.write_bytes(payload.data)
    return path


def download(ref: ObjectRef) -> Path:
    """A local file with the bytes of an object; at most 64 MiB of them are in memory.

    It lies in a temporary folder of its own, readable by this user only, and is removed when the
    process ends.

    Raises:
        IntegrityError: The bytes are not those that were written; twice.
    """
    path = _place(ref.info)
    try:
        _copy(ref, path)
    except IntegrityError:
        _copy(ref, path)
    return path


def open_verified(ref: ObjectRef) -> BinaryIO:
    """A file over an object, which reads on as it is read; see :class:`VerifiedReader`."""
    return cast("BinaryIO", io.BufferedReader(VerifiedReader(ref.open(), ref.info), _BUFFER))


class VerifiedReader(io.RawIOBase):
    """A seekable file that ends only if all bytes are those that were written.

    That holds for readers that read from the start to the end; of one that seeks, and of objects
    that were written as a stream and have no digest, only the size is checked.

    Args:
        file: The bytes; closed with this one.
        info: What the store says of them.
    """

    def __init__(self, file: BinaryIO, info: ObjectInfo) -> None:
        super().__init__()
        self._file = file
        self._info = info
        header = info.header or Header()
        known = header.digest is not None and header.digest.startswith("xxh3-128:")
        self._digest = header.digest if known else None
        self._state: Digest | None = Digest() if known else None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there."""
        before = self._file.tell()
        after = self._file.seek(offset, whence)
        if after != before:
            self._state = None
        return after

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the object reaches.

        Raises:
            IntegrityError: These are the last bytes, and all of them together are not those that
                were written; or there are no more, although the object is larger.
        """
        view = memoryview(buffer).cast("B")
        count = cast("io.BufferedReader", self._file).readinto(view)
        if view and not count and self._file.tell() < self._info.size:
            msg = f"{self._info.uri} came as {self._file.tell():,} bytes instead of "
            msg += f"{self._info.size:,}"
            hint = "read it again; check the network"
            raise IntegrityError(msg, uri=self._info.uri, hint=hint)
        if self._state is not None:
            self._state.update(view[:count])
            if self._file.tell() >= self._info.size:
                self._check()
        return count

    def close(self) -> None:
        """Close both."""
        self._file.close()
        super().close()

    def _check(self) -> None:
        found = self._state.text if self._state else None
        self._state = None
        if found != self._digest:
            msg = f"{self._info.uri} has the digest {found}, but {self._digest} was written"
            hint = "read it again; if that does not help, materialize it again"
            raise IntegrityError(msg, uri=self._info.uri, hint=hint)


def _copy(ref: ObjectRef, path: Path) -> None:
    step = bytearray(min(_STEP, max(1, ref.size)))
    with VerifiedReader(ref.open(), ref.info) as source, path.open("wb") as target:
        while count := source.readinto(step):
            target.write(memoryview(step)[:count])


def _place(info: ObjectInfo) -> Path:
    """Where to put an object: whatever its header says, inside a new folder."""
    stored = info.header.filename if info.header else None
    name = (stored or "").replace("\0", "").rpartition("/")[2].rpartition("\\")[2]
    if name in ("", ".", "..") or not _fits(name):
        name = "data"
    return Path(tempfile.mkdtemp(dir=_folder(os.getpid())), name)


def _fits(name: str) -> bool:
    """Whether a file can have this name."""
    try:
        return len(os.fsencode(name)) <= 255  # noqa: PLR2004 - bytes of a name
    except UnicodeEncodeError:
        return False


@cache
def _folder(pid: int) -> str:
    folder = tempfile.mkdtemp(prefix=f"dagster-buckets-{pid}-")
    atexit.register(_remove, folder, pid)
    return folder


def _remove(folder: str, pid: int) -> None:
    """Remove the folder at the end of its process, which is not that of a fork of it."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
