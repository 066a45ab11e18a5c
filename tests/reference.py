"""The reference of the formats, made from the code: `python -m tests.reference` writes it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from dagster_buckets.address import AssetAddress
from dagster_buckets.choosing import COMPRESSION
from dagster_buckets.errors import FormatError
from dagster_buckets.formats.base import (
    Format,
    RunsCode,
    SupportsConcat,
    SupportsLazy,
    SupportsStreaming,
)
from dagster_buckets.formats.compression import SUFFIXES
from dagster_buckets.formats.options import option_names
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.plugins import get_format, names
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.values import ValueStore

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "formats.md"
_BEGIN, _END = "<!-- made by tests/reference.py -->\n", "<!-- end -->\n"
#: Formats of other distributions are not ours to describe.
_OWN = "dagster_buckets."


@dataclasses.dataclass
class Model:
    """Stands for a dataclass, a pydantic model or a msgspec Struct."""

    x: int


_TABLE = pa.table({"x": [1.5, 2.5], "y": [3.0, 4.0]})

#: What assets return, by what people call it.
VALUES: dict[str, Callable[[], Any]] = {
    "`pandas.DataFrame`": lambda: pd.DataFrame({"x": [1.5]}),
    "`polars.DataFrame`": lambda: pl.DataFrame({"x": [1.5]}),
    "`polars.LazyFrame`": lambda: pl.LazyFrame({"x": [1.5]}),
    "`pyarrow.Table`": lambda: _TABLE,
    "`pyarrow.RecordBatch`": lambda: _TABLE.to_batches()[0],
    "`pyarrow.RecordBatchReader`": _TABLE.to_reader,
    "`pyarrow.dataset.Dataset`": lambda: ds.dataset(_TABLE),
    "`duckdb.DuckDBPyRelation`": lambda: duckdb.connect().from_arrow(_TABLE),
    "`numpy.ndarray`": lambda: np.array([1.5]),
    "`dict`": lambda: {"x": 1},
    "`list`": lambda: [1],
    "`int`": lambda: 1,
    "`float`": lambda: 1.5,
    "`bool`": lambda: True,
    "`None`": lambda: None,
    "a dataclass, pydantic model or msgspec Struct": lambda: Model(1),
    "`str`": lambda: "text",
    "`bytes`": lambda: b"data",
    "`bytearray`": lambda: bytearray(b"data"),
    "a binary file": lambda: io.BytesIO(b"data"),
    "`pathlib.Path`": lambda: Path(__file__),
}

CLASSES: dict[str, type] = {
    "`pandas.DataFrame`": pd.DataFrame,
    "`polars.DataFrame`": pl.DataFrame,
    "`polars.LazyFrame`": pl.LazyFrame,
    "`pyarrow.Table`": pa.Table,
    "`pyarrow.RecordBatch`": pa.RecordBatch,
    "`pyarrow.RecordBatchReader`": pa.RecordBatchReader,
    "`pyarrow.dataset.Dataset`": ds.Dataset,
    "`duckdb.DuckDBPyRelation`": duckdb.DuckDBPyRelation,
    "`numpy.ndarray`": np.ndarray,
    "`dict`": dict,
    "`list`": list,
    "`float`": float,
    "the class": Model,
    "`str`": str,
    "`bytes`": bytes,
    "`bytearray`": bytearray,
    "`memoryview`": memoryview,
    "`io.BufferedIOBase`": io.BufferedIOBase,
    "`pathlib.Path`": Path,
}


_FRAMES = set(list(CLASSES)[:9])


def page(text: str) -> str:
    """The page with its tables made anew."""
    head, _, rest = text.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    return head + _BEGIN + "\n" + "\n".join(_tables()) + "\n\n" + _END + tail


def _tables() -> Iterator[str]:
    yield (
        "| an asset returns | `auto` writes | a load without annotation gives | others to ask for |"
    )
    yield "|---|---|---|---|"
    for spelled, make in VALUES.items():
        yield f"| {' | '.join([spelled, *_row(make)])} |"
    yield ""
    yield "| format | extension | options | joins partitions | scans | in bounded memory |"
    yield "|---|---|---|---|---|---|"
    for name in names("formats"):
        if type(get_format(name)).__module__.startswith(_OWN):
            yield f"| {' | '.join(_described(get_format(name)))} |"


def _row(make: Callable[[], Any]) -> list[str]:
    values = ValueStore(MemoryStore("reference"), HiveLayout())
    address = AssetAddress.of(["value"])
    written = values.write(address, make())
    plain = values.read(address)
    others = []
    for spelled, cls in CLASSES.items():
        try:
            found = values.read(address, cls, format_name=written.format)
        except FormatError:
            continue
        if isinstance(found, cls) and not isinstance(plain, cls):
            others.append(spelled)
    kinds = {cls: spelled for spelled, cls in CLASSES.items()}
    gives = kinds.get(type(plain), "`None`" if plain is None else f"`{type(plain).__name__}`")
    if isinstance(plain, Path):
        gives = "`pathlib.Path`"
    asked = ", ".join(others)
    if {gives, *others} >= _FRAMES:
        asked = "any frame, reader, scan or array"
    return [f"`{written.format}`", gives, asked]


def _described(chosen: Format) -> list[str]:
    made = type(chosen)
    options = [f"`{name}`" for name in option_names(made)]
    if COMPRESSION not in option_names(made):
        options.append(f"`{COMPRESSION}` (`{'`, `'.join(SUFFIXES)}`)")
    streams = []
    if chosen.name in ("parquet", "arrow", "file", "bytes"):
        streams.append("written")
    if isinstance(chosen, SupportsStreaming):
        streams.append("read")
    return [
        f"`{chosen.name}`" + (" (runs code)" if isinstance(chosen, RunsCode) else ""),
        f"`{chosen.extension}`",
        ", ".join(options),
        "yes" if isinstance(chosen, SupportsConcat) else "",
        "yes" if isinstance(chosen, SupportsLazy) else "",
        " and ".join(streams),
    ]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
