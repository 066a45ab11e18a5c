"""Ways to load many partitions: the bare client's, ours and that of Dagster's own S3 manager.

Only the environment of ``nox -s bench`` has Dagster's own manager.
"""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import boto3
import dagster as dg
import numpy as np
import obstore
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from dagster_aws.s3 import S3PickleIOManager, S3Resource
from dagster_buckets import AssetAddress, ObjectInfo
from dagster_buckets_s3 import S3IOManager
from obstore.store import S3Store

from tests.seaweed_server import CREDENTIALS

__all__ = ["PARTITIONS", "Kind", "Load", "bare_and_ours", "count", "stock", "write"]

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2026-09-27")
PARTITIONS = 1000
#: Of the bare client. Ours has as many by default.
THREADS = 32
BUCKET = "bench"
#: The rows of a frame that takes 20 KiB as Parquet, the numbers of a value that does as a pickle.
ROWS, NUMBERS = 1000, 2270

Kind = Literal["frames", "pickles"]


@dataclass(frozen=True, slots=True)
class Load:
    """One way to load all partitions.

    Attributes:
        name: For people.
        kind: Of the objects.
        run: Loads them once; gives the seconds that it took, and what was loaded.
        beside: The name of the bare client's way to the same result; ``None`` if this is one.
        listings: How many requests it may make beside one per partition.
    """

    name: str
    kind: Kind
    run: Callable[[], tuple[float, Any]]
    beside: str | None = None
    listings: int = 0


def write(endpoint: str) -> dict[Kind, list[ObjectInfo]]:
    """Write every partition as a frame and as a pickle; give what was written, in order.

    The pickles are where Dagster's own manager looks for them, so that both read the same objects.
    """
    client = boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return {
        "frames": _written(S3IOManager(**_settings("frames", endpoint)), _frame),
        "pickles": _written(S3IOManager(**_settings("pickles", endpoint)), _value),
    }


def bare_and_ours(endpoint: str, written: dict[Kind, list[ObjectInfo]]) -> list[Load]:
    """The bare client's ways, and right behind each of them ours to the same result."""
    days = DAYS.get_partition_keys()

    def bare(kind: Kind, decode: Callable[[Any], Any], join: Callable[[Any], Any]) -> Any:
        keys = [info.uri.removeprefix(f"s3://{BUCKET}/") for info in written[kind]]
        return lambda: _fetched(endpoint, keys, decode, join)

    def ours(kind: Kind, annotation: Any, **settings: str) -> Any:
        return _through_dagster(_Ours(**{**_settings(kind, endpoint), **settings}), annotation)

    def mapping(parts: list[Any]) -> dict[str, Any]:
        return dict(zip(days, parts, strict=True))

    def frame(parts: list[pa.Table]) -> pl.DataFrame:
        return pl.DataFrame(pa.concat_tables(parts))

    tables, table = "bare client: dict of tables", "bare client: one table"
    polars, values = "bare client: one Polars frame", "bare client: dict of unpickled values"
    auto = 'ours: `pa.Table`, `format="auto"`'
    return [
        Load(tables, "frames", bare("frames", _table, mapping)),
        Load("ours: `dict[str, pa.Table]`", "frames", ours("frames", dict[str, pa.Table]), tables),
        Load(table, "frames", bare("frames", _table, pa.concat_tables)),
        Load("ours: `pa.Table`", "frames", ours("frames", pa.Table), table),
        Load(auto, "frames", ours("frames", pa.Table, format="auto"), table, 1),
        Load(polars, "frames", bare("frames", _table, frame)),
        Load("ours: `pl.DataFrame`", "frames", ours("frames", pl.DataFrame), polars),
        Load(values, "pickles", bare("pickles", pickle.loads, mapping)),
        Load("ours: `dict`, pickles", "pickles", ours("pickles", dict), values),
    ]


def stock(endpoint: str) -> Load:
    """The way of Dagster's own manager."""
    resource = S3Resource(endpoint_url=endpoint, **CREDENTIALS)
    manager = _Stock(s3_resource=resource, s3_bucket=BUCKET)
    name = "stock `S3PickleIOManager`: `dict`"
    return Load(name, "pickles", _through_dagster(manager, dict))


