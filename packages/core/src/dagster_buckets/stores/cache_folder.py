"""A local folder of objects that were read: bounded, verified, for several processes at once."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import struct
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_buckets.errors import ConfigurationError
from dagster_buckets.objects import Header, ObjectInfo, Payload, digest_of

__all__ = ["CacheFolder"]

_MAGIC = b"dbc1"
_LENGTH = struct.Struct("<I")
_DIGEST = len(digest_of([]))
_TEMPORARY = ".tmp~"
#: The share of its bound to which a folder is brought that has outgrown it.
_KEPT = 0.9
#: A folder is looked through again when this share of its bound was added: others add, too.
_LOOKED = 1 / 16
#: Seconds after which a temporary file belongs to nobody.
_ABANDONED = 3600.0


class CacheFolder:
    """Objects by their URIs, the last ones used.

    Each is a file, which is replaced as a whole and carries a digest: a process that is killed, a
    disk that is full and a file that rots cost a request, nothing else.

    Args:
        path: The folder; made when something is kept, for this user only.
        max_bytes: What all files may have together, give or take what several processes add at the
            same time.

    Raises:
        ConfigurationError: The folder is there and others may write into it, and so decide what
            values are.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        # What was added since the folder was looked through; at first that is unknown.
        self._added: float = float("inf")
        self._check()

    def __repr__(self) -> str:
        return f"CacheFolder({str(self.path)!r}, {self.max_bytes})"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def find(self, uri: str) -> Payload | None:
        """The object that was kept last of this URI; ``None`` if it is not there, or damaged."""
        place = self._place(uri)
        try:
            data = place.read_bytes()
        except FileNotFoundError:
            return None
        found = _parsed(memoryview(data))
        if found is None or found.info.uri != uri:
            place.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            # When it was used last: atime is often not kept.
            os.utime(place)
        return found

    def keep(self, payload: Payload) -> None:
        """Keep an object, if there is room for it; what was not used for longest goes first.

        Raises:
            OSError: The folder cannot be written.
        """
        head = _head(payload)
        size = len(head) + memoryview(payload.data).nbytes
        if not payload.info.etag or size > self.max_bytes / 4:
            return
        place = self._place(payload.info.uri)
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.parent.mkdir(exist_ok=True, mode=0o700)
        draft = place.with_name(f"{place.name}.{secrets.token_hex(8)}{_TEMPORARY}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as target:
                target.write(head)
                target.write(payload.data)
            draft.replace(place)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        with self._lock:
            self._added += size
            if self._added > self.max_bytes * _LOOKED:
                self._trim()
                self._added = 0

    def _trim(self) -> None:
        """Bring the folder to its bound."""
        files: list[tuple[float, int, Path]] = []
        for folder in self.path.iterdir():
            for path in folder.iterdir() if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # another process trims, too
                    status = path.stat()
                    if path.name.endswith(_TEMPORARY):
                        if status.st_mtime < time.time() - _ABANDONED:
                            path.unlink()
                    else:
                        files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.max_bytes:
            return
        for _, size, path in sorted(files):
            path.unlink(missing_ok=True)
            total -= size
            if total <= self.max_bytes * _KEPT:
                return

    def _place(self, uri: str) -> Path:
        name = hashlib.sha256(uri.encode()).hexdigest()
        return self.path / name[:2] / name[2:]

    def _check(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            msg = f"the cache {str(self.path)!r} is no folder"
            raise ConfigurationError(msg, hint="name a folder, or a path where one can be made")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            msg = (
                f"others may write into the cache {str(self.path)!r}, and so decide what values are"
            )
            raise ConfigurationError(msg, hint="chmod go-w, or name a folder that is not there yet")


def _head(payload: Payload) -> bytes:
    """What is before the bytes: a magic number, the digest of all that follows, what is known."""
    info = payload.info
    told = {
        "uri": info.uri,
        "etag": info.etag,
        "size": info.size,
        "modified": info.modified.isoformat(),
        "header": info.header.to_attributes() if info.header else None,
    }
    text = json.dumps(told).encode()
    rest = _LENGTH.pack(len(text)) + text
    return _MAGIC + digest_of([rest, payload.data]).encode() + rest


def _parsed(data: memoryview) -> Payload | None:
    start = len(_MAGIC) + _DIGEST
    digest, rest = data[len(_MAGIC) : start], data[start:]
    if data[: len(_MAGIC)] != _MAGIC or digest_of([rest]).encode() != digest:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(rest)[0]
    told = json.loads(bytes(rest[_LENGTH.size : end]))
    header = Header.from_attributes(told["header"])
    modified = datetime.fromisoformat(told["modified"])
    info = ObjectInfo("", told["uri"], told["size"], told["etag"], modified, header)
    return Payload(rest[end:], info)
