"""The local store: objects as files below a root folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from dagster_buckets.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from dagster_buckets.objects import Body, Buffer, Digest, Header, ObjectInfo, Payload
from dagster_buckets.stores.access import FileAccess
from dagster_buckets.stores.base import changed, check_key, check_prefix
from dagster_buckets.threads import Pool

from dagster_buckets_local.errors import missing, translated

if os.name != "nt":  # fcntl is missing there; the constructor says so
    from dagster_buckets_local import writing
    from dagster_buckets_local.folders import locked, open_file, opened, prune
    from dagster_buckets_local.header import read_header

__all__ = ["LocalStore"]

#: The longest name of one file or folder that ext4, XFS, APFS and NFS take, in bytes.
NAME_LIMIT = 255


#: Files from this size on are not read into memory but mapped, and two threads write them.
_LARGE = 16 * 1024 * 1024


class LocalStore:
    """A folder as a store: every write is all or nothing and on the disk when ``put`` returns.

    A value is written to a temporary file in the folder of its key, flushed to the disk and
    renamed into place; a crash, a full disk and an exception leave the old file as it was. No
    symbolic link below the root is followed. Files that other tools write or edit are read as
    they are. Nothing is created until the first ``put``. Linux and macOS; on Windows use WSL.

    A name is never taken for another, also where the file system ignores letter case (macOS): a
    file of another spelling is not there for reads, and refuses writes.

    Conditional writes exclude every other ``LocalStore``, in this and in other processes, by a
    lock on the folder (``flock``); they are refused where the file system has no locks.

    Args:
        root: The folder. Made absolute at once; ``~`` is expanded.
        prefix: A path below it, put before every key.

    Raises:
        ConfigurationError: On Windows.

    Example:
        >>> import tempfile
        >>> store = LocalStore(tempfile.mkdtemp(), "prod")
        >>> store.put("a/data.txt", Body.of(b"hello")).size
        5
        >>> store.get("a/data.txt").data
        b'hello'
    """

    def __init__(self, root: str | os.PathLike[str], prefix: str | None = None) -> None:
        if os.name == "nt":
            msg = "the local store needs Linux or macOS: Windows cannot rename over an open file"
            raise ConfigurationError(msg, hint="run Dagster in WSL")
        self.root = os.path.abspath(os.path.expanduser(os.fspath(root)))  # noqa: PTH100, PTH111
        self.prefix = check_prefix(prefix)

    @classmethod
    def from_uri(cls, uri: str) -> LocalStore:
        """The store of ``file:///absolute/folder``; nothing in the path is decoded."""
        path = uri.removeprefix("file://")
        if path == uri or not path.startswith("/"):
            msg = f"{uri!r} is not the URI of a local folder"
            raise ConfigurationError(msg, hint="three slashes and an absolute path: file:///data")
        return cls(path)

    def __repr__(self) -> str:
        return f"LocalStore({self.root!r}, prefix={self.prefix!r})"

    def put(
        self,
        key: str,
        body: Body,
        *,
        header: Header | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        *folders, name = self._names(key)
        uri = self.uri(key)
        with _sealing(body, header) as seal, writing.temporary(self.root, folders, uri) as draft:
            digest = Digest()
            for buffer in body:
                draft.write(buffer)
                if body.held is None and body.known is None:
                    digest.update(buffer)
            sealed = seal()
            if sealed.digest is None:
                # The header of a file is written last, so that of a stream has its digest, too.
                sealed = replace(sealed, size=digest.size, digest=digest.text)
            draft.seal(sealed)
            conditional = if_absent or if_match is not None
            with translated(uri), locked(draft.folder, required=conditional):
                if conditional:
                    self._check(draft.folder, name, uri, if_match)
                draft.publish(name)
            return self._info(key, draft.status, sealed)

    def get(self, key: str) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        payload = self._read(key)
        try:
            return payload.verify()
        except IntegrityError:
            # Once more: the file may have been edited in place while it was read.
            return self._read(key).verify()

    def peek(self, key: str, size: int) -> Payload:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        payload = self._read(key, size)
        if payload.info.size > size:
            return payload
        try:
            return payload.verify()
        except IntegrityError:
            return self.get(key)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        with self.open(version.key, version) as file:
            file.seek(start)
            data = file.read(stop - start)
        if len(data) != stop - start:
            msg = f"{version.uri}: {len(data)} bytes came instead of {stop - start} from {start} on"
            raise IntegrityError(msg, uri=version.uri, hint="the file was cut in place")
        return data

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`.

        A later write replaces the file and leaves this reader the old one.
        """
        uri = self.uri(key)
        with self._found(key) as file, translated(uri):
            if version is not None and version.etag not in ("", _etag(os.fstat(file))):
                raise changed(uri)
            return os.fdopen(os.dup(file), "rb")

    def head(self, key: str) -> ObjectInfo:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        with self._found(key) as file, translated(self.uri(key)):
            return self._info(key, os.fstat(file), read_header(file))

    def exists(self, key: str) -> bool:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`."""
        try:
            self.head(key)
        except ObjectNotFoundError:
            return False
        return True

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`.

        Symbolic links are not listed, nor are files whose name cannot be a key.
        """
        folders = self.prefix.split("/") if self.prefix else []
        yield from self._walk(folders, "", prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`.

        Folders that are empty afterwards go, too: a bucket has no empty folders.
        """
        for key in keys:
            *folders, name = self._names(key)
            uri = self.uri(key)
            with translated(uri):
                with opened(self.root, folders, uri) as folder:
                    if folder is None or not writing.remove(folder, name):
                        continue
                prune(self.root, folders, len(folders), uri)

    def uri(self, key: str) -> str:
        """See :class:`~dagster_buckets.stores.base.ObjectStore`. Nothing in it is encoded."""
        return f"file://{self.root.rstrip('/')}/{'/'.join(self._names(key))}"

    def access(self) -> FileAccess:
        """See :class:`~dagster_buckets.stores.access.SupportsAccess`."""
        return FileAccess()

    def sweep(self, older_than: timedelta = timedelta(hours=1), *, dry_run: bool = False) -> int:
        """Remove what killed writers left behind; never the file of a writer that still runs.

        Args:
            older_than: Leave alone what was written to since.
            dry_run: Count it only.

        Returns:
            How many temporary files were removed.
        """
        limit = datetime.now(UTC) - older_than
        count = 0
        top = self.prefix.split("/") if self.prefix else []
        pending = [top]
        while pending:
            folders = pending.pop()
            uri = f"file://{self.root.rstrip('/')}/{'/'.join(folders)}"
            depth = len(folders) - len(top)
            with translated(uri), opened(self.root, folders, uri, listed=depth) as folder:
                if folder is None:
                    continue
                with os.scandir(folder) as entries:
                    listed = [
                        (entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries
                    ]
                pending += [[*folders, name] for name, is_folder in listed if is_folder]
                names = [n for n, is_folder in listed if not is_folder and writing.is_temporary(n)]
                swept = sum(writing.sweep(folder, name, limit, dry_run=dry_run) for name in names)
            count += swept
            if swept and not dry_run:
                prune(self.root, folders, depth, uri)
        return count

    def _names(self, key: str) -> list[str]:
        names = check_key(key, prefix=self.prefix).split("/")
        for name in names:
            if len(name.encode()) > NAME_LIMIT:
                msg = f"{key!r} cannot be a file: {name[:40]!r}… has more than {NAME_LIMIT} bytes"
                raise InvalidKeyError(msg, hint="shorten or rename the asset or partition key")
            if writing.is_temporary(name):
                msg = f"{key!r} cannot be an object key: {name!r} is the name of a temporary file"
                raise InvalidKeyError(msg, hint="rename the asset or partition key")
        return names

    @contextmanager
    def _found(self, key: str) -> Iterator[int]:
        *folders, name = self._names(key)
        uri = self.uri(key)
        with translated(uri), opened(self.root, folders, uri) as folder:
            file = None if folder is None else open_file(folder, name, uri)
        if file is None:
            raise missing(uri)
        try:
            yield file
        finally:
            os.close(file)

    def _read(self, key: str, last: int | None = None) -> Payload:
        with self._found(key) as file, translated(self.uri(key)):
            info = self._info(key, os.fstat(file), read_header(file))
            if last is None and info.size >= _LARGE:
                return Payload(_mapped(file), info)
            with os.fdopen(file, "rb", buffering=0, closefd=False) as raw:
                if last is not None:
                    raw.seek(max(0, info.size - last))
                return Payload(raw.read() or b"", info)

    def _check(self, folder: int, name: str, uri: str, if_match: str | None) -> None:
        file = open_file(folder, name, uri)
        try:
            found = None if file is None else _etag(os.fstat(file))
        finally:
            if file is not None:
                os.close(file)
        if found != if_match:
            state = "does not exist" if found is None else "has another version"
            msg = f"{uri} {'exists' if if_match is None else state}"
            raise ObjectExistsError(msg, uri=uri, hint="read it and decide again")

    def _info(self, key: str, status: os.stat_result, header: Header | None) -> ObjectInfo:
        return ObjectInfo(
            key=key,
            uri=self.uri(key),
            size=status.st_size,
            etag=_etag(status),
            modified=datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC),
            header=header,
        )

    def _walk(self, folders: list[str], base: str, prefix: str) -> Iterator[ObjectInfo]:
        uri = f"file://{self.root.rstrip('/')}/{'/'.join(folders)}"
        depth = base.count("/")
        with translated(uri), opened(self.root, folders, uri, listed=depth) as folder:
            listed = [] if folder is None else writing.listing(folder)
        # A folder sorts by its name and the slash, as the keys below it do.
        for name, status in listed:
            key = base + name
            if status is None:
                if f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._walk([*folders, name], f"{key}/", prefix)
            elif key.startswith(prefix):
                try:
                    info = self._info(key, status, None)
                except InvalidKeyError:
                    continue  # another tool's file, which no key can name
                yield info


@contextmanager
def _sealing(body: Body, header: Header | None) -> Iterator[Callable[[], Header]]:
    """The header of a body; its digest is computed beside the write where that takes long."""
    if (body.size or 0) < _LARGE:
        sealed = body.seal(header)
        yield lambda: sealed
        return
    pool = Pool(1, "local-digest")
    try:
        yield pool.submit(body.seal, header).result
    finally:
        # It reads the caller's memory.
        pool.shutdown(wait=True)


def _mapped(file: int) -> Buffer:
    """A file in memory, read by the system when it is looked at; Arrow need not copy it."""
    import pyarrow as pa

    # By the descriptor: what the path names may be another file by now.
    with pa.memory_map(f"/dev/fd/{file}") as mapped:
        return memoryview(mapped.read_buffer()).cast("B")


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
