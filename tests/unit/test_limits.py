from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster_buckets import MemoryIOManager
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.ipc_limits import check_messages
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.parquet_limits import read_bounded
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of

MIB = 1024**2
GIB = 1024**3
N = 20_000_000
TEXT = "x" * 10_000

#: Tables of 100 MiB and more whose Parquet files have a few KiB, made in a process of its own.
BOMBS = {
    "equal numbers": "pa.table({'n': np.zeros(20_000_000)})",
    "nulls": "pa.table({'n': pa.nulls(20_000_000, pa.int64())})",
    "one long text": "pa.table({'s': texts})",
    "lists of numbers": "pa.table({'l': pa.ListArray.from_arrays(pa.array(np.arange(0, 20_000_001, 10), pa.int32()), pa.array(np.zeros(20_000_000)))})",
    "lists of a text": "pa.table({'l': pa.ListArray.from_arrays(pa.array(np.arange(0, 200_001, 10), pa.int32()), texts)})",
    "a text in a struct": "pa.table({'s': pa.StructArray.from_arrays([texts], names=['t'])})",
    "binary": "pa.table({'s': pa.DictionaryArray.from_arrays(texts.indices, pa.array([b'x' * 10_000]))})",
}  # fmt: skip

MAKE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["x" * 10_000]))
for name, table in {bombs}.items():
    # Without Arrow's own schema, which would keep the dictionaries.
    pq.write_table(eval(table), f"{{sys.argv[1]}}/{{name}}", store_schema=False)
