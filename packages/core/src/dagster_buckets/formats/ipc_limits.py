"""Arrow IPC limits: how large compressed buffers become, told before one of them is unpacked.

Every compressed buffer begins with its length unpacked. Where the buffers lie says the message
before them, a flatbuffer of which two tables are read here (format/Message.fbs of Apache Arrow).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_messages"]

_MAGIC = 8  # "ARROW1" and two bytes, before the stream of messages
# Of the fields of flatbuffers' tables: their numbers, in the order of Message.fbs.
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3


def check_messages(data: pa.Buffer, check: Callable[[int], None]) -> None:
    """Refuse a file whose batches would be too large.

    Args:
        data: The file.
        check: Raises for a size in bytes that is not allowed.

    Raises:
        DecodeError: They would.
        OSError, ValueError: It is no Arrow file.
    """
    import pyarrow as pa

    size = 0
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(data.slice(_MAGIC))):
        if message.type not in ("record batch", "dictionary"):
            continue
        lengths: list[int] = []
        try:
            lengths += _unpacked(message.metadata, message.body or pa.py_buffer(b""))
        except (struct.error, IndexError) as error:
            msg = f"a message of the Arrow file is damaged: {error}"
            raise ValueError(msg) from error
        size += sum(lengths)
        check(size)


def _unpacked(metadata: pa.Buffer, body: pa.Buffer) -> Iterator[int]:
    """The length of each buffer of a batch in memory."""
    table = _Table(memoryview(metadata).cast("B"), 0).at_offset(0)
    batch = table.child(_HEADER)
    if table.byte(_HEADER_TYPE) == _DICTIONARY_BATCH:
        batch = batch.child(_DATA)
    compressed = batch.has(_COMPRESSION)
    view = memoryview(body).cast("B")
    for offset, length in batch.pairs(_BUFFERS):
        if compressed and length:
            (unpacked,) = struct.unpack_from("<q", view, offset)
            # -1 says that this one is stored as it is.
            yield length if unpacked < 0 else unpacked
        else:
            yield length


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

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The vector of pairs of 64-bit numbers in this field."""
        place = self._place(field)
        if place is None:
            return
        start = place + self._number("<I", place)
        for number in range(self._number("<I", start)):
            yield struct.unpack_from("<qq", self._data, start + 4 + 16 * number)

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
