"""Footers that come damaged: no statistic in them is believed that was read once only."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.objects import Body, Buffer, ObjectInfo
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


@pytest.mark.parametrize("as_type", [pa.Table, pa.RecordBatchReader])
def test_a_damaged_footer_leaves_out_no_rows(as_type: type) -> None:
    store = Flipping(uuid.uuid4().hex)
    made = ParquetFormat(compression="none", row_group_size=5000)
    data = bytes(made.encode(TABLE).joined())
    ref = ObjectRef(store.put("x", Body.of(data)), store)
    length = int.from_bytes(data[-8:-4], "little") + 8
    wanted = ParquetFormat(columns=["x"], filters=[("id", ">=", 17_000), ("id", "<", 23_000)])
    expected = TABLE.slice(17_000, 6000).select(["x"])
    for place in range(9, length, 5):
        store.place, store.left = place, 1
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
