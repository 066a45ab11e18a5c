"""Values in parts: what a manifest spares a load, and what a load may not become."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import AssetAddress, DecodeError, HiveLayout, MemoryStore, ValueStore
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import EncodeError, IntegrityError
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.base import Format
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.object_files import WHOLE_SIZE
from dagster_buckets.formats.object_schemas import Kind, read_schemas
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.part_reading import least_bytes, with_schema
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.objects import Buffer, ObjectInfo, Payload
from dagster_buckets.references import ObjectRef
from dagster_buckets.testing.strategies import any_arrow_tables
from hypothesis import given

from tests.lazy_store import ReadingStore

ADDRESS = AssetAddress.of(["n"])
FOLDER = "n/data.parts/"
KINDS = ["parquet", "arrow"]
SCANS = [pl.LazyFrame, ds.Dataset, duckdb.DuckDBPyRelation, dd.DataFrame]


def numbers(count: int) -> pa.Table:
    return pa.table({"n": range(count), "text": [f"row {n}" for n in range(count)]})


def in_parts(store: MemoryStore, limit: Limit | None = None, **options: Any) -> ValueStore:
    formats = Formats(limit=limit or Limit())
    return ValueStore(store, HiveLayout(), formats=formats).having(options)


def asked(store: ReadingStore) -> list[str]:
    return [key for key in (*store.gets, *store.opens) if key.startswith(FOLDER)]


def count(found: Any) -> int:
    if isinstance(found, pl.LazyFrame):
        return int(found.select(pl.len()).collect().item())
    if isinstance(found, ds.Dataset):
        return found.to_table().num_rows
    if isinstance(found, dd.DataFrame):
        return len(found.compute(scheduler="synchronous"))
    return len(found)


# -- schemas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", SCANS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_a_scan_asks_no_part_for_its_schema(cls: type, kind: str) -> None:
    store = ReadingStore()
    values = in_parts(store, part_size=800)
    values.write(ADDRESS, numbers(250), format_name=kind)
    store.gets.clear()
    found = values.read(ADDRESS, cls, format_name=kind)
    assert store.gets == [f"n/data.{kind}.manifest"]
    assert store.opens == []
    # And each of them once, when its rows are wanted.
    assert count(found) == 250
    parts = [info.key for info in store.scan(FOLDER)]
    assert len(parts) > 5
    assert sorted(asked(store)) == parts


@given(any_arrow_tables())
@pytest.mark.parametrize("inner", [ParquetFormat(), ArrowIPCFormat()], ids=KINDS)
def test_a_part_without_rows_tells_the_schema_of_all(inner: TableFormat, table: pa.Table) -> None:
    store = MemoryStore(secrets.token_hex(4))
    try:
        info = store.put("part", inner.write_table(table))
    except EncodeError:
        return
    ref = ObjectRef(info, store)
    kind: Kind = "parquet" if inner.name == "parquet" else "arrow"
    (wanted,), _ = read_schemas(kind, [ref], None, Limit())
    (told,) = with_schema([ref], inner, table.schema)
    assert told.schema is None or told.schema.equals(wanted)


def bomb(store: MemoryStore) -> None:
    """Of a value in parts one that becomes much larger than it is."""
    in_parts(store, part_size=80_000_000).write(
        ADDRESS,
        pa.table({"n": pa.repeat(1, 1_000_000), "m": range(1_000_000)}),
        format_name="parquet",
    )


@pytest.mark.parametrize("cls", SCANS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in ranges"])
def test_a_part_that_becomes_too_large_is_not_scanned(
    cls: type, *, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr("dagster_buckets.formats.object_files.WHOLE_SIZE", 1000)
    assert WHOLE_SIZE > 1000
    store = MemoryStore(secrets.token_hex(4))
    bomb(store)
    found = in_parts(store, Limit(100_000)).read(ADDRESS, cls)
    with pytest.raises(Exception, match="becomes more than 100,000 in memory"):
        count(found)
    assert count(in_parts(store, Limit(100_000_000)).read(ADDRESS, cls)) == 1_000_000


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_all_parts_become_is_told_before_one_is_read(kind: str) -> None:
    store = ReadingStore()
    in_parts(store, part_size=8000).write(ADDRESS, numbers(10_000), format_name=kind)
    # Numbers of 8 bytes, and where the texts begin, of 4; each part has 8,000 at most.
    values = in_parts(store, Limit(119_999), part_size=1)
    store.gets.clear()
    with pytest.raises(DecodeError, match=r"becomes more than 119,999 in memory") as failed:
        values.read(ADDRESS, pa.Table, format_name=kind)
    assert failed.value.uri == store.uri(f"n/data.{kind}.manifest")
    assert asked(store) == []
    # One of its columns is smaller, and so is what comes one after another.
    some = in_parts(store, Limit(119_999), part_size=1, columns=["n"])
    assert some.read(ADDRESS, pa.Table, format_name=kind).num_rows == 10_000
    assert (
        values.read(ADDRESS, pa.RecordBatchReader, format_name=kind).read_all().num_rows == 10_000
    )
    assert count(values.read(ADDRESS, pl.LazyFrame, format_name=kind)) == 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_manifest_cannot_tell_is_counted_as_it_comes(kind: str) -> None:
    store = ReadingStore()
    table = pa.table({"text": [f"{n:0100}" for n in range(10_000)]})
    in_parts(store, part_size=10_400).write(ADDRESS, table, format_name=kind)
    parts = [info.key for info in store.scan(FOLDER)]
    assert len(parts) > 95
    store.gets.clear()
    with pytest.raises(DecodeError, match=r"manifest has .* becomes more than 200,000 in memory"):
        in_parts(store, Limit(200_000), part_size=1).read(ADDRESS, pa.Table, format_name=kind)
    # Twenty of them fit, and eight were on their way.
    assert 20 <= len(asked(store)) <= 30
    enough = in_parts(store, Limit(1_100_000), part_size=1)
    assert enough.read(ADDRESS, pa.Table, format_name=kind).equals(table)
    # What filters leave is what counts.
    some = in_parts(store, Limit(200_000), part_size=1, filters=[("text", "<", f"{500:0100}")])
    assert some.read(ADDRESS, pa.Table, format_name=kind).num_rows == 500


def test_what_rows_have_at_least() -> None:
    kinds = {"flag": pa.bool_(), "n": pa.int16(), "text": pa.string(), "l": pa.list_(pa.int8())}
    schema = pa.schema([pa.field(name, kind) for name, kind in kinds.items()])
    table = pa.table(
        {"flag": [True] * 80, "n": [1] * 80, "text": [""] * 80, "l": [[]] * 80}, schema
    )
    least = least_bytes(schema, 80, None)
    assert least == 10 + 160 + 320 + 320
    assert least <= table.nbytes
    assert least_bytes(schema, 80, ["n"]) == 160


# -- streams -----------------------------------------------------------------------------------


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in ranges"])
def test_the_next_part_is_fetched_while_one_is_read(
    kind: str, *, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        for module in ("parquet", "arrow_ipc"):
            monkeypatch.setattr(f"dagster_buckets.formats.{module}._ONE_REQUEST", 100)
    store = ReadingStore()
    values = in_parts(store, part_size=800_000)
    # What is random has as many bytes in every format, many more than what footers come with.
    table = pa.table({"n": pa.array(np.random.default_rng(1).random(500_000))})
    values.write(ADDRESS, table, format_name=kind)
    parts = [info.key for info in store.scan(FOLDER)]
    assert len(parts) == 5
    store.gets.clear()
    fetched: dict[str, int] = {}
    lock = threading.Lock()
    read_range = store.read_range

    def counting(version: Any, start: int, stop: int) -> Any:
        with lock:
            fetched[version.key] = fetched.get(version.key, 0) + stop - start
        return read_range(version, start, stop)

    monkeypatch.setattr(store, "read_range", counting)
    reader = values.read(ADDRESS, pa.RecordBatchReader, format_name=kind)
    found = [reader.read_next_batch()]
    sizes = {info.key: info.size for info in store.scan(FOLDER)}

    def is_there(key: str) -> bool:
        # Its rows, and not only what its footer says of them.
        return key in store.gets or fetched.get(key, 0) > 0.9 * sizes[key]

    assert until(lambda: is_there(parts[1]))
    time.sleep(0.05)
    assert set(asked(store)) == set(parts[:2])
    while sum(batch.num_rows for batch in found) <= 200_000:
        found.append(reader.read_next_batch())
    assert until(lambda: is_there(parts[3]))
    assert set(asked(store)) <= set(parts[:4])
    assert pa.Table.from_batches([*found, *reader]).equals(table)


def test_it_is_a_format_of_parts_only() -> None:
    """What joins is the format of the parts: the other has no power that it cannot use."""
    from dagster_buckets.formats.base import SupportsConcat, SupportsParts
    from dagster_buckets.joining import of_objects

    chosen = Formats().having({"part_size": 800}).named("parquet")
    assert isinstance(chosen, Format)
    assert isinstance(chosen, SupportsParts)
    assert not isinstance(chosen, SupportsConcat)
    assert of_objects(chosen) == ParquetFormat()


# -- digests -----------------------------------------------------------------------------------


class Headless(MemoryStore):
    """Keeps no headers, as some file systems; changes a bit of what it is told to."""

    broken = ""

    def get(self, key: str) -> Payload:
        found = super().get(key)
        data = bytearray(found.data)
        if key == self.broken:
            data[len(data) // 2] ^= 1
        return Payload(bytes(data), replace(found.info, header=None))


def test_a_part_whose_header_is_not_kept_is_compared_with_the_manifest() -> None:
    store = Headless(secrets.token_hex(4))
    values = in_parts(store, part_size=2000)
    values.write(ADDRESS, numbers(250), format_name="arrow")
    assert values.read(ADDRESS, pa.Table, format_name="arrow").equals(numbers(250))
    store.broken = [info.key for info in store.scan(FOLDER)][1]
    with pytest.raises(IntegrityError, match="its manifest says"):
        values.read(ADDRESS, pa.Table, format_name="arrow")


class Ranges(MemoryStore):
    """Counts who reads the ends of objects by themselves; changes a bit there if told to."""

    ends = 0
    broken = False

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        data = bytearray(super().read_range(version, start, stop))
        if stop == version.size:
            self.ends += 1
            if self.broken:
                data[-100] ^= 1
        return bytes(data)


def test_the_manifest_tells_of_footers_too() -> None:
    store = Ranges(secrets.token_hex(4))
    noise = pa.array(np.random.default_rng(7).random(80_000))
    table = pa.table({"n": pa.array(range(80_000)), "x": noise})
    values = in_parts(store, part_size=640_000)
    values.write(ADDRESS, table, format_name="parquet")
    sizes = [info.size for info in store.scan(FOLDER)]
    assert len(sizes) == 2
    assert min(sizes) > 256 * 1024
    some = values.having({"columns": ["n"]})
    assert some.read(ADDRESS, pa.Table, format_name="parquet").equals(table.select(["n"]))
    assert store.ends == len(sizes)
    store.broken = True
    with pytest.raises(DecodeError, match="its footer is not the one that was written"):
        some.read(ADDRESS, pa.Table, format_name="parquet")
