"""Sources: values that give their rows batch by batch, and how they are written as they come."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import EncodeError
from dagster_buckets.objects import Body, Buffer, Digest, Repeatable, Tail

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Collector", "batches_of", "gathered", "spooled", "written"]

#: What is copied, so that the pieces are not too many.
_SMALL = 64 * 1024
#: What is read from the disk at once: a part of an upload.
_STEP = 16 * 1024 * 1024
#: What waits in memory until it is encoded, whatever the number of its rows.
_MAX_BYTES = 64 * 1024 * 1024


def batches_of(value: Any) -> pa.RecordBatchReader | None:
    """The rows of a value as a stream, if it does not hold them all; ``None`` for what does.

    Streams are Arrow's ``RecordBatchReader`` and ``Dataset``, a ``polars.LazyFrame``, a DuckDB
    relation, and whatever has ``__arrow_c_stream__`` and is no frame of a library that we know.
    """
    import pyarrow as pa

    if isinstance(value, pa.RecordBatchReader):
        return value
    package = type(value).__module__.partition(".")[0]
    if package == "polars" and hasattr(value, "collect_batches"):
        return _of_lazy_frame(value)
    if package == "pyarrow" and hasattr(value, "scanner"):
        return pa.RecordBatchReader.from_batches(value.schema, value.scanner().to_batches())
    if package in ("pandas", "polars", "pyarrow") or not hasattr(value, "__arrow_c_stream__"):
        return None
    return pa.RecordBatchReader.from_stream(value)


def gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[list[pa.RecordBatch]]:
    """The batches, cut and put together to so many rows; fewer where they take much memory."""
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        rest = batch
        while rest.num_rows:
            piece = rest.slice(0, rows - count)
            rest = rest.slice(piece.num_rows)
            waiting.append(piece)
            count += piece.num_rows
            size += piece.nbytes
            if count == rows or size >= _MAX_BYTES:
                yield waiting
                waiting, count, size = [], 0, 0
    if waiting:
        yield waiting


def written(
    open_writer: Callable[[Any, pa.Table | None], Any],
    tables: Iterator[pa.Table],
    rows: int | None = None,
) -> Iterator[Buffer]:
    """What an Arrow writer makes of the tables, as it comes.

    Args:
        open_writer: Opens the writer on a file, for the first of the tables.
        tables: At least one.
        rows: Of a batch or a group at most; as many as the writer likes by default.
    """
    sink, first = Collector(), next(tables, None)
    with open_writer(sink, first) as writer:
        for table in tables if first is None else chain([first], tables):
            writer.write_table(table, rows)
            yield from sink.take()
    yield from sink.take()


class Collector(io.RawIOBase):
    """A file that keeps what is written to it until it is taken away.

    Arrow's buffers are kept as they are: nobody changes one that was handed over. Its streams give
    no buffers where they use their memory again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[Buffer] = []
        self._small = bytearray()
        self._size = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep it; a copy of what is small, or not Arrow's."""
        import pyarrow as pa

        view = memoryview(data).cast("B")
        self._size += len(view)
        if len(view) < _SMALL:
            self._small += view
        else:
            self._put_small()
            self._pieces.append(view if isinstance(data, pa.Buffer) else bytes(data))
        return len(view)

    def tell(self) -> int:
        """How much was written in all."""
        return self._size

    def take(self) -> list[Buffer]:
        """What was written since the last time."""
        self._put_small()
        taken, self._pieces = self._pieces, []
        return taken

    def _put_small(self) -> None:
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()


def spooled(
    pieces: Iterable[Buffer],
    tail: Callable[[int, Callable[[int], bytes]], Tail | None] | None = None,
) -> Body:
    """A body that is on the disk, in a file without a name, until it was sent.

    What is encoded takes no memory then, its digest is known before it is sent, and it can be sent
    again.

    Args:
        pieces: As they come from :func:`written`.
        tail: Tells of the end; takes the size, and what gives so many of the last bytes.

    Raises:
        EncodeError: The disk cannot take them.
    """
    digest = Digest()
    try:
        file = _unnamed()
        for piece in pieces:
            digest.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(file.number, view) :]
    except OSError as error:
        msg = f"what is encoded cannot be put to {tempfile.gettempdir()}: {error}"
        hint = (
            "set TMPDIR to a folder with room, or return a pa.RecordBatchReader, which needs none"
        )
        raise EncodeError(msg, hint=hint) from error

    def read() -> Iterator[bytes]:
        for start in range(0, digest.size, _STEP):
            yield os.pread(file.number, _STEP, start)

    def last(count: int) -> bytes:
        return os.pread(file.number, count, max(0, digest.size - count))

    told = tail(digest.size, last) if tail else None
    return Body(Repeatable(read), known=(digest.size, digest.text), tail=told)


class _Open:
    """The number of an open file, which is closed with the last reference to this."""

    def __init__(self, number: int) -> None:
        self.number = number
        weakref.finalize(self, os.close, number)


def _unnamed() -> _Open:
    with tempfile.TemporaryFile(prefix="dagster-buckets-") as file:
        return _Open(os.dup(file.fileno()))


def _of_lazy_frame(frame: Any) -> pa.RecordBatchReader:
    import polars as pl
    import pyarrow as pa

    def tables() -> Iterator[pa.Table]:
        for part in frame.collect_batches(maintain_order=True):
            yield part.to_arrow(compat_level=pl.CompatLevel.oldest())

    empty = pl.DataFrame(schema=frame.collect_schema())
    schema = empty.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    batches = (batch for table in tables() for batch in table.cast(schema).to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)
