from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from dagster_buckets import MemoryIOManager
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.ipc_limits import check_messages
from dagster_buckets.formats.limits import Bound, Limit
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.parquet_limits import read_bounded
from dagster_buckets.objects import Body, Buffer, ObjectInfo
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.memory import MemoryStore
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


def ref_of(data: bytes) -> ObjectRef:
    store = Counting(f"limits-{len(data)}")
    return ObjectRef(store.put("x", Body.of(data)), store)


class Counting(MemoryStore):
    """Counts the bytes that are asked for."""

    fetched = 0
    opened = 0

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        self.fetched += stop - start
        return super().read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        self.opened += 1
        return super().open(key, version)


@pytest.mark.parametrize("name", BOMBS)
def test_a_parquet_bomb_of_which_a_column_is_wanted_is_refused(name: str, bombs: Path) -> None:
    ref = ref_of((bombs / name).read_bytes())
    (column,) = pq.read_schema(bombs / name).names
    before, pool = pa.total_allocated_bytes(), pa.default_memory_pool()
    peak = pool.max_memory() or 0
    part = ParquetFormat(limit=Limit(max_bytes=100 * MIB), columns=[column])
    with pytest.raises(DecodeError, match="becomes more than 104,857,600"):
        part.stream(ref, pa.Table)
    assert (pool.max_memory() or 0) <= max(peak, before + 100 * MIB)


@pytest.mark.parametrize("name", BOMBS)
def test_a_parquet_bomb_comes_in_small_batches_or_not_at_all(name: str, bombs: Path) -> None:
    ref = ref_of((bombs / name).read_bytes())
    before, pool = pa.total_allocated_bytes(), pa.default_memory_pool()
    peak = pool.max_memory() or 0
    # A group has 1,000,000 rows of numbers, or 200,000 of texts with 10,000 bytes.
    limit = Limit(max_bytes=16 * MIB)
    rows = 0
    reader = ParquetFormat(limit=limit).stream(ref, pa.RecordBatchReader)
    try:
        for batch in reader:
            assert batch.nbytes <= 16 * MIB
            rows += batch.num_rows
    except DecodeError as error:
        assert "list" in name  # one row can have all values of a group
        assert "becomes more than 16,777,216" in str(error)  # noqa: PT017 - one of two ways
        assert rows == 0
    else:
        assert rows == pq.read_metadata(bombs / name).num_rows
    assert (pool.max_memory() or 0) <= max(peak, before + 32 * MIB)


def test_one_row_of_a_stream_can_be_too_large() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"s": [TEXT] * 1000}), sink)
    reader = ParquetFormat(limit=Limit(max_bytes=12_000)).stream(
        ref_of(sink.getvalue()), pa.RecordBatchReader
    )
    with pytest.raises(DecodeError, match="becomes more than 12,000"):
        reader.read_next_batch()


@pytest.mark.parametrize("within", [str, lambda text: [text]], ids=["texts", "lists of texts"])
def test_one_long_text_among_many_short_ones_is_no_bomb(within: Callable[[str], Any]) -> None:
    texts = [within(text) for text in ["x" * 100_000, *["", "short"] * 50_000]]
    table = pa.table({"s": texts, "n": range(len(texts))})
    body = ParquetFormat().encode(table).joined()
    ref = ref_of(bytes(body))
    # By the longest text it would be 10 GB.
    for limit in (Limit(), Limit(max_bytes=4 * MIB)):
        assert ParquetFormat(limit=limit).decode(ref.get(), pa.Table).equals(table)
        part = ParquetFormat(limit=limit, columns=["s"])
        assert part.stream(ref, pa.Table).equals(table.select(["s"]))
    reader = ParquetFormat().stream(ref, pa.RecordBatchReader)
    assert reader.read_all().equals(table)


@pytest.mark.parametrize("as_type", [pa.Table, pa.RecordBatchReader])
def test_looking_first_fetches_nothing_twice(as_type: type) -> None:
    texts = ["x" * 1000, *(f"{hash((i, i)):040}" for i in range(20_000))]
    # More groups than are fetched at the same time.
    made = ParquetFormat(row_group_size=1000, compression="none")
    ref = ref_of(bytes(made.encode(pa.table({"s": texts, "t": texts})).joined()))
    assert ref.size > 10 * 64 * 1024
    store: Any = ref.store
    # By its footer a group can have 1,000 times 40,000 bytes.
    part = ParquetFormat(limit=Limit(max_bytes=4 * MIB), columns=["t"])
    found: Any = part.stream(ref, as_type)
    rows = found.num_rows if as_type is pa.Table else sum(batch.num_rows for batch in found)
    assert rows == len(texts)
    # One of the columns, and the footer.
    assert store.fetched <= ref.size / 2 + 2 * 64 * 1024
    assert store.opened == 0


