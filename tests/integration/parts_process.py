"""A write in parts that takes its time, for a test that kills it."""

import sys
import time
from collections.abc import Iterator

import pyarrow as pa
from dagster_buckets import AssetAddress, HiveLayout, ValueStore
from dagster_buckets_local import LocalStore


def main(root: str) -> None:
    """Tell of each batch that was asked for, for ever."""

    def batches() -> Iterator[pa.RecordBatch]:
        number = 0
        while True:
            yield pa.record_batch({"n": [number] * 1000})
            number += 1
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            time.sleep(0.01)

    values = ValueStore(LocalStore(root), HiveLayout()).having({"part_size": 20_000})
    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
    values.write(AssetAddress.of(["orders"]), reader, format_name="parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
