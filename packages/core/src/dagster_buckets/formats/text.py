"""Format ``text``: strings as UTF-8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload

__all__ = ["TextFormat"]


@dataclass(frozen=True, slots=True)
class TextFormat:
    r"""Strings as UTF-8, without a byte order mark; line ends are kept as they are.

    Example:
        >>> TextFormat().encode("naïve").joined()
        b'na\xc3\xafve'
    """

    name: ClassVar[str] = "text"
    extension: ClassVar[str] = "txt"
    media_type: ClassVar[str] = "text/plain; charset=utf-8"
    claims: ClassVar[tuple[str, ...]] = ("builtins.str",)

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        if not isinstance(value, str):
            msg = f"format 'text' writes str, not {qualified(type(value))}"
            raise UnsupportedTypeError(msg, hint="return a str, or choose another format")
        try:
            return Body.of(value.encode())
        except UnicodeEncodeError as error:
            msg = f"the text cannot be written as UTF-8: {error.reason} at {error.start}"
            raise EncodeError(msg, hint="decode the source with errors='replace'") from error

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        uri = payload.info.uri
        if as_type not in (None, str):
            msg = f"{uri} holds text, which cannot be loaded as {qualified(as_type)}"
            raise UnsupportedTypeError(msg, uri=uri, hint="annotate the input with str")
        try:
            return str(payload.data, "utf-8")
        except UnicodeDecodeError as error:
            msg = f"{uri} is not UTF-8: {error.reason} at byte {error.start}"
            raise DecodeError(msg, uri=uri, hint="load it with format='bytes'") from error
