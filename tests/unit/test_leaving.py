"""Processes that end while a scan is, or was just now, at work: Arrow's threads call into Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SETTING = """
import sys
import pyarrow as pa, pyarrow.dataset as ds
from dagster_buckets.formats import datasets, object_files
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.references import ObjectRef
from tests.lazy_store import ReadingStore

kind, size, use = sys.argv[1:]
if size == "large":
    object_files.WHOLE_SIZE, datasets._FOOTER = 1000, 100
chosen = {"parquet": ParquetFormat(), "arrow": ArrowIPCFormat()}[kind]
store = ReadingStore(0.001)
body = chosen.encode(pa.table({"n": range(5000), "s": ["text"] * 5000}))
refs = [ObjectRef(store.put(f"{i}", body), store) for i in range(40)]
"""

USES = {
    "read": "kept = chosen.scan(refs, ds.Dataset).to_table()",
    "read and gone": "chosen.scan(refs, ds.Dataset).to_table()",
    "begun": "dataset = chosen.scan(refs, ds.Dataset); begun = dataset.to_batches(); next(begun)",
    "begun and gone": "next(chosen.scan(refs, ds.Dataset).to_batches())",
    "a reader": "reader = chosen.scan(refs, ds.Dataset).scanner().to_reader(); next(reader)",
    "begun and slow": "d = chosen.scan(refs, ds.Dataset); store.delay = 0.2; next(d.to_batches())",
    "head": "import polars as pl; chosen.scan(refs, pl.LazyFrame).head(3).collect()",
    "duckdb": "import duckdb; relation = chosen.scan(refs, duckdb.DuckDBPyRelation); relation.limit(3).fetchall()",
}


def run(code: str, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", SETTING + code, *arguments]
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=timeout
    )


@pytest.mark.parametrize(
    ("kind", "size", "use"),
    [
        *(("parquet", "small", use) for use in USES),
        *(("arrow", "large", use) for use in ("begun", "begun and slow", "head")),
    ],
)
def test_no_end_is_an_abort(kind: str, size: str, use: str) -> None:
    # Without the wait at the end, four of five of those that have begun abort.
    ended = run(USES[use], kind, size, use)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_end_waits_for_no_scan_that_was_read() -> None:
    timed = """
import atexit, time
chosen.scan(refs, ds.Dataset).to_table()
from dagster_buckets.formats import leaving
begun = time.monotonic()
leaving._wait()
print(time.monotonic() - begun)
"""
    ended = run(timed, "parquet", "small", "read")
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < 0.5


@pytest.mark.parametrize(
    "scanner", ["dataset.scanner()", "ds.Scanner.from_dataset(dataset)"], ids=["ours", "Arrow's"]
)
def test_readers_are_made_without_the_lock_that_opening_needs(scanner: str) -> None:
    # With Arrow's own method and threads, one in a hundred blocks for ever.
    code = f"""
import threading
threading.Thread(target=lambda: [sum(range(100)) for _ in iter(int, 1)], daemon=True).start()
dataset = chosen.scan(refs[:12], ds.Dataset)
for _ in range(120):
    next({scanner}.to_reader())
import os
os._exit(0)
"""
    assert run(code, "parquet", "large", "loop").returncode == 0


def test_scans_after_the_end_are_refused() -> None:
    code = """
from dagster_buckets.errors import StoreUnavailableError
from dagster_buckets.formats import leaving
dataset = chosen.scan(refs, ds.Dataset)
leaving._wait()
try:
    dataset.to_table()
except StoreUnavailableError as error:
    print(error.hint)
"""
    ended = run(code, "parquet", "small", "refused")
    assert "read the scan to its end" in ended.stdout, ended.stderr
