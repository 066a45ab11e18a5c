"""What it takes to read 2 of 50 columns and 1 % of the rows of a Parquet object of 1 GiB.

Ours, through the value store that a manager loads with, beside the bare scans of Polars and Arrow
with S3 clients of their own, all in turn, in one run, on SeaweedFS behind a proxy that delays each
request by 30 ms and counts requests and bytes.

Prints a Markdown table; ends with code 1 where a bound does not hold: 1 % of the bytes, 8
requests, 1.3 times the bare scan of the same library.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
from dagster_buckets import AssetAddress, HiveLayout, ValueStore
from dagster_buckets_s3 import S3Store

from benchmarks.latency import Proxy, Traffic, latency_proxy
from tests.seaweed_server import CREDENTIALS, seaweed_server

SECONDS_PER_REQUEST = 0.030
#: After one that warms up.
ROUNDS = 7
COLUMNS = 50
ROWS = 1024**3 // (8 * COLUMNS)
BUCKET = "bench"
ADDRESS = AssetAddress.of(["wide"])

SHARE, REQUESTS, SLOWER = 0.01, 8, 1.3

FIRST, LAST = ROWS // 2, ROWS // 2 + ROWS // 100
WANTED = ["k", "c7"]
FILTERS = [("k", ">=", FIRST), ("k", "<", LAST)]


@dataclass(slots=True)
class Measured:
    """One way to read them.

    Attributes:
        name: For people.
        run: Gives the rows that came.
        beside: The bare scan of the same library.
    """

    name: str
    run: Callable[[], int]
    beside: str | None = None
    seconds: list[float] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    def over(self, bare: Measured) -> float:
        """As a multiple of the bare scan's time: the median of what it was in each round."""
        pairs = zip(self.seconds, bare.seconds, strict=True)
        return statistics.median(own / others for own, others in pairs)


def write(endpoint: str) -> int:
    """Write the object, and give its size."""
    client = boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    random = np.random.default_rng(7)
    # Random numbers do not compress: the object is as large as the frame.
    columns: dict[str, Any] = {f"c{i}": random.random(ROWS) for i in range(COLUMNS - 1)}
    columns["k"] = np.arange(ROWS)
    table = pa.table(columns)
    values = ValueStore(S3Store(BUCKET, endpoint_url=endpoint, **CREDENTIALS), HiveLayout())
    return values.write(ADDRESS, table).info.size


def ways(endpoint: str) -> list[Measured]:
    """The bare scans, and ours."""
    uri = f"s3://{BUCKET}/wide/data.parquet"
    host = urlsplit(endpoint).netloc
    key, secret = CREDENTIALS["aws_access_key_id"], CREDENTIALS["aws_secret_access_key"]
    options = {
        "aws_access_key_id": key, "aws_secret_access_key": secret, "aws_region": "us-east-1",
        "aws_endpoint_url": endpoint, "aws_allow_http": "true",
    }  # fmt: skip
    files = pyarrow.fs.S3FileSystem(
        access_key=key, secret_key=secret, scheme="http", endpoint_override=host, region="us-east-1"
    )
    values = ValueStore(S3Store(BUCKET, endpoint_url=endpoint, **CREDENTIALS), HiveLayout())
    projected = values.having({"columns": WANTED, "filters": FILTERS})
    condition = (pl.col("k") >= FIRST) & (pl.col("k") < LAST)
    expression = (ds.field("k") >= FIRST) & (ds.field("k") < LAST)

    def polars_scan() -> int:
        frame = pl.scan_parquet(uri, storage_options=options)
        return frame.filter(condition).select(WANTED).collect().height

    def arrow_scan() -> int:
        # As fast as Arrow can: its own default reads column by column.
        kind = ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
        )
        dataset = ds.dataset(uri.removeprefix("s3://"), format=kind, filesystem=files)
        return int(dataset.to_table(columns=WANTED, filter=expression).num_rows)

    def read(cls: type, store: ValueStore = projected) -> Any:
        return store.read(ADDRESS, cls, format_name="parquet")

    def lazy() -> int:
        frame = read(pl.LazyFrame, values)
        return int(frame.filter(condition).select(WANTED).collect().height)

    def dataset() -> int:
        return int(read(ds.Dataset, values).to_table(columns=WANTED, filter=expression).num_rows)

    return [
        Measured("Polars, bare", polars_scan),
        Measured("Arrow, bare", arrow_scan),
        Measured("pl.LazyFrame", lazy, "Polars, bare"),
        Measured(
            "pl.DataFrame, columns and filters", lambda: len(read(pl.DataFrame)), "Polars, bare"
        ),
        Measured("pa.dataset.Dataset", dataset, "Arrow, bare"),
        Measured("pa.Table, columns and filters", lambda: len(read(pa.Table)), "Arrow, bare"),
        Measured(
            "pa.RecordBatchReader, columns and filters",
            lambda: sum(batch.num_rows for batch in read(pa.RecordBatchReader)),
            "Arrow, bare",
        ),
    ]  # fmt: skip


