"""Rolling: rows that come in batches, put together to parts of so many bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dagster_buckets.errors import EncodeError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MOST_KEYS",
    "Key",
    "Roll",
    "check_columns",
    "combined",
    "json_of",
    "keyed",
    "rolled",
    "split",
    "text_of",
]

#: The values that all rows of a part have in the columns that tell parts apart.
Key: TypeAlias = tuple[Any, ...]

#: So many parts are open at once, and so many folders are made.
MOST_KEYS = 1024
#: Bytes that wait in all open parts together, unless two parts are larger.
ROOM = 256 * 1024 * 1024
#: Bytes of rows that are split at once: of few rows there is much to do for each.
_STEP = 16 * 1024 * 1024
#: Larger than any part.
_WHOLE = 2**62


class Roll(NamedTuple):
    """The rows of one part.

    Attributes:
        batches: The rows.
        key: What they have in common.
        place: Of this key among all, in the order in which they came.
    """

    batches: list[pa.RecordBatch]
    key: Key = ()
    place: int = 0


@dataclass(slots=True)
class _Open:
    """A part to which rows are still added."""

    size: int
    key: Key = ()
    place: int = 0
    batches: list[pa.RecordBatch] = field(default_factory=list)
    filled: int = 0

    def room(self, each: int) -> int:
        """How many rows of so many bytes it takes; at least one."""
        return max(1, (self.size - self.filled) // each)

    def add(self, batch: pa.RecordBatch, each: int) -> bool:
        """Take these rows; whether it is full then."""
        self.batches.append(batch)
        self.filled += batch.num_rows * each
        return self.filled + each > self.size

    def take(self) -> Roll:
        """Its rows; none are left."""
        taken, self.batches, self.filled = self.batches, [], 0
        return Roll(taken, self.key, self.place)


def rolled(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[Roll]:
    """The batches, cut and put together to so many bytes; one without rows if there are none."""
    part, some = _Open(size), False
    for batch in batches:
        rest = batch
        while rest.num_rows:
            each = max(1, rest.nbytes // rest.num_rows)
            piece = rest.slice(0, part.room(each))
            rest = rest.slice(piece.num_rows)
            if part.add(piece, each):
                yield part.take()
                some = True
    if part.batches or not some:
        yield part.take()


def split(
    batches: Iterable[pa.RecordBatch], by: Sequence[str], size: int, *, room: int = ROOM
) -> Iterator[Roll]:
    """The batches as parts whose rows have one value in each of these columns.

    Rows of one part are in the order in which they came. What waits is copied, so that nothing
    else is held with it. Where that becomes more than ``room``, the largest part is given early.

    Args:
        batches: The rows.
        by: The columns, which :func:`check_columns` has seen.
        size: Bytes of a part at most, unless one row has more.
        room: Bytes that wait in all parts together at most, unless that is less than two parts.

    Raises:
        EncodeError: There are more than :data:`MOST_KEYS` combinations of values.

    Example:
        >>> import pyarrow as pa
        >>> batch = pa.record_batch({"country": ["de", "fr", "de"], "n": [1, 2, 3]})
        >>> found = split([batch], ["country"], 800)
        >>> [(part.key, part.batches[0]["n"].to_pylist()) for part in found]
        [(('de',), [1, 3]), (('fr',), [2])]
    """
    parts: dict[Key, _Open] = {}
    waiting, room = 0, max(room, 2 * size)
    for batch in _blocks(batches, min(_STEP, room // 4)):
        each = _bytes_each(batch)
        for key, rows in _grouped(batch, by):
            if key not in parts and len(parts) == MOST_KEYS:
                raise _too_many(by)
            part, at = parts.setdefault(key, _Open(size, key, len(parts))), 0
            while at < len(rows):
                piece = batch.take(rows[at : at + part.room(each)])
                at += piece.num_rows
                waiting += piece.num_rows * each
                if part.add(piece, each):
                    waiting -= part.filled
                    yield part.take()
            while waiting > room:
                part = max(parts.values(), key=lambda part: part.filled)
                waiting -= part.filled
                yield part.take()
    if not parts:
        yield Roll([])
    for part in parts.values():
        if part.batches:
            yield part.take()


def keyed(table: pa.Table, by: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
    """The rows of a table by what they have in these columns; all of it if there are no columns.

    Raises:
        EncodeError: There are more than :data:`MOST_KEYS` combinations of values.
    """
    import pyarrow as pa

    if not by or not table.num_rows:
        yield (), table
        return
    for part in split(table.to_batches(), by, _WHOLE):
        yield part.key, pa.Table.from_batches(part.batches, table.schema)


def check_columns(schema: pa.Schema, by: Sequence[str]) -> None:
    """Refuse columns that cannot tell parts apart.

    Raises:
        EncodeError: One is missing, or of a type that is compared inexactly or has no text.
    """
    import pyarrow as pa

    types = pa.types
    for name in by:
        if name not in schema.names:
            msg = f"the table has no column {name!r}, which partition_by names"
            hint = f"it has {', '.join(schema.names[:50])}"
            raise EncodeError(msg, hint=hint)
        kind = schema.field(name).type
        plain = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
        text = types.is_string(plain) or types.is_large_string(plain)
        exact = types.is_integer(plain) or types.is_boolean(plain) or types.is_date32(plain)
        # Of pandas, a column without values has no type.
        if not (text or types.is_null(kind) or (exact and plain is kind)):
            msg = f"column {name!r}, which partition_by names, is {kind}"
            hint = "name columns of texts, integers, booleans or dates, such as the date of a time"
            raise EncodeError(msg, hint=hint)


def text_of(value: Any) -> str | None:
    """A value of such a column as folders name it; ``None`` for a null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def json_of(value: Any) -> Any:
    """A value of such a column as manifests tell it."""
    return value.isoformat() if isinstance(value, date) else value