def count(loaded: Any) -> int:
    """How many partitions were loaded."""
    if isinstance(loaded, dict):
        return len(loaded)
    rows = loaded.height if isinstance(loaded, pl.DataFrame) else loaded.num_rows
    return int(rows // ROWS)


def _frame(seed: int) -> pa.Table:
    source = np.random.default_rng(seed)
    return pa.table(
        {
            "order": pa.array(source.integers(0, 10**9, ROWS)),
            "amount": pa.array(source.random(ROWS)),
            "day": pa.array(source.integers(0, 20_000, ROWS), pa.int32()).cast(pa.date32()),
            "shop": pa.array([f"shop {number}" for number in source.integers(0, 50, ROWS)]),
        }
    )


def _value(seed: int) -> dict[str, Any]:
    source = random.Random(seed)  # noqa: S311 - numbers to fill an object with
    return {"seed": seed, "numbers": [source.random() for _ in range(NUMBERS)]}


def _settings(kind: Kind, endpoint: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"bucket": BUCKET, "endpoint_url": endpoint, **CREDENTIALS}
    if kind == "frames":
        return {**settings, "prefix": "frames", "format": "parquet"}
    return {**settings, "prefix": "dagster", "layout": "legacy", "format": "pickle"}


def _written(manager: S3IOManager, make: Callable[[int], Any]) -> list[ObjectInfo]:
    days = DAYS.get_partition_keys()

    def put(number: int) -> ObjectInfo:
        address = AssetAddress.of(["orders"], days[number])
        return manager.values.write(address, make(number), format_name=manager.format).info

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(put, range(PARTITIONS)))


def _fetched(
    endpoint: str, keys: Sequence[str], decode: Callable[[Any], Any], join: Callable[[Any], Any]
) -> tuple[float, Any]:
    """Fetch by many threads, decode each object where it comes, join them."""
    start = time.perf_counter()
    store = S3Store(
        BUCKET,
        endpoint=endpoint,
        region=CREDENTIALS["region_name"],
        access_key_id=CREDENTIALS["aws_access_key_id"],
        secret_access_key=CREDENTIALS["aws_secret_access_key"],
        client_options={"allow_http": True},
    )
    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(lambda key: decode(obstore.get(store, key).bytes()), keys))
    loaded = join(parts)
    return time.perf_counter() - start, loaded


def _table(data: Any) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(memoryview(data))).read()


#: What the managers' last ``load_input`` took.
_seconds: list[float] = []


@contextmanager
def _timed() -> Iterator[None]:
    start = time.perf_counter()
    yield
    _seconds.append(time.perf_counter() - start)


class _Ours(S3IOManager):
    def load_input(self, context: dg.InputContext) -> Any:
        with _timed():
            return super().load_input(context)


class _Stock(S3PickleIOManager):  # type: ignore[misc] # of a library that mypy does not see
    def load_input(self, context: dg.InputContext) -> Any:
        with _timed():
            return super().load_input(context)


def _through_dagster(manager: Any, annotation: Any) -> Callable[[], tuple[float, Any]]:
    """Materialize an asset that takes all partitions of another, and look at its clock.

    Every run has a manager of its own, which has to connect first.
    """
    source = dg.AssetSpec("orders", partitions_def=DAYS)
    loaded: list[Any] = []

    def taker(orders: Any) -> None:
        loaded.append(orders)

    taker.__annotations__["orders"] = annotation
    every = dg.AssetIn(partition_mapping=dg.AllPartitionMapping())
    asset = dg.asset(ins={"orders": every})(taker)
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

    def run() -> tuple[float, Any]:
        with dg.DagsterInstance.ephemeral() as instance:
            resources = {"io_manager": manager}
            dg.materialize(
                [source, asset], resources=resources, instance=instance, run_config=quiet
            )
        return _seconds.pop(), loaded.pop()

    return run
