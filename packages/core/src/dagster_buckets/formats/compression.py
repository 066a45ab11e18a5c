"""Compression of whole objects, for formats that have none of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal, cast, get_args

from dagster_buckets.errors import ConfigurationError, DecodeError
from dagster_buckets.formats.around import Around
from dagster_buckets.formats.base import (
    Format,
    Part,
    SupportsConcat,
    SupportsDescribe,
    SupportsStructures,
)
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.sources import Collector
from dagster_buckets.objects import Body, Buffer, Description, Payload
from dagster_buckets.references import ObjectRef

__all__ = ["SUFFIXES", "Codec", "Compressed", "check_codec", "compressed"]

Codec = Literal["zstd", "gzip", "lz4"]

#: What each codec adds to the extension; DuckDB, Polars and Arrow know them.
SUFFIXES: Mapping[Codec, str] = {"zstd": "zst", "gzip": "gz", "lz4": "lz4"}

_STEP = 1024 * 1024


def check_codec(value: Any) -> Codec | None:
    """A codec, or ``None`` for ``"none"``.

    Raises:
        ConfigurationError: There is no such codec.
    """
    if value in (None, "none"):
        return None
    if value not in get_args(Codec):
        msg = f"the compression {value!r} is not known"
        known = ", ".join(map(repr, [*get_args(Codec), "none"]))
        raise ConfigurationError(msg, hint=f"it can be one of {known}")
    return cast("Codec", value)


def compressed(inner: Format, codec: Codec, limit: Limit) -> Format:
    """The format with all bytes compressed, and ``.zst``, ``.gz`` or ``.lz4`` after its extension.

    It has the powers of formats that are read whole, if the inner one has them.
    """
    joins, describes = isinstance(inner, SupportsConcat), isinstance(inner, SupportsDescribe)
    made = (_CompressedTable if describes else _CompressedParts) if joins else Compressed
    return made(inner, codec, limit)


@dataclass(frozen=True, slots=True)
class Compressed(Around):
    r"""A format whose bytes are compressed as a whole; see :func:`compressed`.

    Args:
        inner: The format of the bytes within.
        codec: How they are compressed.
        limit: How much they may become again.

    Example:
        >>> from dagster_buckets.formats.text import TextFormat
        >>> format = compressed(TextFormat(), "gzip", Limit())
        >>> format.extension, bytes(format.encode("text").joined()[:2])
        ('txt.gz', b'\x1f\x8b')
    """

    codec: Codec
    limit: Limit

    @property
    def extension(self) -> str:
        """That of the inner format and the codec's."""
        return f"{self.inner.extension}.{SUFFIXES[self.codec]}"

    @property
    def media_type(self) -> str:
        """That of the codec: no server may unpack it on the way."""
        return {"zstd": "application/zstd", "gzip": "application/gzip"}.get(
            self.codec, "application/octet-stream"
        )

    @property
    def compression(self) -> str:
        """That of the whole object."""
        return self.codec

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        body = self.inner.encode(value)
        stream = self._compress(body)
        return replace(body, buffers=stream if body.held is None else tuple(stream))

    def decode(self, payload: Payload, as_type: Any) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        return self.inner.decode(self._unpacked(payload), as_type)

    def can_structure(self, annotation: Any) -> bool:
        """As the inner format."""
        inner = self.inner
        return isinstance(inner, SupportsStructures) and inner.can_structure(annotation)

    def _compress(self, body: Body) -> Iterator[Buffer]:
        import pyarrow as pa

        sink = Collector()
        with pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), self.codec) as packer:
            for buffer in body:
                packer.write(buffer)
                yield from sink.take()
        yield from sink.take()

    def _unpacked(self, payload: Payload) -> Payload:
        uri = payload.info.uri
        return Payload(self._unpack(payload.data, uri), payload.info)

    def _unpack(self, data: Buffer, uri: str) -> Buffer:
        import pyarrow as pa

        stored = memoryview(data).nbytes
        unpacked = bytearray()
        if not stored:
            # For Arrow that is the end of a stream, while every codec writes at least 9 bytes.
            msg = f"{uri} is not readable as {self.codec}: it is empty"
            raise DecodeError(msg, uri=uri, hint="materialize it again")
        try:
            with pa.CompressedInputStream(pa.BufferReader(data), self.codec) as packed:
                while step := packed.read(_STEP):
                    unpacked += step
                    self.limit.check(len(unpacked), stored, uri)
        except (pa.ArrowException, OSError) as error:
            msg = f"{uri} is not readable as {self.codec}: {error}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error
        return unpacked


@dataclass(frozen=True, slots=True)
class _CompressedParts(Compressed):
    """A compressed format whose objects can be joined."""

    inner: Any

    def can_concat(self, as_type: type) -> bool:
        return bool(self.inner.can_concat(as_type))

    def part(self, source: Payload | ObjectRef) -> Part:
        payload = source.get() if isinstance(source, ObjectRef) else source
        return cast("Part", self.inner.part(self._unpacked(payload)))

    def concat(
        self,
        parts: Sequence[Part],
        as_type: type | None,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        return self.inner.concat(parts, as_type, columns)


@dataclass(frozen=True, slots=True)
class _CompressedTable(_CompressedParts):
    """A compressed format of tables, which are read whole."""

    def describe(self, file: BinaryIO) -> Description:
        unpacked = self._unpack(file.read(), "the object")
        return cast("Description", self.inner.describe(io.BytesIO(unpacked)))
