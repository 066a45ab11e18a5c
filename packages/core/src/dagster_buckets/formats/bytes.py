"""Format ``bytes``: bytes as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import UnsupportedTypeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload

__all__ = ["BytesFormat"]


@dataclass(frozen=True, slots=True)
class BytesFormat:
    """Bytes, bytearrays and memory views, as they are and without a copy on write.

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
    )

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if isinstance(value, memoryview):
            value = value.cast("B") if value.c_contiguous else value.tobytes()
        if not isinstance(value, bytes | bytearray | memoryview):
            msg = f"format 'bytes' writes bytes, not {qualified(type(value))}"
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
        uri = payload.info.uri
        msg = f"{uri} holds bytes, which cannot be loaded as {qualified(as_type)}"
        raise UnsupportedTypeError(msg, uri=uri, hint="annotate the input with bytes")
