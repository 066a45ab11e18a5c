"""Parquet plans: which bytes of an object a projection needs, told from its footer."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.formats import ranged_files
from dagster_buckets.formats.ranged_files import Range, joined
from dagster_buckets.objects import Buffer, Tail
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

__all__ = [
    "footer_length",
    "groups_left",
    "has_told_footer",
    "ranges_of",
    "read_footer",
    "tail_of",
    "with_footer",
]

#: Length of the footer and "PAR1".
_END = 8
_MAGIC = (b"PAR1", b"PARE")
#: Smaller objects are always read as a whole.
_WORTH_A_TAIL = 64 * 1024


def tail_of(size: int, last: Callable[[int], Buffer]) -> Tail | None:
    """What a header tells of the footer of a Parquet file that is written.

    Args:
        size: Of the file.
        last: Gives so many of its last bytes.
    """
    length = footer_length(bytes(last(_END))) if size > _WORTH_A_TAIL else None
    return None if length is None else Tail.of(last(length))


def with_footer(ref: ObjectRef) -> ObjectRef:
    """The reference with the whole footer in its tail; at most two requests.

    A footer that is not the one that the object's header tells of is read once more. What is no
    Parquet file comes back as it is: whoever reads it says so.

    Raises:
        OSError: It is not that one then, either.
    """
    found = ranged_files.with_footer(ref, footer_length)
    if not _is_told(found):
        found = ranged_files.with_footer(replace(ref, tail=b""), footer_length)
        if not _is_told(found):
            msg = "its footer is not the one that was written"
            raise OSError(msg)
    return found


def has_told_footer(ref: ObjectRef) -> bool:
    """Whether :func:`with_footer` compared the footer with what the object's header tells."""
    return ref.info.header is not None and ref.info.header.tail is not None


def _is_told(ref: ObjectRef) -> bool:
    """Whether the end of the object is what its header tells, if that does."""
    told = ref.info.header.tail if ref.info.header else None
    return told is None or Tail.of(memoryview(ref.tail)[-told.size :]) == told


def footer_length(tail: bytes) -> int | None:
    """How long the footer of a Parquet file with this end is; ``None`` if it is no such file."""
    if bytes(tail[-4:]) not in _MAGIC:
        return None
    return int.from_bytes(tail[-_END:-4], "little") + _END


def groups_left(
    source: pa.NativeFile, wanted: ds.Expression | None
) -> tuple[list[int], pq.FileMetaData]:
    """The groups of rows that their statistics do not exclude, and the footer that says so."""
    import pyarrow.dataset as ds

    fragment: Any = ds.ParquetFileFormat().make_fragment(cast("Any", source))
    footer = fragment.metadata
    if wanted is None:
        return list(range(footer.num_row_groups)), footer
    left = fragment.subset(wanted, schema=footer.schema.to_arrow_schema())
    return [group.id for group in left.row_groups], footer


def ranges_of(
    footer: pq.FileMetaData, groups: Iterable[int], columns: Collection[str] | None
) -> list[Range]:
    """The bytes of these columns in these groups.

    Args:
        footer: Of the object.
        groups: Of rows, by their numbers.
        columns: The names of whole columns; ``None`` for all.
    """
    leaves = [
        number
        for number in range(footer.num_columns)
        if columns is None or _root(footer, number, columns)
    ]
    found = []
    for group in groups:
        rows = footer.row_group(group)
        for number in leaves:
            chunk = rows.column(number)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                start = min(start, chunk.dictionary_page_offset)
            found.append((start, start + chunk.total_compressed_size))
    return joined(found)


def read_footer(ref: ObjectRef) -> pq.FileMetaData:
    """The footer of an object whose reference has it in its tail."""
    import pyarrow.parquet as pq

    return pq.read_metadata(io.BytesIO(ref.tail))


def _root(footer: pq.FileMetaData, number: int, columns: Collection[str]) -> bool:
    path = footer.schema.column(number).path
    return any(path == name or path.startswith(f"{name}.") for name in columns)
