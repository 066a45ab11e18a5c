"""Part writing: the rows of one value to the objects that its manifest will name."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster_buckets.errors import BucketsError
from dagster_buckets.formats.part_statistics import statistics_of
from dagster_buckets.formats.rolling import Key, Roll, combined, json_of, keyed, text_of
from dagster_buckets.layouts.hive import hive_folder
from dagster_buckets.manifests import PartEntry
from dagster_buckets.objects import Header
from dagster_buckets.parts import new_write_id
from dagster_buckets.transfer import run_each

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.formats.describing import Described
    from dagster_buckets.formats.tables import TableFormat
    from dagster_buckets.parts import PartFolder

__all__ = ["PartWriter", "by_key"]

#: Parts that are encoded and sent at once.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class PartWriter:
    """Writes the parts of one value. Can be pickled to the workers that share the work.

    Args:
        folder: Takes the parts.
        inner: Their format.
        label: Whose value it is, for their headers.
        by: The columns of which each part has one value.
        write_id: In the names of all parts.
    """

    folder: PartFolder
    inner: TableFormat
    label: str | None
    by: tuple[str, ...] = ()
    write_id: str = field(default_factory=new_write_id)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Remove what was written, if this ends in an error."""
        try:
            yield
        except BaseException:
            # No manifest names them. What cannot be removed now is garbage that is found later.
            with suppress(BucketsError):
                self.folder.delete_of(self.write_id)
            raise

    def put(self, table: pa.Table, number: int, key: Key = ()) -> PartEntry:
        """Write one part, under a name that not even a second try of it has.

        Args:
            table: Its rows.
            number: In the order of writing.
            key: What they all have in the columns that tell parts apart.

        Raises:
            EncodeError: The format cannot hold it.
            StoreError: The store failed.
        """
        told = dict(zip(self.by, key, strict=False))
        folders = "".join(hive_folder(name, text_of(value)) for name, value in told.items())
        name = f"part-{self.write_id}-{number:05}-{uuid.uuid4().hex[:8]}.{self.inner.extension}"
        body = self.inner.write_table(table)
        info = self.folder.put(folders + name, body, self.inner.name, self.label)
        header = info.header or Header()
        return PartEntry(
            folders + name,
            info.size,
            header.digest or "",
            table.num_rows,
            {name: json_of(value) for name, value in told.items()},
            statistics_of(table.drop_columns(list(told))),
            header.tail,
        )

    def put_all(self, table: pa.Table, number: int) -> list[PartEntry]:
        """Write a part of these rows for each value of the columns that tell parts apart.

        Raises:
            EncodeError: There are too many values; or as of :meth:`put`.
            StoreError: The store failed.
        """
        return [self.put(rows, number, key) for key, rows in keyed(table, self.by)]

    def put_each(
        self, rolls: Iterator[Roll], schema: pa.Schema, described: Described
    ) -> tuple[PartEntry, ...]:
        """Write parts as they come, two at a time, and wait for all.

        Args:
            rolls: Of each part the rows.
            schema: Of all of them.
            described: Takes notice of the rows.

        Returns:
            The parts in the order in which their keys came, and of one key in the order of rows.
        """
        failure: Exception | None = None

        def numbered() -> Iterator[tuple[int, Roll]]:
            # None after a failure, whose error is kept. What has begun is waited for, so that it
            # can be removed.
            nonlocal failure
            try:
                for number, roll in enumerate(rolls):
                    if failure is not None:
                        return
                    described.add(roll.batches)
                    yield number, roll
                    # Not one more in memory while the next one is filled.
                    del roll
            except Exception as error:  # noqa: BLE001 - the source's own, raised below
                failure = error

        def put(item: tuple[int, Roll]) -> tuple[int, PartEntry]:
            number, roll = item
            return roll.place, self.put(self._table(roll, schema), number, roll.key)

        found: list[tuple[int, PartEntry]] = []
        for outcome in run_each(put, numbered(), max_concurrency=_AT_ONCE, weigh=lambda _: 0):
            if outcome.result is not None:
                found.append(outcome.result)
            failure = failure or outcome.error
            # It holds the rows.
            del outcome
        if failure is not None:
            raise failure
        return tuple(entry for _, entry in sorted(found, key=lambda item: item[0]))

    def _table(self, roll: Roll, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa

        batches = [batch.replace_schema_metadata(None) for batch in roll.batches]
        table = pa.Table.from_batches(batches, schema.remove_metadata())
        if self.by:
            # Many small pieces.
            table = combined(table)
        return table.replace_schema_metadata(schema.metadata)


def by_key(entries: Iterable[PartEntry]) -> tuple[PartEntry, ...]:
    """The parts, those of one key together, in the order in which the keys came."""
    groups: dict[Key, list[PartEntry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry.partition.values()), []).append(entry)
    return tuple(entry for group in groups.values() for entry in group)
