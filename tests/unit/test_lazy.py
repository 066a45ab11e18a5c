from __future__ import annotations

import pickle
import secrets
import subprocess
import sys
import threading
import time
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import DecodeError, MemoryStore, ObjectNotFoundError, ObjectRef, PartitionError
from dagster_buckets.formats import SupportsLazy, object_files
from dagster_buckets.formats.lazy import empty_scan, is_lazy_type, scan_objects
from dagster_buckets.plugins import get_format

CLASSES = [pl.LazyFrame, ds.Dataset, ds.FileSystemDataset, duckdb.DuckDBPyRelation]


class Slow(MemoryStore):
    """A memory store that counts, and takes its time."""

    def __init__(self, name: str, seconds: float = 0) -> None:
        super().__init__(name)
        self.seconds = seconds
        self.got: list[str] = []
        self.read = 0

    def get(self, key: str) -> Any:
        time.sleep(self.seconds)
        self.got.append(key)
        return super().get(key)

    def open(self, key: str) -> Any:
        store, file = self, super().open(key)

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def read(self, size: int = -1) -> bytes:
                data = file.read(size)
                store.read += len(data)
                return data

        return Counting()


@pytest.fixture
def store() -> Slow:
    return Slow(secrets.token_hex(4))


def put(store: MemoryStore, *frames: Any, format_name: str = "parquet") -> list[ObjectRef]:
    chosen = get_format(format_name)
    return [
        ObjectRef(store.put(f"d{number:03}.{chosen.extension}", chosen.encode(frame)), store)
        for number, frame in enumerate(frames)
    ]


def days(count: int) -> list[dict[str, str]]:
    return [{"day": f"{number:03}"} for number in range(count)]


def rows(scan: Any, *columns: str) -> list[tuple[Any, ...]]:
    if isinstance(scan, pl.LazyFrame):
        return scan.select(columns).collect().rows()
    if isinstance(scan, ds.Dataset):
        table = scan.to_table(columns=list(columns))
        return list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    return scan.project(", ".join(columns)).order("1").fetchall()  # type: ignore[no-any-return]


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_lazy(cls: type) -> None:
    assert is_lazy_type(cls)


@pytest.mark.parametrize("cls", [pl.DataFrame, pd.DataFrame, pa.Table, dict, pa.RecordBatchReader])
def test_what_is_not(cls: type) -> None:
    assert not is_lazy_type(cls)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("cls", CLASSES)
def test_scans_can_be_used_again_and_elsewhere(store: Slow, cls: type, kind: Any) -> None:
    refs = put(store, pa.table({"n": [1]}), pa.table({"n": [2, 3]}), format_name=kind)
    scan = scan_objects(kind, refs, cls, days(2))
    expected = [(1, "000"), (2, "001"), (3, "001")]
    assert rows(scan, "n", "day") == expected
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(rows(scan, "n", "day")))
    thread.start()
    thread.join(20)
    assert found == expected


def test_polars_streams_it(store: Slow) -> None:
    refs = put(store, *(pa.table({"n": [number]}) for number in range(20)))
    lazy = scan_objects("parquet", refs, pl.LazyFrame, days(20))
    total = lazy.filter(pl.col("day") > "010").select(pl.col("n").sum())
    old = tuple(int(part) for part in pl.__version__.split(".")[:2]) < (1, 23)
    found: Any = total.collect(streaming=True) if old else total.collect(engine="streaming")
    assert found.item() == sum(range(11, 20))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_filter_on_the_partition_opens_no_other_object(store: Slow, cls: type) -> None:
    refs = put(store, *(pa.table({"n": list(range(5))}) for _ in range(30)))
    scan = scan_objects("parquet", refs, cls, days(30))
    store.got.clear()
    if isinstance(scan, pl.LazyFrame):
        assert scan.filter(pl.col("day") == "007").collect().height == 5
    elif isinstance(scan, ds.Dataset):
        assert scan.to_table(filter=ds.field("day") == "007").num_rows == 5
    else:
        assert scan.filter("day = '007'").fetchall()[0][1] == "007"
    assert set(store.got) == {"d007.parquet"}


