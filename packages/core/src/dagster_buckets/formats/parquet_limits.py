"""Parquet limits: how large a table becomes is told before it is decoded, as far as that goes.

The footer tells how many values of which width there are, but not how often a long text that is
stored once comes back. That the dictionaries tell, of which only the longest text matters. What is
left to a forger (texts in pages that contradict the footer) ends after one group of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["read_bounded"]

#: Bytes of a value in memory; those of a text are in its chunk, or in a dictionary.
_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_TEXT = "BYTE_ARRAY"
_DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"}


def read_bounded(  # noqa: PLR0913 - what is read, and how much of it may be
    file: pq.ParquetFile,
    allowed: int,
    check: Callable[[int], None],
    *,
    groups: Sequence[int] | None = None,
    columns: list[str] | None = None,
    reopen: Callable[..., pq.ParquetFile] | None = None,
    threads: bool = True,
) -> pa.Table:
    """Read groups of rows, unless they become too large.

    Args:
        file: To read.
        allowed: The bytes that they may have.
        check: Raises for more than that.
        groups: Their numbers; ``None`` for all.
        columns: The columns; ``None`` for all.
        reopen: Opens the file again, with options, where reading it twice costs no request.
        threads: Whether Arrow shall decode columns side by side.

    Raises:
        DecodeError: They do.
    """
    import pyarrow as pa

    chosen = list(range(file.num_row_groups) if groups is None else groups)
    if not chosen or _is_harmless(file.metadata, allowed):
        return file.read_row_groups(chosen, columns=columns, use_threads=threads)
    chunks = list(_chunks(file, chosen, columns))
    least = sum(_least(chunk) for chunk in chunks)
    check(int(least))
    if least + sum(_most(chunk) for chunk in chunks) <= allowed:
        return file.read_row_groups(chosen, columns=columns, use_threads=threads)
    if reopen is not None:
        check(int(least + sum(_of_dictionaries(reopen, chunks))))
    tables, size = [], 0
    for group in chosen:
        table = file.read_row_group(group, columns=columns, use_threads=threads)
        size += table.nbytes
        check(size)
        tables.append(table)
    return pa.concat_tables(tables)


def _is_harmless(footer: pq.FileMetaData, allowed: int) -> bool:
    """Whether the largest of all values, in every row, would be no harm: the quick check."""
    if any(footer.schema.column(n).max_repetition_level for n in range(footer.num_columns)):
        return False  # lists have more values than rows
    size = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    return footer.num_rows * (32 * footer.num_columns + size) + size <= allowed


class _Chunk:
    """One column of one group of rows."""

    def __init__(self, group: int, path: str, column: Any, length: int) -> None:
        self.group, self.path, self.column, self.length = group, path, column, length

    @property
    def is_repeated(self) -> bool:
        """Whether texts in it are stored once and come back often."""
        return self.column.physical_type == _TEXT and bool(
            _DICTIONARIES & set(self.column.encodings)
        )

    @property
    def has_dictionary(self) -> bool:
        """Whether Arrow can tell what these texts are."""
        # It gives no dictionary of a chunk that has deltas, nor a row of an empty group.
        deltas = any(name.startswith("DELTA") for name in self.column.encodings)
        return self.is_repeated and not deltas and self.column.num_values > 0


def _chunks(
    file: pq.ParquetFile, groups: Iterable[int], columns: list[str] | None
) -> Iterator[_Chunk]:
    footer = file.metadata
    for group in groups:
        rows = footer.row_group(group)
        for number in range(footer.num_columns):
            described = footer.schema.column(number)
            root = described.path
            if columns is None or any(root == c or root.startswith(f"{c}.") for c in columns):
                yield _Chunk(group, root, rows.column(number), described.length or 0)


def _least(chunk: _Chunk) -> float:
    """The bytes that a chunk has in memory at least."""
    column = chunk.column
    if column.physical_type == _TEXT:
        return float(4 * column.num_values + column.total_uncompressed_size)
    return float(column.num_values * _WIDTHS.get(column.physical_type, chunk.length))


def _most(chunk: _Chunk) -> int:
    """What it may have beyond that, if its longest text were all that is in it."""
    if not chunk.is_repeated:
        return 0
    return int(chunk.column.num_values * chunk.column.total_uncompressed_size)


def _of_dictionaries(
    reopen: Callable[..., pq.ParquetFile], chunks: Sequence[_Chunk]
) -> Iterator[int]:
    """What texts add that come back as often as they could, by the longest of each chunk."""
    import pyarrow.compute as pc

    suspects = [chunk for chunk in chunks if chunk.has_dictionary]
    paths = sorted({chunk.path for chunk in suspects})
    file = reopen(read_dictionary=paths)
    for group in sorted({chunk.group for chunk in suspects}):
        # One row of each: its dictionary comes with it.
        (batch, *_) = islice(file.iter_batches(1, row_groups=[group], columns=paths), 1)
        found = {
            name: max(
                (pc.max(pc.binary_length(d)).as_py() or 0 for d in _dictionaries(column)), default=0
            )
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        for chunk in suspects:
            if chunk.group == group:
                root = chunk.path if chunk.path in found else chunk.path.partition(".")[0]
                longest = chunk.column.num_values * found.get(root, 0)
                # The texts that are stored as they are have been counted.
                yield max(0, longest - chunk.column.total_uncompressed_size)


def _dictionaries(array: Any) -> Iterator[Any]:
    """The dictionaries of an array, and of those within it."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        yield array.dictionary
    elif pa.types.is_struct(array.type):
        for number in range(array.type.num_fields):
            yield from _dictionaries(array.field(number))
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        yield from _dictionaries(array.values)
    elif pa.types.is_map(array.type):
        yield from _dictionaries(array.keys)
        yield from _dictionaries(array.items)
