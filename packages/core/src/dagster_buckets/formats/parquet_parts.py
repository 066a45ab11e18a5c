"""Parquet parts: columns and groups of rows of an object, which are all that is fetched of it.

What comes is checked as it comes: pages have checksums, and the footer has one in the header of
the object, or is read twice. What arrives damaged is fetched once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from dagster_buckets.errors import BucketsError
from dagster_buckets.formats.limits import Bound
from dagster_buckets.formats.parquet_limits import Reopen, read_batches, read_bounded
from dagster_buckets.formats.parquet_plans import (
    footer_length,
    has_told_footer,
    ranges_of,
    read_footer,
    with_footer,
)
from dagster_buckets.formats.parquet_types import original_schema
from dagster_buckets.formats.ranged_files import RangedFile
from dagster_buckets.objects import Buffer
from dagster_buckets.references import ObjectRef
from dagster_buckets.threads import Pool

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["PartOf", "opened", "twice"]

T = TypeVar("T")


@cache
def damage() -> tuple[type[Exception], ...]:
    """What Arrow raises about bytes that are not those that were written."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError)


def twice(read: Callable[[ObjectRef], T], ref: ObjectRef) -> T:
    """What is read of an object; read anew, with nothing of what came, if it came damaged."""
    try:
        return read(ref)
    except BucketsError:
        raise
    except damage():
        return read(replace(ref, tail=b""))


def opened(source: Any, **options: Any) -> pq.ParquetFile:
    """A Parquet file whose pages are verified."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(source, page_checksum_verification=True, **options)


@dataclass(frozen=True, slots=True)
class PartOf:
    """An object whose footer was read, twice where the object's header does not tell its digest.

    No checksum of Parquet's covers it. A wrong statistic would leave out rows without a word, and a
    wrong offset ends the process.

    The second time is waited for when pages are on their way: nothing is decoded, and nothing is
    left out, before the two are known to be the same.

    Attributes:
        ref: The object, with its footer in its tail.
        footer: What it says.
        schema: As it was when it was written.
        again: The footer, as it comes the second time; ``None`` where it was verified already.
    """

    ref: ObjectRef
    footer: pq.FileMetaData
    schema: pa.Schema
    again: Future[Buffer] | None = None

    @classmethod
    def at(cls, ref: ObjectRef) -> PartOf:
        """Read the footer of an object, and begin to read it once more if need be.

        Raises:
            OSError: It is no such footer, or not the one that was written.
        """
        # What came with all of its object was verified.
        verified = len(ref.tail) >= ref.size or has_told_footer(ref)
        ref = with_footer(ref)
        again: Future[Buffer] | None = None
        if not verified:
            start = max(0, ref.size - (footer_length(ref.tail) or len(ref.tail)))
            read = ref.store.read_range
            again = Pool(1, "buckets-footer").submit(read, ref.info, start, ref.size)
        footer = read_footer(ref)
        return cls(ref, footer, original_schema(footer), again)

    def check(self) -> None:
        """Compare the footer with how it came the second time.

        Raises:
            OSError: It came in two ways.
        """
        if self.again is None:
            return
        other = memoryview(self.again.result()).cast("B")
        if other != memoryview(self.ref.tail)[-len(other) :]:
            msg = "its footer came in two ways"
            raise OSError(msg)

    def table(self, groups: list[int], columns: list[str] | None, bound: Bound) -> pa.Table:
        """These groups of rows.

        Args:
            groups: Their numbers.
            columns: The columns to fetch; ``None`` for all.
            bound: What they may become.
        """
        ranges = self._begun(groups, columns)
        with ranges.for_arrow() as source:
            file = opened(source, metadata=self.footer, pre_buffer=True)
            return read_bounded(file, bound, self._look(ranges), groups=groups, columns=columns)

    def batches(
        self, groups: list[int], columns: list[str] | None, bound: Bound
    ) -> Iterator[pa.RecordBatch]:
        """The rows of these groups, batch by batch; see :meth:`table`.

        Where a page arrives damaged, reading goes on there, with bytes that are fetched anew.
        """
        left, given = groups, 0
        failed: tuple[int, int] | None = None
        while left:
            try:
                for group, batch in self._once(left, given, columns, bound):
                    if group != left[0]:
                        left, given = left[left.index(group) :], 0
                    given += batch.num_rows
                    yield batch
            except BucketsError:
                raise
            except damage():
                if failed == (left[0], given):
                    raise
                failed = left[0], given
            else:
                return

    def _once(
        self, groups: list[int], given: int, columns: list[str] | None, bound: Bound
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of these groups behind those of the first that were given already."""
        ranges = self._begun(groups, columns)
        with ranges.for_arrow() as source:
            # Arrow would keep what it buffers before it is needed.
            file = opened(source, metadata=self.footer, pre_buffer=False)
            for group in groups:
                found = read_batches(
                    file, bound, self._look(ranges), groups=[group], columns=columns
                )
                for batch in found:
                    left_out = min(given, batch.num_rows)
                    given -= left_out
                    if left_out < batch.num_rows:
                        yield group, batch.slice(left_out)

    def _begun(self, groups: list[int], columns: list[str] | None) -> RangedFile:
        """A file whose first ranges are being fetched, once the footer is known to be right."""
        ranges = RangedFile(self.ref, ranges_of(self.footer, groups, columns))
        try:
            ranges.begin()
            self.check()
        except BaseException:
            ranges.close()
            raise
        return ranges

    def _look(self, ranges: RangedFile) -> Reopen:
        """Opens a file for what is going to be read once more."""

        def again(**options: Any) -> pq.ParquetFile:
            source = ranges.looked_at().for_arrow()
            return opened(source, metadata=self.footer, pre_buffer=False, **options)

        return again
