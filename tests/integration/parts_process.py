"""A write in parts that takes its time, for a test that kills it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from dagster_buckets import AssetAddress, HiveLayout, ValueStore
from dagster_buckets.formats import rolling
from dagster_buckets_local import LocalStore

FIELDS: list[pa.Field[Any]] = [pa.field("n", pa.int64()), pa.field("turn", pa.string())]
SCHEMA = pa.schema(FIELDS)


def main(root: str, by: str) -> None:
    """Tell of each batch that was asked for, for ever."""

    def batches() -> Iterator[pa.RecordBatch]:
        number = 0
        while True:
            rows = [{"n": number, "turn": f"{n % 2}"} for n in range(1000)]
            yield pa.RecordBatch.from_pylist(rows, SCHEMA)
            number += 1
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            time.sleep(0.01)

    rolling._STEP = 8000  # so that little is held back
    values = ValueStore(LocalStore(root), HiveLayout())
    values = values.having({"part_size": 20_000, "partition_by": by or None})
    reader = pa.RecordBatchReader.from_batches(SCHEMA, batches())
    values.write(AssetAddress.of(["orders"]), reader, format_name="parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
