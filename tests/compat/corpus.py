"""Addresses and values that every version records. Add to them; never change what is here."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from dagster_buckets.address import Address, AssetAddress, OpAddress

_of = AssetAddress.of

#: By name, as the manifests call them.
ADDRESSES: dict[str, Address] = {
    "asset": _of(["orders"]),
    "nested": _of(["shop", "sales", "orders_2"]),
    "dotted part": _of(["shop.v2", "a-b"]),
    "part with slash": _of(["a/b"]),
    "part of dots": _of([".."]),
    "empty part": _of([""]),
    "unicode part": _of(["né", "日本"]),
    "decomposed part": _of(["ne\u0301"]),
    "own names": _of([".runs", "data.parquet", "partition=x"]),
    "long part": _of(["x" * 300]),
    "day": _of(["shop", "orders"], "2024-01-31"),
    "hour": _of(["shop", "orders"], "2024-01-31-23:00"),
    "number": _of(["orders"], "001"),
    "dotted": _of(["orders"], "1.5"),
    "spaces": _of(["orders"], "New York City"),
    "slash": _of(["orders"], "a/b"),
    "leading slash": _of(["orders"], "/etc"),
    "dots": _of(["orders"], "../.."),
    "empty partition": _of(["orders"], ""),
    "percent": _of(["orders"], "100%2F~=|"),
    "unicode": _of(["orders"], "é=日本 \U0001f600"),
    "hive null": _of(["orders"], "__HIVE_DEFAULT_PARTITION__"),
    "long partition": _of(["orders"], "é" * 300),
    "named dimension": _of(["orders"], {"day": "2024-01-31"}),
    "two dimensions": _of(["shop", "orders"], {"region": "eu", "date": "2024-01-31"}),
    "hostile dimensions": _of(["orders"], {"a/b=c": "x/y", "": "", "d" * 150: "v" * 150}),
    "output": OpAddress("5f0c8a52-8f60-4f0e-9d0a-1f6c2a8f7b11", "load", "result"),
    "mapped step": OpAddress("5f0c8a52-8f60-4f0e-9d0a-1f6c2a8f7b11", "graph.double[two]", "result"),
    "mapped output": OpAddress("5f0c8a52-8f60-4f0e-9d0a-1f6c2a8f7b11", "many", "out", "one"),
}

LAYOUTS = (
    "hive",
    "legacy:filesystem",
    "legacy:s3",
    "legacy:gcs",
    "legacy:adls",
    "legacy:polars",
    "template:{asset}[/p={partition}][/day={dim.day:%Y/%m/%d}][/{dim.date}@{dim.region}]/v.{ext}",
)

EXTENSIONS = ("parquet", "arrow", "json", "txt", "bin", "pickle")

_NOON = dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)
_TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int64()),
        "name": pa.array(["a", None, "é"], pa.large_string()),
        "at": pa.array([_NOON, None, _NOON], pa.timestamp("us", tz="UTC")),
        "price": pa.array([Decimal("1.50"), None, Decimal("0.01")], pa.decimal128(10, 2)),
        "tags": pa.array([["x"], [], None], pa.list_(pa.large_string())),
    }
)
_PANDAS = pd.DataFrame(
    {"n": [1.5, 2.5], "t": pd.to_datetime(["2024-01-01", "2024-01-31"]).astype("datetime64[us]")},
    index=pd.Index([10, 20], name="number"),
)

#: ``name: (format, value)``.
VALUES: dict[str, tuple[str, Any]] = {
    "parquet of arrow": ("parquet", _TABLE),
    "parquet of pandas": ("parquet", _PANDAS),
    "parquet of polars": ("parquet", pl.DataFrame({"n": [1, None], "l": [[1], []]})),
    "parquet without rows": ("parquet", _TABLE.slice(0, 0)),
    "arrow of arrow": ("arrow", _TABLE),
    "arrow of pandas": ("arrow", _PANDAS),
    "arrow of polars": ("arrow", pl.DataFrame({"n": [1, None], "l": [[1], []]})),
    "json": ("json", {"a": [1, 2.5, None, True, "é\u2028"], "": {}, "big": 2**70}),
    "json null": ("json", None),
    "text": ("text", "line\r\nnext é \U0001f600"),
    "empty text": ("text", ""),
    "bytes": ("bytes", bytes(range(256))),
    "pickle": ("pickle", {"set": {1, 2}, "at": _NOON, "price": Decimal("1.50")}),
    "none as text": ("text", None),
    "none as parquet": ("parquet", None),
    "none as pickle": ("pickle", None),
}
