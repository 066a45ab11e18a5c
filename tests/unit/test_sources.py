from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import EncodeError, ObjectNotFoundError
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.sources import batches_of, gathered
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.objects import Body
from dagster_buckets.plugins import get_format
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.testing.formats import assert_same, payload_of
from dagster_buckets.values import ValueStore

A = AssetAddress.of(["stream"])
TABLE = pa.table({"n": list(range(1000)), "s": [f"row {i}" for i in range(1000)]})


class Foreign:
    """A class of a library that nobody here knows."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return TABLE.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]


STREAMS: dict[str, tuple[Callable[[], Any], type]] = {
    "reader": (lambda: TABLE.to_reader(100), pa.Table),
    "dataset": (lambda: ds.dataset(TABLE), pa.Table),
    "LazyFrame": (lambda: pl.DataFrame(TABLE).lazy(), pl.DataFrame),
    "relation": (lambda: duckdb.connect().from_arrow(TABLE), pa.Table),
    "foreign": (Foreign, pa.Table),
}


@pytest.fixture
def values(request: pytest.FixtureRequest) -> ValueStore:
    return ValueStore(MemoryStore(request.node.name), HiveLayout())


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@pytest.mark.parametrize("kind", STREAMS)
def test_streams_are_written(values: ValueStore, kind: str, name: str) -> None:
    make, comes_back = STREAMS[kind]
    stored = values.write(A, make(), format_name=name)
    assert stored.description.rows == 1000
    assert stored.description.columns is not None
    assert [column.name for column in stored.description.columns] == ["n", "s"]
    # It ended within one request, so it has a digest, as everything that is held.
    assert stored.info.header is not None
    assert stored.info.header.digest
    assert type(values.read(A)) is comes_back
    assert values.read(A, pa.Table).to_pydict() == TABLE.to_pydict()


@pytest.mark.parametrize("kind", STREAMS)
def test_auto_takes_streams_for_frames(values: ValueStore, kind: str) -> None:
    assert values.write(A, STREAMS[kind][0]()).format == "parquet"


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_streams_without_rows_keep_their_columns(values: ValueStore, name: str) -> None:
    for empty in (
        TABLE.slice(0, 0).to_reader(),
        pl.DataFrame(TABLE).lazy().filter(pl.lit(value=False)),
    ):
        stored = values.write(A, empty, format_name=name)
        assert stored.description.rows == 0
        assert values.read(A, pa.Table).schema.names == ["n", "s"]


@pytest.mark.parametrize("value", [TABLE, TABLE.to_batches()[0], pl.DataFrame(TABLE), TABLE.to_pandas(), 1, "x", None, pl.Series([1])])  # fmt: skip
def test_what_holds_its_rows_is_no_stream(value: Any) -> None:
    assert batches_of(value) is None


def test_batches_become_groups_of_rows() -> None:
    body = ParquetFormat(row_group_size=300).encode(TABLE.to_reader(70))
    import pyarrow.parquet as pq

    footer = pq.read_metadata(pa.BufferReader(b"".join(body)))
    assert [footer.row_group(i).num_rows for i in range(4)] == [300, 300, 300, 100]
    wide = pa.record_batch({"s": ["x" * 1024 * 1024] * 200})
    assert [sum(b.num_rows for b in group) for group in gathered([wide] * 2, 150)][:2] == [
        150,
        50 + 100,
    ]


def test_wide_rows_do_not_wait() -> None:
    batch = pa.record_batch({"s": ["x" * 40_000_000]})
    assert [len(group) for group in gathered([batch] * 4, 100_000)] == [2, 2]


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_an_exception_half_way_leaves_the_old_value(values: ValueStore, name: str) -> None:
    class OwnError(Exception):
        pass

    def breaks() -> Iterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        raise OwnError

    values.write(A, TABLE, format_name=name)
    with pytest.raises(OwnError):
        values.write(A, pa.RecordBatchReader.from_batches(TABLE.schema, breaks()), format_name=name)
    assert values.read(A, pa.Table).num_rows == 1000
    with pytest.raises(pl.exceptions.PolarsError):
        values.write(
            A, pl.LazyFrame({"a": ["x"]}).select(pl.col("a").str.to_integer()), format_name=name
        )
    assert values.read(A, pa.Table).num_rows == 1000


def test_dictionaries_of_a_stream(values: ValueStore) -> None:
    coded = [pa.table({"c": pa.array(c).dictionary_encode()}) for c in (["a", "b"], ["b", "c"])]
    batches = [table.to_batches()[0] for table in coded]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    values.write(A, reader)
    assert values.read(A, pa.Table).column("c").to_pylist() == ["a", "b", "b", "c"]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    with pytest.raises(EncodeError, match="column 'c'") as caught:
        values.write(A, reader, format_name="arrow")
    assert "parquet" in str(caught.value.hint)
    # A table has all of them at once.
    whole = pa.concat_tables(coded)
    assert (
        get_format("arrow").decode(payload_of(get_format("arrow").encode(whole)), None).to_pydict()
        == whole.to_pydict()
    )


def test_twice_the_same_name() -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    for name in ("parquet", "arrow"):
        with pytest.raises(EncodeError, match="must be unique"):
            get_format(name).encode(twice.to_reader())


# -- files ----------------------------------------------------------------------------------------


def test_a_file_is_written_as_it_is_and_comes_back_by_its_name(
    values: ValueStore, tmp_path: Path
) -> None:
    report = tmp_path / "räport 1.pdf"
    report.write_bytes(b"%PDF" * 1000)
    stored = values.write(A, report)
    assert (stored.format, stored.info.size) == ("file", 4000)
    assert bytes(values.store.get(stored.info.key).data) == report.read_bytes()
    for _ in range(2):
        found = values.read(A)
        assert_same(found, report)
        assert found != report
        assert found.stat().st_mode & 0o077 == 0 or found.parent.stat().st_mode & 0o077 == 0
    with values.read(A, io.BufferedIOBase) as file:
        assert file.read() == report.read_bytes()


@pytest.mark.parametrize(
    "name", ["../../escaped", "/etc/passwd", "..", ".", "", "a\0b", "x\\y", "n" * 300, "\ud800"]
)
def test_names_in_a_header_lead_nowhere(name: str) -> None:
    from dataclasses import replace

    payload = payload_of(Body.of(b"data"))
    assert payload.info.header is not None
    info = replace(payload.info, header=replace(payload.info.header, filename=name))
    found: Path = get_format("file").decode(replace(payload, info=info), None)
    assert found.read_bytes() == b"data"
    assert found.resolve().parent == found.parent
    assert found.parent.name.startswith("tmp")
    assert found.parent.parent.name.startswith("dagster-buckets-")
    assert [file.name for file in found.parent.iterdir()] == [found.name]


def test_temporary_files_go_with_the_process() -> None:
    code = """
