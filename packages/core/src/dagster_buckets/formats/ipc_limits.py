"""Arrow IPC limits: how large compressed buffers become, told before one of them is unpacked.

Every compressed buffer begins with its length unpacked. Where the buffers lie says the message
before them, a flatbuffer of which two tables are read here (format/Message.fbs of Apache Arrow).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster_buckets.formats.limits import Bound

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Blocks", "blocks_of", "check_messages", "footer_length"]

#: Where a message lies: its first byte, the bytes of its metadata, those of its body.
Block = tuple[int, int, int]

_MAGIC = b"ARROW1"
#: The magic and two bytes, before the stream of messages.
_START = 8
#: The length of the footer and the magic.
_END = 4 + len(_MAGIC)
_LENGTH = struct.Struct("<q")
_BUFFER = struct.Struct("<qq")
_BLOCK = struct.Struct("<qi4xq")
# Of the fields of flatbuffers' tables: their numbers, in the order of File.fbs and Message.fbs.
_FOOTER_DICTIONARIES, _FOOTER_BATCHES = 2, 3
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3


def check_messages(data: pa.Buffer, bound: Bound) -> None:
    """Refuse a file whose batches would be too large.

    Args:
        data: The file.
        bound: What they may become.

    Raises:
        DecodeError: They would.
        OSError, ValueError: It is no Arrow file.
    """
    import pyarrow as pa

    size = 0
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(data.slice(_START))):
        if message.type not in ("record batch", "dictionary"):
            continue
        body = memoryview(message.body or b"").cast("B")
        with _reading():
            size += _unpacked(memoryview(message.metadata).cast("B"), body.__getitem__)
        bound.check(size)


def footer_length(tail: bytes) -> int | None:
    """How long the footer of an Arrow file with this end is; ``None`` if it is no such file."""
    if not tail.endswith(_MAGIC):
        return None
    return int.from_bytes(tail[-_END : -len(_MAGIC)], "little") + _END


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the messages of an Arrow file lie."""

    dictionaries: tuple[Block, ...]
    batches: tuple[Block, ...]

    def ranges(self) -> list[tuple[int, int]]:
        """The bytes of all of them, with what is before the first."""
        blocks = [*self.dictionaries, *self.batches]
        starts = [(0, min((at for at, _, _ in blocks), default=0))]
        return starts + [(at, at + metadata + body) for at, metadata, body in blocks]

    def unpacked(self, block: Block, read: Callable[[slice], memoryview]) -> int:
        """The bytes that a message becomes.

        Args:
            block: Where it lies.
            read: Gives bytes of the file.

        Raises:
            ValueError: It is damaged.
        """
        at, length, body = block
        with _reading():
            metadata = read(slice(at, at + length))
            # Since Arrow 0.15, the length of a message has four bytes before it.
            prefix = 8 if metadata[:4] == b"\xff" * 4 else 4
            start = at + length

            def within(part: slice) -> memoryview:
                if not 0 <= part.start <= part.stop <= body:
                    msg = "it leads out of the message"
                    raise IndexError(msg)
                return read(slice(start + part.start, start + part.stop))

            return _unpacked(metadata[prefix:], within)


def blocks_of(footer: bytes, size: int) -> Blocks:
    """Where the messages of a file lie.

    Args:
        footer: The last bytes of the file, with the whole footer.
        size: The bytes of the file.

    Raises:
        ValueError: It is no Arrow file, or a damaged one.
    """
    length = footer_length(footer)
    if length is None or length > len(footer):
        msg = "the file does not end as an Arrow file does"
        raise ValueError(msg)
    with _reading():
        table = _Table(memoryview(footer)[-length:-_END], 0).at_offset(0)
        blocks = Blocks(
            *(
                tuple((at, metadata, body) for at, metadata, body in table.vector(field, _BLOCK))
                for field in (_FOOTER_DICTIONARIES, _FOOTER_BATCHES)
            )
        )
        for at, metadata, body in (*blocks.dictionaries, *blocks.batches):
            if min(at, metadata, body) < 0 or at + metadata + body > size:
                msg = "it leads out of the file"
                raise IndexError(msg)
    return blocks


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (struct.error, IndexError) as error:
        msg = f"a message of the Arrow file is damaged: {error}"
        raise ValueError(msg) from error


def _unpacked(metadata: memoryview, body: Callable[[slice], memoryview]) -> int:
    """The length of all buffers of a batch in memory."""
    table = _Table(metadata, 0).at_offset(0)
    batch = table.child(_HEADER)
    if table.byte(_HEADER_TYPE) == _DICTIONARY_BATCH:
        batch = batch.child(_DATA)
    compressed = batch.has(_COMPRESSION)
    size = 0
    for offset, length in batch.vector(_BUFFERS, _BUFFER):
        if compressed and length:
            (unpacked,) = _LENGTH.unpack(body(slice(offset, offset + _LENGTH.size)))
            # -1 says that this one is stored as it is.
            size += length if unpacked < 0 else unpacked
        else:
            size += length
    return size


class _Table:
    """A table of a flatbuffer: a list of offsets to its fields, then the fields."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data = data
        self._start = start

    def at_offset(self, place: int) -> _Table:
        """The table that an offset at this place leads to."""
        return _Table(self._data, place + self._number("<I", place))

    def has(self, field: int) -> bool:
        """Whether the field is there."""
        return self._place(field) is not None

    def byte(self, field: int) -> int:
        """The field as a byte; 0 if it is not there."""
        place = self._place(field)
        return 0 if place is None else self._data[place]

    def child(self, field: int) -> _Table:
        """The table in this field."""
        place = self._place(field)
        if place is None:
            msg = f"field {field} is missing"
            raise IndexError(msg)
        return self.at_offset(place)

    def vector(self, field: int, item: struct.Struct) -> Iterator[tuple[int, ...]]:
        """The items in this field; none if it is not there."""
        place = self._place(field)
        if place is None:
            return
        start = place + self._number("<I", place)
        for number in range(self._number("<I", start)):
            yield item.unpack_from(self._data, start + 4 + item.size * number)

    def _place(self, field: int) -> int | None:
        fields = self._start - self._number("<i", self._start)
        entry = 4 + 2 * field
        if entry >= self._number("<H", fields):
            return None
        offset = self._number("<H", fields + entry)
        return self._start + offset if offset else None

    def _number(self, kind: str, place: int) -> int:
        if place < 0:
            msg = "it leads out of the message"
            raise IndexError(msg)
        (found,) = struct.unpack_from(kind, self._data, place)
        return int(found)
