"""Large values: what is not copied, and what is on the disk instead."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dagster_buckets import Body, EncodeError, Header
from dagster_buckets.buffers import writable
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.sources import spooled
from dagster_buckets.objects import Repeatable, digest_of
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets_local import LocalStore

MIB = 1024 * 1024


def test_arrow_files_are_made_of_the_tables_own_buffers() -> None:
    columns = [np.random.default_rng(n).random(100_000) for n in range(3)]
    body = ArrowIPCFormat().encode(
        pa.table([pa.array(column) for column in columns], names=["a", "b", "c"])
    )
    assert body.held is not None
    pieces = [np.frombuffer(piece, np.uint8) for piece in body.held]
    for column in columns:
        assert any(np.shares_memory(column, piece) for piece in pieces)
    # The rest is small, and there are not many of them.
    assert len(pieces) <= 2 * len(columns) + 1


def test_arrow_takes_large_memory_as_it_is_and_copies_small() -> None:
    large, small = writable(20 * MIB), writable(1000)
    large[:3] = small[:3] = b"abc"
    assert arrow_buffer(large).address == arrow_buffer(large).address
    assert arrow_buffer(small).address != arrow_buffer(small).address
    part = arrow_buffer(large[:1000])
    assert part.size == 1000
    assert part.to_pybytes()[:3] == b"abc"


def test_large_tables_become_parquet_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = 17 * MIB
    table = pa.table(
        {"n": pa.array(np.arange(rows) // 1000), "x": pa.array(np.arange(rows) % 7, pa.int8())}
    )
    body = ParquetFormat().encode(table)
    assert body.held is None
    assert not list(tmp_path.iterdir())
    once, again = b"".join(body), b"".join(body)
    assert once == again
    assert body.known == (len(once), digest_of([once]))
    store = MemoryStore("large")
    info = store.put("x", body, header=Header())
    assert info.header is not None
    assert info.header.digest == digest_of([once])
    found = ParquetFormat().decode(store.get("x"), pa.Table)
    assert found.equals(table)
    assert body.description is not None
    assert body.description(0).rows == rows


def test_the_groups_are_those_of_a_table_in_memory() -> None:
    import pyarrow.parquet as pq

    rows = 17 * MIB
    small = ParquetFormat(row_group_size=10_000).encode(pa.table({"n": range(25_000)}))
    large = ParquetFormat(row_group_size=3 * MIB).encode(pa.table({"n": pa.array(np.zeros(rows))}))
    for body, sizes in ((small, [10_000, 10_000, 5_000]), (large, [3 * MIB] * 5 + [2 * MIB])):
        footer = pq.ParquetFile(pa.BufferReader(b"".join(body))).metadata
        assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == sizes


def test_a_full_disk_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dagster_buckets.formats.sources.os.write", full)
    with pytest.raises(EncodeError, match=r"No space left on device(.|\n)*TMPDIR"):
        spooled([b"x"])


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_what_is_spooled_closes_its_file() -> None:
    before = _open_files()
    bodies = [spooled([b"x" * 1000]) for _ in range(10)]
    assert _open_files() == before + 10
    del bodies
    assert _open_files() == before


def test_a_stream_that_can_be_repeated_can_be_begun_and_repeated() -> None:
    begun = 0

    def make() -> Iterator[bytes]:
        nonlocal begun
        begun += 1
        yield from (b"one", b"two", b"three")

    body = Body(Repeatable(make)).settled(4)
    assert body.repeatable
    assert (b"".join(body), begun) == (b"onetwothree", 1)
    assert (b"".join(body), begun) == (b"onetwothree", 2)
    assert Body(Repeatable(make)).settled(100).held == (b"onetwothree",)
    assert not Body(iter([b"one"])).repeatable
    assert Body.of(b"one").repeatable


def test_what_is_known_to_be_large_is_not_begun() -> None:
    begun: list[int] = []

    def stream() -> Iterator[bytes]:
        begun.append(1)
        yield b"x" * 100

    body = Body(stream(), known=(100, "xxh3-128:0"))
    assert body.settled(99) is body
    assert not begun
    assert body.settled(100).held == (b"x" * 100,)


def test_large_local_files_are_mapped_and_stay_what_they_were(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, new = os.urandom(20 * MIB), os.urandom(20 * MIB)
    store.put("x", Body.of(old))
    payload = store.get("x")
    assert isinstance(memoryview(payload.data).obj, pa.Buffer)
    store.put("x", Body.of(new))
    assert bytes(payload.data) == old
    assert bytes(store.get("x").data) == new
    store.delete(["x"])
    assert bytes(payload.data) == old


def test_small_local_files_are_not_mapped(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("x", Body.of(b"small"))
    assert store.get("x").data == b"small"
    assert isinstance(store.get("x").data, bytes)