def combined(table: pa.Table) -> pa.Table:
    """The rows in one batch, where Arrow can do that: not with all dictionaries in lists."""
    import pyarrow as pa

    try:
        return table.combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return table


def _bytes_each(batch: pa.RecordBatch) -> int:
    return max(1, batch.nbytes // max(1, batch.num_rows))


def _blocks(batches: Iterable[pa.RecordBatch], step: int) -> Iterator[pa.RecordBatch]:
    """The batches, cut and put together to about so many bytes."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    count = 0

    def taken() -> Iterator[pa.RecordBatch]:
        nonlocal waiting, count
        block = pa.Table.from_batches(waiting)
        waiting, count = [], 0
        yield from combined(block).to_batches() if len(block) else ()

    for batch in batches:
        each, plain = _bytes_each(batch), batch.replace_schema_metadata(None)
        rows = max(1, step // each)
        for start in range(0, batch.num_rows, rows):
            waiting.append(plain.slice(start, rows))
            count += waiting[-1].num_rows * each
            if count >= step:
                yield from taken()
    if waiting:
        yield from taken()


def _grouped(rows: pa.RecordBatch, by: Sequence[str]) -> Iterator[tuple[Key, pa.Array[Any]]]:
    """The numbers of the rows that have one key, in their order; the keys as they first appear."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: list[Any] = [rows.column(name) for name in by]
    code: Any = None
    for column in columns:
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()  # noqa: PLW2901
        coded = column.dictionary_encode(null_encoding="encode")
        found = coded.indices.cast(pa.int64())
        if code is not None:
            # Numbered anew each time, so that no product is too large.
            found = pc.add(pc.multiply(code, len(coded.dictionary)), found)
        code = found.dictionary_encode().indices.cast(pa.int64())
    # Numbered in the order in which they appear, and sorted without changing it.
    order: Any = pc.sort_indices(code)
    at = 0
    for count in pc.value_counts(code).field("counts").to_pylist():
        try:
            key = tuple(column[order[at].as_py()].as_py() for column in columns)
        except (ValueError, OverflowError) as error:  # years that Python does not know
            msg = f"partition_by names a column with a date that has no text: {error}"
            raise EncodeError(msg, hint="make it a column of texts") from error
        yield key, order[at : at + count]
        at += count


def _too_many(by: Sequence[str]) -> EncodeError:
    names = ", ".join(by)
    msg = f"partition_by ({names}) has more than {MOST_KEYS:,} combinations of values"
    hint = (
        "name columns with fewer values: a month in place of a time, a country in place of a city"
    )
    return EncodeError(msg, hint=hint)