def test_small_objects_are_read_ahead() -> None:
    store = Slow(secrets.token_hex(4))
    refs = put(store, *(pa.table({"n": [number]}) for number in range(120)))
    dataset = scan_objects("parquet", refs, ds.Dataset)
    store.seconds = 0.1
    begun = time.monotonic()
    assert dataset.to_table()["n"].to_pylist() == list(range(120))
    # Arrow alone has four at work: 3 s.
    assert time.monotonic() - begun < 2
    assert sorted(set(store.got[-120:])) == sorted(ref.info.key for ref in refs)


def test_of_large_objects_only_what_a_query_needs_is_read(
    store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(1)
    wide = pa.table({f"c{number}": pa.array(chance.random(50_000)) for number in range(20)})
    refs = put(store, wide)
    monkeypatch.setattr(object_files, "WHOLE_SIZE", 1000)
    lazy = scan_objects("parquet", refs, pl.LazyFrame)
    assert store.got == []
    store.read = 0
    assert lazy.select("c3").collect().height == 50_000
    assert 0 < store.read < refs[0].size / 4
    assert store.got == []


@pytest.mark.parametrize("cls", CLASSES)
def test_schemas_that_drift_are_joined(store: Slow, cls: type) -> None:
    refs = put(
        store, pa.table({"n": pa.array([1], pa.int32())}), pa.table({"n": [2.5], "m": ["x"]})
    )
    scan = scan_objects("parquet", refs, cls)
    assert rows(scan, "n", "m") == [(1.0, None), (2.5, "x")]


def test_what_does_not_fit_is_named_at_once(store: Slow) -> None:
    refs = put(store, pa.table({"n": [1]}), pa.table({"n": ["x"]}))
    with pytest.raises(DecodeError, match=r"'n'") as caught:
        scan_objects("parquet", refs, pl.LazyFrame)
    assert caught.value.uri == refs[1].uri
    with pytest.raises(DecodeError, match="day"):
        scan_objects("parquet", put(store, pa.table({"day": ["x"]})), pl.LazyFrame, days(1))


def test_what_is_gone_or_changed_is_an_error(store: Slow) -> None:
    refs = put(store, pa.table({"n": [1]}), pa.table({"n": [2]}))
    scan = scan_objects("parquet", refs, ds.Dataset)
    put(store, pa.table({"n": [3]}))
    with pytest.raises(Exception, match="written again"):
        scan.to_table()
    store.delete([refs[1].info.key])
    with pytest.raises(ObjectNotFoundError):
        scan_objects("parquet", refs[1:], ds.Dataset)


def test_datasets_travel(store: Slow) -> None:
    plain = MemoryStore(store.name)
    refs = put(plain, pa.table({"n": [1]}), pa.table({"n": [2]}))
    dataset = pickle.loads(pickle.dumps(scan_objects("parquet", refs, ds.Dataset, days(2))))  # noqa: S301
    assert rows(dataset, "n", "day") == [(1, "000"), (2, "001")]


def test_empty_scans() -> None:
    assert empty_scan(pl.LazyFrame).collect().shape == (0, 0)
    assert empty_scan(ds.Dataset).count_rows() == 0
    with pytest.raises(PartitionError, match="no columns"):
        empty_scan(duckdb.DuckDBPyRelation)


def test_the_power_is_that_of_the_table_formats() -> None:
    for name in ("parquet", "arrow"):
        chosen = get_format(name)
        assert isinstance(chosen, SupportsLazy)
        assert chosen.can_scan(pl.LazyFrame)
        assert not chosen.can_scan(dict)
    assert not isinstance(get_format("json"), SupportsLazy)


LEAVING = """
import sys, time
import pyarrow as pa, pyarrow.dataset as ds
from dagster_buckets import MemoryStore, ObjectRef
from dagster_buckets.formats.lazy import scan_objects
from dagster_buckets.plugins import get_format
class Slow(MemoryStore):
    def get(self, key):
        time.sleep(0.002)
        return super().get(key)
store, chosen = Slow("leaving"), get_format("parquet")
refs = [ObjectRef(store.put(f"{n}.parquet", chosen.encode(pa.table({"n": [n]}))), store) for n in range(60)]
reader = scan_objects("parquet", refs, ds.Dataset).scanner().to_reader()
print(reader.read_next_batch().num_rows)
"""


def test_a_process_can_end_in_the_middle_of_a_scan() -> None:
    for _ in range(5):
        ended = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr
