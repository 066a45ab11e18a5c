"""Format ``file``: a local file goes up as it is and comes back as a local file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dagster_buckets.errors import EncodeError, UnsupportedTypeError
from dagster_buckets.formats.downloads import download, open_verified, save
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Digest, Payload
from dagster_buckets.references import ObjectRef

__all__ = ["FileFormat", "chunks"]

#: What one request carries.
_ONE_REQUEST = 16 * 1024 * 1024
_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Files by their ``pathlib.Path``, whatever is in them, in bounded memory.

    The path that comes back is that of a copy with the same name, in a temporary folder that is
    removed when the process ends; move it to keep it. A binary file (``io.BufferedIOBase``) can be
    asked for as well, which reads from the store as it is read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = Path(folder, "report.txt")
        ...     _ = report.write_text("all is well")
        ...     body = FileFormat().encode(report).settled(1000)
        >>> body.filename, body.joined()
        ('report.txt', b'all is well')
    """

    name: ClassVar[str] = "file"
    extension: ClassVar[str] = "file"
    media_type: ClassVar[str] = "application/octet-stream"
    claims: ClassVar[tuple[str, ...]] = ("pathlib.Path", "pathlib._local.Path")

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if not isinstance(value, Path):
            msg = f"format 'file' writes pathlib.Path, not {qualified(type(value))}"
            raise UnsupportedTypeError(msg, hint="return the path of a file")
        if not value.is_file():
            state = "is no file" if value.exists() else "does not exist"
            msg = f"{str(value)!r} {state}"
            raise EncodeError(msg, hint="return the path of a regular file, written and closed")
        known = _measured(value) if value.stat().st_size > _ONE_REQUEST else None
        return Body(_contents(value), filename=value.name, known=known)

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if _is_binary_file(as_type):
            return io.BufferedReader(io.BytesIO(payload.data))
        _check_class(as_type, payload.info.uri)
        return save(payload)

    def streams_above(self, as_type: type | None) -> int | None:  # noqa: ARG002
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        return _ONE_REQUEST

    def stream(self, ref: ObjectRef, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        if _is_binary_file(as_type):
            return open_verified(ref)
        _check_class(as_type, ref.uri)
        return download(ref)


def chunks(file: Any) -> Iterator[bytes]:
    """What a binary file still has, piece by piece.

    Raises:
        EncodeError: It gives text.
    """
    while True:
        chunk = file.read(_CHUNK)
        if not chunk:
            return
        if not isinstance(chunk, bytes | bytearray | memoryview):
            msg = f"{qualified(type(file))} gives {qualified(type(chunk))}, not bytes"
            raise EncodeError(msg, hint="open the file in binary mode: open(path, 'rb')")
        # Some files use their memory again.
        yield bytes(chunk)


def _measured(path: Path) -> tuple[int, str]:
    """The size and the digest of a file: read once more than it is sent, so that loads verify."""
    digest = Digest()
    for chunk in _contents(path):
        digest.update(chunk)
    return digest.size, digest.text


def _contents(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        expected = path.stat()
        read = 0
        for chunk in chunks(file):
            read += len(chunk)
            yield chunk
        found = path.stat()
        if (read, found.st_mtime_ns) != (expected.st_size, expected.st_mtime_ns):
            msg = f"{str(path)!r} was changed while it was read"
            raise EncodeError(msg, hint="close the file before the asset returns its path")


def _is_binary_file(as_type: type | None) -> bool:
    return as_type is not None and issubclass(as_type, io.BufferedIOBase | io.BufferedReader)


def _check_class(as_type: type | None, uri: str) -> None:
    if as_type is None or issubclass(Path, as_type) or issubclass(as_type, Path):
        return
    msg = f"{uri} holds a file, which cannot be loaded as {qualified(as_type)}"
    hint = "annotate the input with pathlib.Path or io.BufferedIOBase"
    raise UnsupportedTypeError(msg, uri=uri, hint=hint)
