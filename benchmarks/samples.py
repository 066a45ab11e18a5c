"""Samples: partitions of 20 KiB, as frames and as values for a pickle."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["ROWS", "decoded", "encoded", "frame", "keys", "value"]

#: Of a frame that takes 20 KiB as Parquet.
ROWS = 1000
#: The numbers of a value that does as a pickle.
_NUMBERS = 2270


def frame(seed: int) -> Any:
    """A frame of orders."""
    import numpy as np
    import pyarrow as pa

    source = np.random.default_rng(seed)
    return pa.table(
        {
            "order": pa.array(source.integers(0, 10**9, ROWS)),
            "amount": pa.array(source.random(ROWS)),
            "day": pa.array(source.integers(0, 20_000, ROWS), pa.int32()).cast(pa.date32()),
            "shop": pa.array([f"shop {number}" for number in source.integers(0, 50, ROWS)]),
        }
    )


def encoded(seed: int) -> bytes:
    """Such a frame as Parquet, by Arrow alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(frame(seed), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def value(seed: int) -> dict[str, Any]:
    """A value that is no frame."""
    source = random.Random(seed)  # noqa: S311 - numbers to fill an object with
    return {"seed": seed, "numbers": [source.random() for _ in range(_NUMBERS)]}


def keys(count: int) -> list[str]:
    """The keys of so many partitions."""
    from benchmarks.through_dagster import days

    return list(days(count).get_partition_keys())


def decoded(data: Any) -> Any:
    """The inverse of :func:`encoded`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(memoryview(data))).read()