def measure(way: Measured, proxy: Proxy, *, keep: bool) -> None:
    """Read once, and look at the clock and at what went through the proxy."""
    proxy.take()
    begun = time.perf_counter()
    found = way.run()
    seconds = time.perf_counter() - begun
    if found != LAST - FIRST:
        msg = f"{way.name}: {found} rows instead of {LAST - FIRST}"
        raise RuntimeError(msg)
    if keep:
        way.seconds.append(seconds)
        way.traffic.append(proxy.take())


def rows(found: Sequence[Measured], size: int) -> Iterator[str]:
    """The table."""
    by_name = {way.name: way for way in found}
    yield f"{size:,} bytes, {ROWS:,} rows, {COLUMNS} columns"
    yield ""
    yield "| what | s, median | least | most | requests | MB | % of the bytes | to the bare scan |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for way in found:
        received = max(traffic.received for traffic in way.traffic)
        cells = [
            way.name,
            f"{statistics.median(way.seconds):.3f}",
            f"{min(way.seconds):.3f}",
            f"{max(way.seconds):.3f}",
            str(max(len(traffic.requests) for traffic in way.traffic)),
            f"{received / 1e6:.2f}",
            f"{100 * received / size:.2f}",
            f"{way.over(by_name[way.beside]):.2f}" if way.beside else "",
        ]
        yield f"| {' | '.join(cells)} |"


def broken(found: Sequence[Measured], size: int) -> Iterator[str]:
    """The bounds that do not hold."""
    by_name = {way.name: way for way in found}
    for way in found:
        if way.beside is None:
            continue
        over = way.over(by_name[way.beside])
        if over > SLOWER:
            yield f"{way.name} takes {over:.2f} times the bare scan's time, over {SLOWER}"
        for traffic in way.traffic:
            if len(traffic.requests) > REQUESTS:
                yield f"{way.name} makes {len(traffic.requests)} requests, over {REQUESTS}"
            if traffic.received > SHARE * size:
                yield f"{way.name} moves {traffic.received:,} bytes, over {SHARE:.0%}"


def main() -> None:
    """Measure, print, judge."""
    with seaweed_server() as server, latency_proxy(server, SECONDS_PER_REQUEST) as proxy:
        size = write(server)
        found = ways(proxy.endpoint)
        for number in range(ROUNDS + 1):
            # Forth and back: nobody always follows the same one.
            for way in found if number % 2 else reversed(found):
                measure(way, proxy, keep=number > 0)
        sys.stdout.write("\n".join([*rows(found, size), ""]))
        if "-v" in sys.argv:
            for way in found:
                sys.stdout.write(f"{way.name}: {way.traffic[-1].requests}\n")
        if faults := sorted(set(broken(found, size))):
            sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
