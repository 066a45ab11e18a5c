"""Format ``bytes``: bytes as they are."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import EncodeError, UnsupportedTypeError
from dagster_buckets.formats.downloads import open_verified
from dagster_buckets.formats.file import chunks
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload
from dagster_buckets.references import ObjectRef

__all__ = ["BytesFormat"]

#: What one request carries.
_ONE_REQUEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BytesFormat:
    """Bytes, bytearrays and memory views, as they are and without a copy on write.

    A binary file that is open for reading is written from where it is to its end, in bounded
    memory. ``io.BufferedIOBase`` can be asked for, which reads from the store as it is read.

    Example:
        >>> BytesFormat().encode(b"raw").joined()
        b'raw'
    """

    name: ClassVar[str] = "bytes"
    extension: ClassVar[str] = "bin"
    media_type: ClassVar[str] = "application/octet-stream"
    claims: ClassVar[tuple[str, ...]] = (
        "builtins.bytes",
        "builtins.bytearray",
        "builtins.memoryview",
        "_io._BufferedIOBase",
        "_io._RawIOBase",
    )

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if isinstance(value, io.BufferedIOBase | io.RawIOBase):
            return Body(chunks(_begun(value)))
        if isinstance(value, memoryview):
            value = value.cast("B") if value.c_contiguous else value.tobytes()
        if not isinstance(value, bytes | bytearray | memoryview):
            msg = f"format 'bytes' writes bytes and binary files, not {qualified(type(value))}"
            raise UnsupportedTypeError(msg, hint="return bytes, or choose another format")
        return Body.of(value)

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if as_type is bytearray:
            return bytearray(payload.data)
        if as_type is memoryview:
            return memoryview(payload.data)
        if as_type in (None, bytes):
            return bytes(payload.data)
        if as_type in (io.BytesIO, io.BufferedIOBase):
            return io.BytesIO(payload.data)
        if as_type is io.BufferedReader:
            return io.BufferedReader(io.BytesIO(payload.data))
        uri = payload.info.uri
        msg = f"{uri} holds bytes, which cannot be loaded as {qualified(as_type)}"
        raise UnsupportedTypeError(msg, uri=uri, hint="annotate the input with bytes")

    def streams_above(self, as_type: type | None) -> int | None:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        return _ONE_REQUEST if as_type in (io.BufferedIOBase, io.BufferedReader) else None

    def stream(self, ref: ObjectRef, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStreaming`."""
        if self.streams_above(as_type) is None:
            return self.decode(ref.get(), as_type)
        return open_verified(ref)


def _begun(file: Any) -> Any:
    """The file, unless it is where nothing is left of what it has."""
    if not file.readable():
        msg = "the binary file is not open for reading"
        raise EncodeError(msg, hint="return open(path, 'rb'), or the path itself")
    if file.seekable() and (at := file.tell()):
        if file.seek(0, io.SEEK_END) <= at:
            msg = f"the binary file is at its end, after {at:,} bytes"
            raise EncodeError(msg, hint="call file.seek(0) before the asset returns it")
        file.seek(at)
    return file