from dagster_buckets.plugins import get_format
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of
path = get_format("file").decode(payload_of(Body.of(b"data")), None)
print(path.parent.parent)
assert path.exists()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    folder = Path(ended.stdout.strip())
    assert folder.name.startswith("dagster-buckets-")
    assert not folder.exists()


def test_temporary_files_stay_when_a_fork_of_the_process_ends() -> None:
    code = """
import os, sys
from dagster_buckets.plugins import get_format
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of
path = get_format("file").decode(payload_of(Body.of(b"data")), None)
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
print(path.read_text())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ended.stdout.strip() == "data"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_object_that_ends_early_is_no_end_of_a_file(*, streamed: bool) -> None:
    from dagster_buckets.errors import IntegrityError
    from dagster_buckets.formats.downloads import VerifiedReader

    info = payload_of(Body(iter([b"data"])) if streamed else Body.of(b"data")).info
    with io.BufferedReader(VerifiedReader(io.BytesIO(b"data"), info)) as file:
        assert file.read() == b"data"
    with (
        io.BufferedReader(VerifiedReader(io.BytesIO(b"dat"), info)) as file,
        pytest.raises(IntegrityError, match="came as 3 bytes instead of 4"),
    ):
        file.read()


def test_a_reader_that_jumps_is_not_told_that_the_bytes_are_others() -> None:
    from dagster_buckets.errors import IntegrityError
    from dagster_buckets.formats.downloads import VerifiedReader

    info = payload_of(Body.of(b"data")).info
    with VerifiedReader(io.BytesIO(b"data"), info) as file:
        file.seek(2)
        assert file.read(2) == b"ta"
    damaged = io.BytesIO(b"datb")
    with VerifiedReader(damaged, info) as file:
        # Where it is already: nothing is left out.
        file.seek(0)
        with pytest.raises(IntegrityError, match="digest"):
            file.read(4)
    assert damaged.closed


def test_digests_that_are_not_ours_are_not_compared() -> None:
    from dataclasses import replace

    from dagster_buckets.formats.downloads import VerifiedReader

    info = payload_of(Body.of(b"data")).info
    assert info.header is not None
    info = replace(info, header=replace(info.header, digest="sha3:1234"))
    with VerifiedReader(io.BytesIO(b"data"), info) as file:
        assert file.read() == b"data"


def test_a_download_that_does_not_verify_is_tried_again() -> None:
    from dagster_buckets.formats.downloads import download
    from dagster_buckets.references import ObjectRef
    from dagster_buckets.stores.memory import MemoryStore

    class Flaky(MemoryStore):
        opened = 0

        def open(self, key, version=None):  # type: ignore[no-untyped-def]
            self.opened += 1
            return io.BytesIO(b"datb") if self.opened == 1 else super().open(key, version)

    store = Flaky("flaky")
    found = download(ObjectRef(store.put("x", Body.of(b"data")), store))
    assert (found.read_bytes(), store.opened) == (b"data", 2)


def test_a_file_that_changes_while_it_is_read(values: ValueStore, tmp_path: Path) -> None:
    growing = tmp_path / "growing"
    growing.write_bytes(b"x" * 10)
    values.write(A, growing)
    body = get_format("file").encode(growing)
    stream = iter(body)
    next(stream)
    with growing.open("ab") as file:
        file.write(b"more")
    with pytest.raises(EncodeError, match="was changed while it was read"):
        list(stream)


def test_binary_files_are_written_from_where_they_are(values: ValueStore, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(4)
        assert values.write(A, file).format == "bytes"
    assert values.read(A) == b"456789"
    for mode in ("wb", "ab"):
        with (
            (tmp_path / "other").open(mode) as file,
            pytest.raises(EncodeError, match="not open for reading"),
        ):
            values.write(A, file)
    with path.open("rb") as file:
        file.read()
        with pytest.raises(EncodeError, match="at its end") as caught:
            values.write(A, file)
        assert "seek(0)" in str(caught.value.hint)
    assert values.read(A) == b"456789"
    values.write(A, io.BytesIO())
    assert values.read(A) == b""


@pytest.mark.parametrize("name", ["file", "bytes"])
def test_a_large_object_is_read_as_it_is_needed_and_verified(
    values: ValueStore, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_buckets.errors import IntegrityError
    from dagster_buckets.formats import bytes as bytes_format
    from dagster_buckets.formats import file as file_format

    for module in (bytes_format, file_format):
        monkeypatch.setattr(module, "_ONE_REQUEST", 1000)
    data = os.urandom(5000)
    source = tmp_path / "data.bin"
    source.write_bytes(data)
    values.write(A, source if name == "file" else data, format_name=name)
    with values.read(A, io.BufferedIOBase, format_name=name) as file:
        assert isinstance(file, io.BufferedReader)
        assert file.read(100) == data[:100]
        file.seek(-10, 2)
        assert file.read() == data[-10:]
    with values.read(A, io.BufferedIOBase, format_name=name) as file:
        assert file.read() == data
    key = f"stream/data.{get_format(name).extension}"
    full = values.store.get(key)
    damaged = bytes(full.data[:-1]) + bytes([full.data[-1] ^ 1])
    values.store._space.objects[key] = (damaged, full.info)  # type: ignore[attr-defined]
    with (
        values.read(A, io.BufferedIOBase, format_name=name) as file,
        pytest.raises(IntegrityError, match="digest"),
    ):
        file.read()
    if name == "file":
        with pytest.raises(IntegrityError, match="digest"):
            values.read(A)
    values.store.delete([key])
    with pytest.raises(ObjectNotFoundError):
        values.read(A, io.BufferedIOBase, format_name=name)
