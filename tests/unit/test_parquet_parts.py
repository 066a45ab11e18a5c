"""Footers that come damaged: no statistic in them is believed that was read once only."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats import parquet
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.objects import Body, Buffer, ObjectInfo, Tail
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.memory import MemoryStore

ROWS = 40_000
TABLE = pa.table({"id": pa.array(np.arange(ROWS)), "x": pa.array(np.arange(ROWS) * 0.5)})


class Flipping(MemoryStore):
    """Flips one bit of one byte, counted from the end, in the first answer that has it."""

    place = 0
    left = 0

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        data = bytearray(super().read_range(version, start, stop))
        at = version.size - self.place - start
        if self.left and 0 <= at < len(data):
            self.left -= 1
            data[at] ^= 1
        return bytes(data)


@pytest.mark.parametrize("as_type", [pa.Table, pa.RecordBatchReader, ds.Dataset])
@pytest.mark.parametrize("told", [True, False], ids=["its digest in the header", "no digest"])
def test_a_damaged_footer_leaves_out_no_rows(as_type: type, *, told: bool) -> None:
    if as_type is ds.Dataset and not told:
        return  # scans read it once
    store = Flipping(uuid.uuid4().hex)
    made = ParquetFormat(compression="none", row_group_size=5000)
    body = made.encode(TABLE)
    data = bytes(body.joined())
    ref = ObjectRef(store.put("x", body if told else Body.of(data)), store)
    length = int.from_bytes(data[-8:-4], "little") + 8
    wanted = ParquetFormat(columns=["x"], filters=[("id", ">=", 17_000), ("id", "<", 23_000)])
    expected = TABLE.slice(17_000, 6000).select(["x"])
    for place in range(9, length, 5):
        store.place, store.left = place, 1
        if as_type is ds.Dataset:
            table = wanted.scan([ref], as_type).to_table()
        else:
            found = wanted.stream(ref, as_type)
            table = found.read_all() if as_type is pa.RecordBatchReader else found
        assert table.equals(expected), place
        assert store.left == 0


def test_a_footer_that_never_comes_twice_alike_is_an_error() -> None:
    store = Flipping(uuid.uuid4().hex)
    data = bytes(ParquetFormat(compression="none").encode(TABLE).joined())
    ref = ObjectRef(store.put("x", Body.of(data)), store)

    class Worse(MemoryStore):
        calls = 0

        def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
            found = bytearray(super().read_range(version, start, stop))
            # The name of who made the file, which nothing depends on: another one each time.
            self.calls += 1
            found[data.rindex(b"parquet-cpp") - start] ^= 1 << self.calls % 6
            return bytes(found)

    worse = Worse(store.name)
    with pytest.raises(DecodeError, match="came in two ways"):
        ParquetFormat(columns=["x"]).stream(ObjectRef(ref.info, worse), pa.Table)


class Counting(MemoryStore):
    """Counts what it is asked for."""

    ranges: list[tuple[int, int]]

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        self.ranges.append((start, stop))
        return super().read_range(version, start, stop)


@pytest.mark.parametrize("spooled", [0, 10**9], ids=["on the disk", "in memory"])
def test_a_footer_that_the_header_tells_of_is_read_once(
    monkeypatch: pytest.MonkeyPatch, spooled: int
) -> None:
    monkeypatch.setattr(parquet, "_SPOOLED", spooled)
    store = Counting(uuid.uuid4().hex)
    store.ranges = []
    ref = ObjectRef(store.put("x", ParquetFormat(compression="none").encode(TABLE)), store)
    told = ref.info.header.tail if ref.info.header else None
    assert told is not None
    data = bytes(store.get("x").data)
    assert told == Tail.of(data[-told.size :])
    assert told.size == int.from_bytes(data[-8:-4], "little") + 8
    found = ParquetFormat(columns=["x"]).stream(ref, pa.Table)
    assert found.equals(TABLE.select(["x"]))
    assert sum(stop == len(data) for _, stop in store.ranges) == 1


@pytest.mark.parametrize("as_type", [pa.Table, ds.Dataset])
def test_a_footer_that_is_not_the_one_that_was_written_is_an_error(as_type: type) -> None:
    store = MemoryStore(uuid.uuid4().hex)
    body = ParquetFormat(compression="none").encode(TABLE)
    data = bytearray(body.joined())
    # The name of who made the file, which nothing depends on.
    data[data.rindex(b"parquet-cpp")] ^= 1
    ref = ObjectRef(store.put("x", replace(body, buffers=(bytes(data),))), store)
    chosen = ParquetFormat(columns=["x"])
    read = chosen.scan if as_type is ds.Dataset else lambda refs, kind: chosen.stream(refs[0], kind)
    with pytest.raises(DecodeError, match="its footer is not the one that was written"):
        read([ref], as_type)


def test_no_digest_of_a_footer_that_is_always_read_with_the_rest() -> None:
    assert ParquetFormat().encode(TABLE.slice(0, 10)).seal().tail is None
