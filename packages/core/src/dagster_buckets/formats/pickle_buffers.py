"""Pickles whose large buffers are copied neither when they are written nor when they are read.

They are pickles as any other, for every reader: the buffers lie among the rest, each behind its
opcode, and after the pickle's end, where readers do not look, a line says where they are. With that
line they can be taken from the object as they are; padding, of opcodes that do nothing, has put
each at a multiple of 64 bytes, as NumPy's arrays want it.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from dagster_buckets.objects import Buffer

__all__ = ["dumps", "loads"]

_ALIGNED = 64
#: The opcode of a buffer and its size: BYTEARRAY8; BINBYTES8 and BINBYTES of what is not writable.
_LONG, _SHORT = 9, 5
_OPCODES = {b"\x96": _LONG, b"\x8e": _LONG, b"B": _SHORT}
_WRITABLE = b"\x96"
#: NEXT_BUFFER, and READONLY_BUFFER behind it.
_NEXT, _READONLY = b"\x97", b"\x97\x98"
#: NONE and POP; BININT1, its byte, and POP.
_TWO, _THREE = b"N0", b"K\x000"
_LINE = re.compile(rb"\ndagster-buckets-buffers:((?:[0-9]{1,18}\+[0-9]{1,18},)+):[0-9]{12}\n")
#: The size of the line, at its end.
_TAIL = re.compile(rb":([0-9]{12})\n")
_TAIL_SIZE = 14


def dumps(dump: Callable[[Any], object]) -> tuple[Buffer, ...]:
    """The pieces of a pickle: buffers of 64 KiB or more as they are, nothing of them is copied.

    Args:
        dump: Pickles with protocol 5 to the file that it is given, by CPython's own pickler or one
            that is made of it.

    Example:
        >>> pieces = dumps(lambda file: pickle.dump({"n": bytearray(100_000)}, file, protocol=5))
        >>> len(pickle.loads(b"".join(pieces))["n"])
        100000
    """
    file = _Pieces()
    dump(file)
    return file.done()


class _Pieces:
    """The file that a pickler writes to, which gets large buffers as they are."""

    def __init__(self) -> None:
        self._pieces: list[Buffer] = []
        self._places: list[tuple[int, int]] = []
        self._size = 0

    def write(self, data: Any) -> None:
        if not isinstance(data, pickle.PickleBuffer):
            # Bytes cannot change. What else comes is the pickler's own memory.
            self._add(data if isinstance(data, bytes) else bytes(data))
            return
        view = data.raw()
        before = bytes(self._pieces[-1]) if self._pieces else b""
        for opcode, length in _OPCODES.items():
            if (opcode == _WRITABLE) != view.readonly and before.endswith(
                _head(opcode, view.nbytes)
            ):
                self._align(before, length)
                self._places.append((self._size, view.nbytes))
                break
        self._add(view)

    def done(self) -> tuple[Buffer, ...]:
        if self._places:
            places = "".join(f"{start}+{size}," for start, size in self._places)
            line = f"\ndagster-buckets-buffers:{places}:"
            self._add(f"{line}{len(line) + _TAIL_SIZE - 1:012}\n".encode())
        return tuple(self._pieces)

    def _add(self, piece: Buffer) -> None:
        self._pieces.append(piece)
        self._size += memoryview(piece).nbytes

    def _align(self, before: bytes, length: int) -> None:
        """Put padding before the opcode of the buffer that comes: it stands between two frames."""
        missing = -self._size % _ALIGNED
        missing += _ALIGNED if missing == 1 else 0
        odd = missing % 2
        padding = _THREE * odd + _TWO * ((missing - 3 * odd) // 2)
        self._pieces[-1] = before[:-length] + padding + before[-length:]
        self._size += missing


def _head(opcode: bytes, size: int) -> bytes:
    """What stands before a buffer."""
    width = _OPCODES[opcode] - 1
    return opcode + size.to_bytes(8, "little")[:width] if size < 256**width else b"\0"


def loads(data: Buffer) -> Any:
    """What was pickled. Its buffers are those of ``data`` where that is writable, else copies.

    Args:
        data: A pickle, with such a line or without; nobody else may use it afterwards.

    Raises:
        Exception: Whatever unpickling raises.

    Example:
        >>> loads(pickle.dumps([1, 2]))
        [1, 2]
    """
    view = memoryview(data).cast("B")
    places = _places(view)
    if not places:
        return pickle.loads(view)  # noqa: S301 - whoever calls this was asked for it
    ends = [0, *(start + size for start, size, _ in places), len(view)]
    rest: list[Buffer] = []
    buffers: list[Buffer] = []
    for (begin, _), (start, size, opcode) in zip(pairwise(ends), places, strict=False):
        rest.append(view[begin : start - _OPCODES[opcode]])
        rest.append(_NEXT if opcode == _WRITABLE else _READONLY)
        found = view[start : start + size]
        copied = opcode == _WRITABLE and found.readonly
        buffers.append(bytearray(found) if copied else found)
    rest.append(view[ends[-2] :])
    file = io.BufferedReader(_Joined(rest))
    return pickle.load(file, buffers=buffers)  # noqa: S301 - as above


class _Joined(io.RawIOBase):
    """Pieces as one file: what is large among them is copied once, to where it stays.

    The times of a frame are such: NumPy has no buffers of them.
    """

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._left = deque(memoryview(piece).cast("B") for piece in pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while self._left and not self._left[0]:
            self._left.popleft()
        if not self._left:
            return 0
        view = memoryview(target).cast("B")
        piece = self._left[0]
        size = min(len(view), len(piece))
        view[:size] = piece[:size]
        self._left[0] = piece[size:]
        return size


def _places(view: memoryview) -> list[tuple[int, int, bytes]]:
    """Start, size and opcode of each buffer; none if there is no line, or it is not true."""
    tail = _TAIL.fullmatch(bytes(view[-_TAIL_SIZE:]))
    line = _LINE.fullmatch(bytes(view[-int(tail[1]) :])) if tail else None
    if line is None:
        return []
    found = list(_checked(view, line[1].decode()))
    in_order = all(a[0] + a[1] < b[0] for a, b in pairwise(found))
    return found if in_order and len(found) == line[1].count(b",") else []


def _checked(view: memoryview, places: str) -> Iterator[tuple[int, int, bytes]]:
    for place in places.rstrip(",").split(","):
        start, size = (int(number) for number in place.split("+"))
        for opcode, length in _OPCODES.items():
            head = bytes(view[max(0, start - length) : start])
            if head == _head(opcode, size) and start + size <= len(view):
                yield start, size, opcode