@pytest.mark.parametrize("legacy", ["now", "before 0.15"])
@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
def test_a_stream_of_arrow_batches_is_refused_before_one_is_unpacked(
    codec: str, legacy: str
) -> None:
    texts = pa.array(["ab", None] * 500_000).dictionary_encode()
    table = pa.table({"n": pa.array(np.zeros(1_000_000)), "s": texts})
    sink = io.BytesIO()
    chosen: Any = None if codec == "none" else codec
    options = pa.ipc.IpcWriteOptions(compression=chosen, use_legacy_format=legacy != "now")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=250_000)
    ref = ref_of(sink.getvalue())
    store: Any = ref.store
    reader = ArrowIPCFormat(limit=Limit(max_bytes=6 * MIB)).stream(ref, pa.RecordBatchReader)
    assert reader.read_all().equals(table)
    assert store.fetched <= ref.size * 1.1
    assert store.opened == 0
    reader = ArrowIPCFormat(limit=Limit(max_bytes=2 * MIB)).stream(ref, pa.RecordBatchReader)
    pool = pa.default_memory_pool()
    before, peak = pa.total_allocated_bytes(), pool.max_memory() or 0
    with pytest.raises(DecodeError, match="becomes more than 2,097,152"):
        reader.read_next_batch()
    assert (pool.max_memory() or 0) <= max(peak, before + 2 * MIB + ref.size)


def test_dictionaries_count_with_every_batch_of_a_stream() -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([TEXT]))
    table = pa.table({"n": pa.array(np.zeros(1000)), "s": texts})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    ref = ref_of(sink.getvalue())
    # 10,000 bytes of the text, and 12,000 of the rows.
    for limit, refused in ((21_000, True), (24_000, False)):
        made = ArrowIPCFormat(limit=Limit(max_bytes=limit))
        with pytest.raises(DecodeError) if refused else nullcontext():
            made.stream(ref, pa.RecordBatchReader).read_all()


def test_a_damaged_arrow_file_is_no_stream() -> None:
    sink = io.BytesIO()
    table = pa.table({"n": pa.array(np.zeros(10_000))})
    with pa.ipc.new_file(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(table, max_chunksize=1000)
    whole = sink.getvalue()
    refused = 0
    for place in range(len(whole) - 700, len(whole)):
        for value in (0, 0x7F, 0xFF):
            data = bytearray(whole)
            data[place] = value
            try:
                reader = ArrowIPCFormat().stream(ref_of(bytes(data)), pa.RecordBatchReader)
                reader.read_all()
            except DecodeError:
                refused += 1
    assert refused > 500
    with pytest.raises(DecodeError):
        ArrowIPCFormat().stream(ref_of(whole[:-5]), pa.RecordBatchReader)


@pytest.mark.parametrize("cls", [ds.Dataset, pl.LazyFrame, duckdb.DuckDBPyRelation])
def test_a_scan_refuses_groups_that_its_footers_say_are_too_large(cls: type) -> None:
    table = pa.table(
        {"n": pa.array(np.zeros(1_000_000)), "flag": pa.array(np.zeros(1_000_000, bool))}
    )
    ref = ref_of(bytes(ParquetFormat(row_group_size=1_000_000).encode(table).joined()))
    limit = Limit(max_bytes=4 * MIB)
    with pytest.raises(DecodeError, match="becomes more than 4,194,304"):
        ParquetFormat(limit=limit).scan([ref], cls)
    ParquetFormat(limit=limit, columns=["flag"]).scan([ref], cls)
    small = ref_of(bytes(ParquetFormat(row_group_size=100_000).encode(table).joined()))
    ParquetFormat(limit=limit).scan([small], cls)


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
    data = pa.py_buffer(bytes(payload.data))
    check_messages(data, Bound(int(table.nbytes * 1.05), len(data), "u"))
    with pytest.raises(DecodeError):
        check_messages(data, Bound(table.nbytes - 1, len(data), "u"))
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


def never(**options: Any) -> Any:
    raise AssertionError(options)


def test_what_the_footer_tells_is_refused_before_it_is_read() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": pa.array(np.zeros(200_000))}), sink)
    file = pq.ParquetFile(sink)
    before = pa.total_allocated_bytes()
    peak = pa.default_memory_pool().max_memory() or 0
    with pytest.raises(DecodeError, match="u has 7 bytes and becomes more than 1,599,999 in"):
        read_bounded(file, Bound(1_599_999, 7, "u"), never)
    assert (pa.default_memory_pool().max_memory() or 0) <= max(peak, before + MIB)


def test_what_the_footer_does_not_tell_ends_after_a_group() -> None:
    sink = io.BytesIO()
    encoding: Any = {"use_dictionary": False, "column_encoding": {"s": "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({"s": [TEXT] * 1000}), sink, row_group_size=250, **encoding)
    payload = payload_of(Body.of(sink.getvalue()))
    with pytest.raises(DecodeError, match="becomes more than"):
        ParquetFormat(limit=Limit(max_bytes=2 * MIB)).decode(payload, pa.Table)