"""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bombs")
    code = MAKE.format(bombs=repr(BOMBS))
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)  # noqa: S603 - our own
    return folder


@pytest.mark.parametrize("name", BOMBS)
def test_a_parquet_bomb_is_refused_before_it_is_decoded(name: str, bombs: Path) -> None:
    data = (bombs / name).read_bytes()
    payload = payload_of(Body.of(data))
    assert len(data) < MIB
    limit = Limit(max_bytes=100 * MIB)
    before, pool = pa.total_allocated_bytes(), pa.default_memory_pool()
    peak = pool.max_memory() or 0
    with pytest.raises(DecodeError, match="becomes more than 104,857,600") as caught:
        ParquetFormat(limit=limit).decode(payload, pa.Table)
    assert "max_decoded_bytes" in str(caught.value.hint)
    assert "memory://" in str(caught.value)
    assert (pool.max_memory() or 0) <= max(peak, before + 100 * MIB)


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
def test_an_arrow_bomb_is_refused_before_it_is_unpacked(codec: str) -> None:
    chosen: Any = Formats({"arrow": {"compression": codec}}).named("arrow")
    columns: dict[str, Any] = {
        "n": np.zeros(2_000_000),
        "s": pa.array(["ab", None] * 1_000_000).dictionary_encode(),
        "t": pa.array(["x" * 1000] * 1000 + [None] * 1_999_000),
    }
    table = pa.table(columns)
    payload = payload_of(chosen.encode(table))
    assert codec == "none" or payload.info.size < table.nbytes / 100
    found: list[int] = []
    check_messages(pa.py_buffer(bytes(payload.data)), found.append)
    assert table.nbytes <= found[-1] <= table.nbytes * 1.05
    pool = pa.default_memory_pool()
    before, peak = pa.total_allocated_bytes(), pool.max_memory() or 0
    with pytest.raises(DecodeError, match="becomes more than 10,485,760"):
        ArrowIPCFormat(limit=Limit(max_bytes=10 * MIB)).decode(payload, pa.Table)
    assert (pool.max_memory() or 0) <= max(peak, before + 20 * MIB + payload.info.size)
    assert ArrowIPCFormat().decode(payload, pa.Table).equals(table)


def test_ordinary_tables_are_not_refused() -> None:
    rows = 200_000
    table = pa.table(
        {
            "n": pa.array(np.arange(rows)),
            "id": [f"{i:036}" for i in range(rows)],
            "kind": ["one", "two"] * (rows // 2),
            "tags": [["a", "b"]] * rows,
            "none": pa.nulls(rows),
            "at": pa.array(np.arange(rows), pa.timestamp("us")),
        }
    )
    size = table.nbytes
    payload = payload_of(ParquetFormat().encode(table))
    assert ParquetFormat().decode(payload, pa.Table).equals(table)
    # With a limit that the quick check does not pass, but the table does.
    exact = ParquetFormat(limit=Limit(max_bytes=int(size * 1.5)))
    assert exact.decode(payload, pa.Table).equals(table)
    with pytest.raises(DecodeError):
        ParquetFormat(limit=Limit(max_bytes=size // 3)).decode(payload, pa.Table)


def test_long_texts_that_differ_count_group_by_group() -> None:
    # 1,000 texts of which the longest is 100 times the others: bounded by the longest it would be
    # refused, so it is read.
    texts = ["x" * 100] * 999 + ["y" * 10_000]
    table = pa.table({"s": pa.array(texts).dictionary_encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False)
    payload = payload_of(Body.of(sink.getvalue()))
    assert ParquetFormat(limit=Limit(max_bytes=20 * MIB)).decode(payload, pa.Table).num_rows == 1000


def test_what_is_allowed() -> None:
    assert Limit().allowed(0) == GIB
    assert Limit().allowed(GIB) == 100 * GIB
    assert Limit(max_expansion=2.0).allowed(GIB) == 2 * GIB
    assert Limit(max_bytes=10).allowed(GIB) == 10
    Limit().check(GIB, 1, "u")
    with pytest.raises(DecodeError):
        Limit().check(GIB + 1, 1, "u")


def test_a_manager_sets_the_limit() -> None:
    manager = MemoryIOManager(max_decoded_bytes=1000, max_expansion=3.0)
    made: Any = manager.values.formats.named("parquet")
    assert made.limit == Limit(1000, 3.0)
    assert Formats().named("parquet").limit == Limit()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        MemoryIOManager(max_decoded_bytes=0)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[0] * 2_000_000], pa.list_(pa.int32())),
        pa.array([["x" * 50] * 200_000]),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2_000_000)), 2_000_000),
    ],
    ids=["numbers", "texts", "fixed size"],
)
def test_one_row_can_be_a_bomb(column: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"l": column}), sink)
    payload = payload_of(Body.of(sink.getvalue()))
    with pytest.raises(DecodeError, match="becomes more than"):
        ParquetFormat(limit=Limit(max_bytes=MIB)).decode(payload, pa.Table)


def test_texts_whose_dictionaries_arrow_does_not_tell() -> None:
    # Written as deltas, or not at all: neither has a dictionary to look at.
    texts = pa.table({"s": ["x" * 1000 + str(i) for i in range(2000)], "t": ["y" * 100] * 2000})
    sink = io.BytesIO()
    encodings: Any = {"use_dictionary": ["t"], "column_encoding": {"s": "DELTA_BYTE_ARRAY"}}
    with pq.ParquetWriter(sink, texts.schema, **encodings) as writer:
        writer.write_table(texts.slice(0, 0))
        writer.write_table(texts)
    payload = payload_of(Body.of(sink.getvalue()))
    limit = Limit(max_bytes=4 * MIB)
    assert ParquetFormat(limit=limit).decode(payload, pa.Table).equals(texts)


def test_what_the_footer_tells_is_refused_before_it_is_read() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": pa.array(np.zeros(200_000))}), sink)
    file = pq.ParquetFile(sink)
    sizes: list[int] = []

    class RefusedError(Exception):
        pass

    def check(size: int) -> None:
        sizes.append(size)
        raise RefusedError

    before = pa.total_allocated_bytes()
    peak = pa.default_memory_pool().max_memory() or 0
    # As of a part of an object, which is not opened twice.
    with pytest.raises(RefusedError):
        read_bounded(file, 1000, check)
    assert sizes == [1_600_000]
    assert (pa.default_memory_pool().max_memory() or 0) <= max(peak, before + MIB)


def test_what_the_footer_does_not_tell_ends_after_a_group() -> None:
    sink = io.BytesIO()
    encoding: Any = {"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({"s": [TEXT] * 1000}), sink, row_group_size=250, **encoding)
    payload = payload_of(Body.of(sink.getvalue()))
    with pytest.raises(DecodeError, match="becomes more than"):
        ParquetFormat(limit=Limit(max_bytes=2 * MIB)).decode(payload, pa.Table)
