"""Parquet limits: how large rows become is told before they are decoded.

The footer tells how many values of which width there are, but not how often a long text that is
stored once comes back. That the dictionaries tell, of which the longest text matters. Where every
row could have it, rows are decoded in batches of as many as the limit has room for; of lists, of
which one row can have all values, the texts are counted. What is left to a forger (texts in pages
that contradict the footer) ends after one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from dagster_buckets.formats.limits import Bound

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Reopen", "check_footer", "read_batches", "read_bounded"]

#: Opens a file again, with options. It is read before the file is, from the same bytes.
Reopen = Callable[..., "pq.ParquetFile"]

#: Bytes of a value in memory; those of a text are in its chunk, or in a dictionary.
_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_TEXT = "BYTE_ARRAY"
_DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"}
#: Rows that are decoded at once, where there is room.
_BATCH = 32_768


def read_bounded(  # noqa: PLR0913 - what is read, and how much of it may be
    file: pq.ParquetFile,
    bound: Bound,
    reopen: Reopen,
    *,
    groups: Sequence[int] | None = None,
    columns: list[str] | None = None,
    threads: bool = True,
) -> pa.Table:
    """Read groups of rows, unless they become too large.

    Args:
        file: To read.
        bound: What they may become.
        reopen: Opens the file again.
        groups: Their numbers; ``None`` for all.
        columns: The columns; ``None`` for all.
        threads: Whether Arrow shall decode columns side by side.

    Raises:
        DecodeError: They do.
    """
    import pyarrow as pa

    chosen = list(range(file.num_row_groups) if groups is None else groups)
    if not chosen or _is_harmless(file.metadata, bound.allowed):
        return file.read_row_groups(chosen, columns=columns, use_threads=threads)
    bounds = [_Group(file.metadata, number, columns, reopen) for number in chosen]
    bound.check(sum(group.least for group in bounds))
    if sum(group.most for group in bounds) <= bound.room:
        return file.read_row_groups(chosen, columns=columns, use_threads=threads)
    tables: list[pa.Table] = []
    for group in bounds:
        for part in _parts(file, group, bound, threads=threads):
            bound.check(part.nbytes)
            bound = bound.after(part.nbytes)
            tables.append(part)
    return pa.concat_tables(tables)


def read_batches(
    file: pq.ParquetFile,
    bound: Bound,
    reopen: Reopen,
    *,
    groups: Sequence[int],
    columns: list[str] | None,
) -> Iterator[pa.RecordBatch]:
    """Read groups of rows in batches, none of which is larger than is allowed.

    Args:
        file: To read.
        bound: What a batch may become, with the pages that it comes from.
        reopen: Opens the file again.
        groups: The numbers of the groups.
        columns: The columns; ``None`` for all.

    Raises:
        DecodeError: One row is larger, or the pages of a group are.
    """
    for number in groups:
        yield from _batches(file, _Group(file.metadata, number, columns, reopen), bound)


def check_footer(footer: pq.FileMetaData, columns: Sequence[str] | None, bound: Bound) -> None:
    """Refuse groups of rows that are too large by what the footer tells alone.

    Args:
        footer: Of the file.
        columns: The columns that count; ``None`` for all.
        bound: What a group may become.

    Raises:
        DecodeError: A group is larger.
    """
    groups = range(footer.num_row_groups)
    width = _width_of_rows(footer)
    if width is not None:
        whole = [footer.row_group(number) for number in groups]
        if all(rows.num_rows * width + rows.total_byte_size <= bound.room for rows in whole):
            return
    for number in groups:
        bound.check(sum(chunk.least for chunk in _chunks(footer, number, columns)))


def _parts(
    file: pq.ParquetFile, group: _Group, bound: Bound, *, threads: bool
) -> Iterator[pa.Table]:
    """A group of rows, as a whole if it is known to be small enough."""
    import pyarrow as pa

    room = bound.room
    if group.most <= room or group.longest <= room or group.counted(bound) <= room:
        yield file.read_row_group(group.number, columns=group.columns, use_threads=threads)
    else:
        for batch in _batches(file, group, bound):
            yield pa.Table.from_batches([batch])


def _batches(file: pq.ParquetFile, group: _Group, bound: Bound) -> Iterator[pa.RecordBatch]:
    rows = _BATCH if group.most <= bound.room else group.rows_within(bound)
    for batch in file.iter_batches(rows, row_groups=[group.number], columns=group.columns):
        bound.check(batch.nbytes)
        yield batch


def _width_of_rows(footer: pq.FileMetaData) -> float | None:
    """The bytes of all columns in one row, without texts; ``None`` if it has lists."""
    columns = [footer.schema.column(number) for number in range(footer.num_columns)]
    if any(column.max_repetition_level for column in columns):
        return None  # lists have more values than rows
    return sum(_WIDTHS.get(column.physical_type, column.length or 4) for column in columns)


def _is_harmless(footer: pq.FileMetaData, allowed: int) -> bool:
    """Whether the largest of all values, in every row, would be no harm: the quick check."""
    if _width_of_rows(footer) is None:
        return False
    size = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    return footer.num_rows * (32 * footer.num_columns + size) + size <= allowed


class _Chunk:
    """One column of one group of rows."""

    def __init__(self, described: Any, column: Any) -> None:
        self.path: str = described.path
        self.values: int = column.num_values
        self.stored: int = column.total_uncompressed_size
        self.is_text = column.physical_type == _TEXT
        #: Whether one row can have all of its values.
        self.is_nested = described.max_repetition_level > 0
        self.width: float = _WIDTHS.get(column.physical_type, described.length or 0)
        encodings = set(column.encodings)
        #: Whether texts in it are stored once and come back often.
        self.is_repeated = self.is_text and bool(_DICTIONARIES & encodings)
        #: Whether Arrow can tell what these texts are: not of a chunk that has deltas, nor a row
        #: of an empty group.
        deltas = any(name.startswith("DELTA") for name in encodings)
        self.has_dictionary = self.is_repeated and not deltas and self.values > 0

    @property
    def least(self) -> float:
        """The bytes that it has in memory at least."""
        return 4 * self.values + self.stored if self.is_text else self.values * self.width

    def most(self, longest: int | None = None) -> float:
        """The bytes that it has at most, if its texts are no longer than this."""
        if not self.is_repeated:
            return self.least
        return max(self.least, self.values * self.widest(longest))

    def widest(self, longest: int | None = None) -> float:
        """The bytes of the largest value, beside texts that are stored as often as they come."""
        if not self.is_text:
            return self.width
        repeated = 0 if not self.is_repeated else self.stored if longest is None else longest
        return 4 + repeated


class _Group:
    """How large one group of rows can become."""

    def __init__(
        self, footer: pq.FileMetaData, number: int, columns: list[str] | None, reopen: Reopen
    ) -> None:
        self.number, self.columns = number, columns
        self._chunks = list(_chunks(footer, number, columns))
        self._reopen = reopen

    @property
    def least(self) -> float:
        """Its bytes in memory at least."""
        return sum(chunk.least for chunk in self._chunks)

    @property
    def most(self) -> float:
        """Its bytes at most, by the footer."""
        return sum(chunk.most() for chunk in self._chunks)

    @property
    def longest(self) -> float:
        """Its bytes if every text were the longest one of its dictionary."""
        return self._most(self._chunks)

    def counted(self, bound: Bound) -> float:
        """Its bytes if every text comes as often as it does, as far as Arrow can tell.

        Raises:
            DecodeError: These are too many.
        """
        return self._counted(self._chunks, bound)

    def rows_within(self, bound: Bound) -> int:
        """How many rows can be decoded at once, one at least.

        Raises:
            DecodeError: One row can be too large.
        """
        # A page may be all of its chunk.
        bound = bound.after(sum(chunk.stored for chunk in self._chunks))
        nested = [chunk for chunk in self._chunks if chunk.is_nested]
        lists = self._most(nested)
        if lists > bound.room:
            lists = self._counted(nested, bound)
        flat = [chunk for chunk in self._chunks if not chunk.is_nested]
        row = sum(chunk.widest(self._texts.get(chunk.path)) for chunk in flat)
        bound.check(lists + row)
        # Arrow's buffers grow by doubling.
        return max(1, min(_BATCH, int((bound.room - lists) / (row or 1) / 2)))

    @cached_property
    def _texts(self) -> Mapping[str, int]:
        """The length of the longest text in each chunk that has a dictionary."""
        import pyarrow.compute as pc

        paths = sorted({chunk.path for chunk in self._chunks if chunk.has_dictionary})
        if not paths:
            return {}
        # One row of each: its dictionary comes with it.
        (batch,) = islice(self._as_dictionaries(paths, 1), 1)
        found: dict[str, int] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            lengths = [pc.max(pc.binary_length(d.dictionary)).as_py() for d in _within(column)]
            longest = max((length or 0 for length in lengths), default=0)
            for path in paths:
                if path == name or path.startswith(f"{name}."):
                    found[path] = max(longest, found.get(path, 0))
        return found

    def _most(self, chunks: Sequence[_Chunk]) -> float:
        return sum(chunk.most(self._texts.get(chunk.path)) for chunk in chunks)

    def _counted(self, chunks: Sequence[_Chunk], bound: Bound) -> float:
        import pyarrow.compute as pc

        paths = sorted({chunk.path for chunk in chunks if chunk.has_dictionary})
        size = 0
        for batch in self._as_dictionaries(paths, _BATCH) if paths else ():
            for column in batch.columns:
                for array in _within(column):
                    lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
                    size += 4 * len(array) + (pc.sum(lengths).as_py() or 0)
            bound.check(size)
        return size + sum(chunk.most() for chunk in chunks if chunk.path not in paths)

    def _as_dictionaries(self, paths: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        file = self._reopen(read_dictionary=paths)
        return file.iter_batches(rows, row_groups=[self.number], columns=paths)


def _chunks(footer: pq.FileMetaData, group: int, columns: Iterable[str] | None) -> Iterator[_Chunk]:
    rows = footer.row_group(group)
    for number in range(footer.num_columns):
        described = footer.schema.column(number)
        path = described.path
        if columns is None or any(path == c or path.startswith(f"{c}.") for c in columns):
            yield _Chunk(described, rows.column(number))


def _within(array: Any) -> Iterator[Any]:
    """The arrays with dictionaries that an array is made of."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        yield array
    elif pa.types.is_struct(array.type):
        for number in range(array.type.num_fields):
            yield from _within(array.field(number))
    elif pa.types.is_map(array.type):
        yield from _within(array.keys)
        yield from _within(array.items)
    elif pa.types.is_nested(array.type):
        yield from _within(array.values)
