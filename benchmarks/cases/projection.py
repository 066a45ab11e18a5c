"""Two of 50 columns and one of a hundred rows of a Parquet object of 1 GiB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from benchmarks.clients import BUCKET, KEYS, ours
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud

COLUMNS = 50
ROWS = 1024**3 // (8 * COLUMNS)
FIRST, LAST = ROWS // 2, ROWS // 2 + ROWS // 100
WANTED = ["k", "c7"]
FILTERS = [("k", ">=", FIRST), ("k", "<", LAST)]
_URI = f"s3://{BUCKET}/wide/data.parquet"


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """The cloud with the object. Random numbers do not compress: it is as large as the frame."""
    import numpy as np
    import pyarrow as pa
    from dagster_buckets import AssetAddress

    with cloud(0.03, 90e6) as endpoint:
        source = np.random.default_rng(7)
        columns: dict[str, Any] = {f"c{i}": source.random(ROWS) for i in range(COLUMNS - 1)}
        columns["k"] = np.arange(ROWS)
        values = ours(endpoint).values
        values.write(AssetAddress.of(["wide"]), pa.table(columns), format_name="parquet")
        yield {"endpoint": endpoint}


def _condition() -> Any:
    import polars as pl

    return (pl.col("k") >= FIRST) & (pl.col("k") < LAST)


def _expression() -> Any:
    import pyarrow.dataset as ds

    return (ds.field("k") >= FIRST) & (ds.field("k") < LAST)


def polars_scan(meter: Meter, *, endpoint: str, **_: bool) -> None:
    """Polars' own."""
    import polars as pl

    options = {
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        "aws_region": "us-east-1",
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
    }
    with meter:
        frame = pl.scan_parquet(_URI, storage_options=options)
        _check(frame.filter(_condition()).select(WANTED).collect().height)


def arrow_scan(meter: Meter, *, endpoint: str, **_: bool) -> None:
    """Arrow's own, as fast as it can: by default it reads column by column."""
    import pyarrow.dataset as ds
    import pyarrow.fs

    files = pyarrow.fs.S3FileSystem(
        access_key=KEYS["AWS_ACCESS_KEY_ID"],
        secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        scheme="http",
        endpoint_override=urlsplit(endpoint).netloc,
        region="us-east-1",
    )
    kind = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
    )
    with meter:
        dataset = ds.dataset(_URI.removeprefix("s3://"), format=kind, filesystem=files)
        _check(dataset.to_table(columns=WANTED, filter=_expression()).num_rows)


def through(meter: Meter, *, endpoint: str, kind: str, **_: bool) -> None:
    """Ours, without Dagster, whose part is the same for all."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as ds
    from dagster_buckets import AssetAddress

    values = ours(endpoint).values

    def read(cls: type, **options: Any) -> Any:
        return values.having(options).read(AssetAddress.of(["wide"]), cls, format_name="parquet")

    def work() -> int:
        if kind == "lazy":
            frame = read(pl.LazyFrame).filter(_condition()).select(WANTED)
            return int(frame.collect().height)
        if kind == "dataset":
            table = read(ds.Dataset).to_table(columns=WANTED, filter=_expression())
            return int(table.num_rows)
        projected = {"columns": WANTED, "filters": FILTERS}
        if kind == "reader":
            reader = read(pa.RecordBatchReader, **projected)
            return sum(batch.num_rows for batch in reader)
        return len(read(pl.DataFrame if kind == "polars" else pa.Table, **projected))

    # Polars keeps its connections for the whole process, we for a manager.
    _check(work())
    with meter:
        found = work()
    _check(found)


def _check(found: int) -> None:
    if found != LAST - FIRST:
        msg = f"{found:,} rows instead of {LAST - FIRST:,}"
        raise RuntimeError(msg)


#: Once before, as it is: a first scan imports and connects.
_WARM = {"again": False}
_POLARS, _ARROW = "Polars, bare", "Arrow, bare"
_OURS = {
    "`pl.LazyFrame`": ("lazy", _POLARS),
    "`pl.DataFrame`, columns and filters": ("polars", _POLARS),
    "`pa.dataset.Dataset`": ("dataset", _ARROW),
    "`pa.Table`, columns and filters": ("arrow", _ARROW),
    "`pa.RecordBatchReader`, columns and filters": ("reader", _ARROW),
}


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = []
    for name in _OURS:
        own = found[name]
        out += [
            Bound(f"{name}: to the bare scan", own.over(found[own.way.beside]), 1.3),
            Bound(f"{name}: requests", own.most("requests"), 8),
            Bound(f"{name}: MB moved", own.most("down") / 1e6, 2.0),
        ]
    return out


CASE = Case(
    name="projection",
    title="2 of 50 columns, 1 % of the rows of 1 GiB of Parquet",
    about=(
        "Through the data path without Dagster. What loads all of it and then takes a part moves "
        "the whole object. Each way has scanned the object once before, as the bare ones have."
    ),
    limit=(
        "Requests that wait for one another: the footer, which says where the columns are, then "
        "all of their pages at once."
    ),
    ways=[
        Way(_POLARS, "polars_scan", warm=_WARM),
        Way(_ARROW, "arrow_scan", warm=_WARM),
        *(
            Way(name, "through", {"kind": kind}, warm=_WARM, beside=beside)
            for name, (kind, beside) in _OURS.items()
        ),
    ],
    serving=serving,
    bounds=bounds,
    columns=("seconds", "spread", "cpu", "memory", "requests", "moved"),
)
