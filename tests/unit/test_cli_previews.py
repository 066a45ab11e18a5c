"""What ``show`` tells of a value, and how little of it is read."""

from __future__ import annotations

import io
import os
import pickle
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dagster_buckets import AssetAddress, Body, HiveLayout, MemoryStore, ObjectInfo, ValueStore
from dagster_buckets.choosing import Formats
from dagster_buckets.cli.inventory import inventory
from dagster_buckets.cli.previews import Preview, preview
from dagster_buckets.cli.source import Source
from dagster_buckets.fetching import NONE
from dagster_buckets.objects import Payload

ADDRESS = AssetAddress.of(["a"])


@dataclass
class Meter:
    """Counts what is read of a store."""

    store: MemoryStore
    read: int = 0
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def _count(self, what: str, data: Any) -> Any:
        self.asked.append(what)
        self.read += memoryview(data).nbytes
        return data

    def get(self, key: str) -> Payload:
        payload = self.store.get(key)
        self._count("get", payload.data)
        return payload

    def peek(self, key: str, size: int) -> Payload:
        payload = self.store.peek(key, size)
        self._count("peek", payload.data)
        return payload

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Any:
        return self._count("read_range", self.store.read_range(version, start, stop))

    def open(self, key: str, version: ObjectInfo | None = None) -> Any:
        meter, whole = self, self.store.open(key, version).read()

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data: bytes = meter._count("read", super().read(size))
                return data

        return Counted(whole)


@pytest.fixture
def meter() -> Meter:
    return Meter(MemoryStore(secrets.token_hex(8)))


@pytest.fixture
def show(meter: Meter) -> Callable[..., Preview]:
    def shown(rows: int = 3, **options: Any) -> Preview:
        values = ValueStore(meter, HiveLayout()).having(options)
        (entry,) = inventory(Source(values))
        return preview(values, entry, rows)

    return shown


def write(meter: Meter, value: Any, name: str = "auto", **options: Any) -> int:
    formats = Formats({name: options} if options else {})
    values = ValueStore(meter.store, HiveLayout(), formats=formats)
    return values.write(ADDRESS, value, format_name=name).info.size


def test_of_a_large_parquet_object_one_group_of_rows_is_read(
    meter: Meter, show: Callable[..., Preview]
) -> None:
    rows = 400_000
    table = pa.table(
        {"n": pa.array(np.random.default_rng(1).integers(0, 1 << 62, rows)), "t": ["x"] * rows}
    )
    size = write(meter, table, "parquet", row_group_size=20_000, compression="none")
    assert size > 3_000_000
    seen = show()
    assert (seen.kind, seen.rows) == ("table", rows)
    assert [(c.name, c.type) for c in seen.columns or ()] == [("n", "int64"), ("t", "string")]
    assert list(seen.head or ()) == table.slice(0, 3).to_pylist()
    assert meter.read < size / 3, meter.asked
    meter.read = 0
    assert show(rows=0).rows == rows
    assert meter.read <= 256 * 1024  # the footer is read twice
    assert [set(row) for row in show(columns=["t"]).head or ()] == [{"t"}] * 3


def test_of_large_arrow_the_first_batches_are_read(
    meter: Meter, show: Callable[..., Preview]
) -> None:
    numbers = pa.array(np.random.default_rng(1).integers(0, 1 << 62, 1_000_000))
    table = pa.table({"n": numbers})
    size = write(meter, table.to_reader(100_000), "arrow", compression="none")
    seen = show()
    assert [c.type for c in seen.columns or ()] == ["int64"]
    assert list(seen.head or ()) == [{"n": n} for n in numbers[:3].to_pylist()]
    assert meter.read < size / 3, meter.asked
    wanted = numbers[:200_000].to_pylist()
    assert [row["n"] for row in show(rows=200_000).head or ()] == wanted
    meter.read = 0
    assert show(rows=0).columns is not None
    assert meter.read <= 256 * 1024


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "ndjson"])
def test_small_tables(name: str, meter: Meter, show: Callable[..., Preview]) -> None:
    write(meter, pa.table({"n": [1, 2, 3, 4]}), name)
    seen = show()
    assert (seen.kind, seen.rows) == ("table", 4)
    assert seen.head == ({"n": 1}, {"n": 2}, {"n": 3})
    assert len(meter.asked) == 1


class Bomb:
    def __reduce__(self) -> Any:
        return os._exit, (3,)


@pytest.mark.parametrize("name", ["pickle", "cloudpickle"])
@pytest.mark.parametrize("trusting", [False, True])
def test_pickles_are_not_even_read(
    name: str, trusting: Any, meter: Meter, show: Callable[..., Preview]
) -> None:
    values = ValueStore(meter.store, HiveLayout(), formats=Formats(allow_pickle=trusting))
    key = HiveLayout().key(ADDRESS, name)
    meter.store.put(key, Body.of(pickle.dumps(Bomb())))
    (entry,) = inventory(Source(values))
    seen = preview(ValueStore(meter, HiveLayout(), formats=values.formats), entry, 3)
    assert seen.kind == "code"
    assert "runs code" in str(seen.note)
    assert meter.asked == []
    assert show().kind == "code"


def test_text_is_read_at_its_beginning(meter: Meter, show: Callable[..., Preview]) -> None:
    write(meter, "é" * 1_000_000)
    seen = show()
    assert (seen.kind, seen.text) == ("text", "é" * 1000)
    assert seen.note == "only the beginning is shown"
    assert meter.read < 200_000
    write(meter, "é")
    assert (show().text, show().note) == ("é", None)


def test_json_that_is_compressed(meter: Meter, show: Callable[..., Preview]) -> None:
    write(meter, {"n": 1}, "json", compression="zstd")
    seen = show()
    assert (seen.kind, seen.text) == ("text", '{"n": 1}')


@pytest.mark.parametrize(
    ("value", "name", "wanted"),
    [
        (np.zeros((2, 3), "f4"), "npy", [(None, "float32", [2, 3])]),
        ({"w": np.zeros(2)}, "npz", [("w", "float64", [2])]),
        ({"w": np.zeros(2)}, "safetensors", [("w", "float64", [2])]),
    ],
)
def test_arrays(
    value: Any, name: str, wanted: list[Any], meter: Meter, show: Callable[..., Preview]
) -> None:
    write(meter, value, name)
    assert [(a["name"], a["dtype"], a["shape"]) for a in show().arrays or ()] == wanted


def test_none_and_bytes_and_unknown(meter: Meter, show: Callable[..., Preview]) -> None:
    meter.store.put("a/data.parquet", Body.of(NONE))
    assert show().kind == "none"
    meter.store.delete(["a/data.parquet"])
    meter.store.put("a/data.whatever", Body.of(b"x"))
    assert show().note == "no installed format reads it"
    meter.store.delete(["a/data.whatever"])
    write(meter, b"\x00\x01", "bytes")
    assert show() == Preview("opaque")


def test_nanoseconds_that_python_cannot_hold(meter: Meter, show: Callable[..., Preview]) -> None:
    write(meter, pa.table({"t": pa.array([1, 2], pa.timestamp("ns"))}))
    (first, _) = show().head or ()
    assert isinstance(first["t"], (str, datetime))
