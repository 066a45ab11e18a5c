"""Outputs that are streams of rows or files, and inputs that ask for them, in real runs."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from dagster_buckets import BucketIOManager, EncodeError, PartitionError, PartitionStream

from tests.integration.support import keys, materialized, ranged, raw, run
from tests.unit.test_projection import table_of

TWO_BACKENDS = pytest.mark.parametrize("make_manager", ["memory", "gcs"], indirect=True)
LETTERS = dg.StaticPartitionsDefinition(["a", "b"])
SINGLE = dg.BackfillPolicy.single_run()
BOTH = ranged("a", "b")


def rows(count: int) -> pa.Table:
    return pa.table({"n": list(range(count)), "s": ["x"] * count})


def reader(table: pa.Table) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=2)

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def relation(table: pa.Table) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(table)


def lazy(table: pa.Table) -> pl.LazyFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


STREAMS: list[tuple[Any, Callable[[pa.Table], Any]]] = [
    (pa.RecordBatchReader, reader),
    (pl.LazyFrame, lazy),
    (pads.Dataset, pads.dataset),
    (duckdb.DuckDBPyRelation, relation),
]
EACH_STREAM = pytest.mark.parametrize(
    ("cls", "make"), STREAMS, ids=[cls.__name__ for cls, _ in STREAMS]
)


def producer(
    annotation: Any, make: Callable[[dg.AssetExecutionContext], Any], **options: Any
) -> Any:
    """An asset ``value`` that says that it returns this."""

    def value(context: dg.AssetExecutionContext) -> Any:
        return make(context)

    if annotation is None:
        del value.__annotations__["return"]
    else:
        value.__annotations__["return"] = annotation
    return dg.asset(**options)(value)


def load(
    manager: BucketIOManager,
    asset: Any,
    annotation: Any,
    look: Callable[[Any], Any],
    **options: Any,
) -> Any:
    """What a consumer with this annotation sees; Dagster's type check of it succeeds."""
    seen: list[Any] = []

    def consumer(value: Any) -> None:
        seen.append(look(value))

    consumer.__annotations__["value"] = annotation
    made = dg.asset(**options.pop("of_consumer", {}))(consumer)
    result = run([asset, made], manager, selection=[made], **options)
    (check,) = [
        event.step_input_data.type_check_data
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.STEP_INPUT
    ]
    assert check
    assert check.success
    return seen[0]


# -- streams of rows -------------------------------------------------------------------------------


@EACH_STREAM
@pytest.mark.parametrize("says", ["a class", "nothing"])
@TWO_BACKENDS
def test_a_stream_of_rows_is_an_output(
    manager: BucketIOManager, cls: Any, make: Any, says: str
) -> None:
    table = rows(5)
    asset = producer(cls if says == "a class" else None, lambda _: make(table))
    (event,) = materialized(run([asset], manager))
    assert keys(manager) == ["value/data.parquet"]
    assert event.metadata["dagster/row_count"] == 5
    columns = event.metadata["dagster/column_schema"].columns
    assert [(c.name, c.type.removeprefix("large_")) for c in columns] == [
        ("n", "int64"),
        ("s", "string"),
    ]
    assert event.metadata["dagster_buckets/compression"] == "zstd"
    found = load(manager, asset, cls, lambda value: table_of(value).to_pydict())
    assert found == table.to_pydict()


@EACH_STREAM
def test_a_stream_of_rows_in_every_format_of_tables(
    memory: BucketIOManager, cls: Any, make: Any
) -> None:
    for name in ("arrow", "csv", "ndjson"):
        metadata = {"dagster_buckets/format": name, "dagster_buckets/compression": "zstd"}
        asset = producer(cls, lambda _: make(rows(3)), metadata=metadata)
        (event,) = materialized(run([asset], memory))
        assert event.metadata["dagster/row_count"] == 3
        assert event.metadata["dagster_buckets/compression"] == "zstd"
        assert load(memory, asset, pa.Table, table_of).num_rows == 3


@EACH_STREAM
@TWO_BACKENDS
def test_streams_of_rows_for_the_partitions_of_one_run(
    manager: BucketIOManager, cls: Any, make: Any
) -> None:
    def by_key(context: dg.AssetExecutionContext) -> dict[str, Any]:
        return {key: make(rows(ord(key) - 96)) for key in context.partition_keys}

    def streamed(context: dg.AssetExecutionContext) -> Any:
        return PartitionStream((key, value) for key, value in by_key(context).items())

    options: dict[str, Any] = {"partitions_def": LETTERS, "backfill_policy": SINGLE}
    for annotation, of_run in [(dict[str, cls], by_key), (PartitionStream[cls], streamed)]:
        asset = producer(annotation, of_run, **options)
        events = materialized(run([asset], manager, tags=BOTH))
        counts = {e.partition: e.metadata["dagster/partition_row_count"] for e in events}
        assert counts == {"a": 1, "b": 2}
        assert all(len(e.metadata["dagster/column_schema"].columns) == 2 for e in events)
    assert sorted(table_of(load(manager, asset, pa.Table, table_of))["n"].to_pylist()) == [0, 0, 1]
    parts = load(
        manager, asset, dict[str, cls], lambda v: {k: table_of(p).num_rows for k, p in v.items()}
    )
    assert parts == {"a": 1, "b": 2}


def test_a_lazy_frame_that_fails_leaves_the_old_value(memory: BucketIOManager) -> None:
    def lazily(limit: int) -> pl.LazyFrame:
        def check(value: int) -> int:
            if value == limit:
                msg = "half-way"
                raise LookupError(msg)
            return value

        frame = pl.LazyFrame({"n": range(200_000)})
        return frame.select(pl.col("n").map_elements(check, return_dtype=pl.Int64))

    run([producer(pl.LazyFrame, lambda _: lazily(-1).head(10))], memory)
    before = raw(memory, "value/data.parquet")
    with pytest.raises(Exception, match="half-way"):
        run([producer(pl.LazyFrame, lambda _: lazily(150_000))], memory)
    assert keys(memory) == ["value/data.parquet"]
    assert raw(memory, "value/data.parquet") == before


@TWO_BACKENDS
def test_a_reader_that_fails_half_way_leaves_the_old_value(manager: BucketIOManager) -> None:
    table = pa.table({"n": [bytes([n]) * 1000 for n in range(100)]})

    def failing() -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield from table.to_batches()
            msg = "half-way"
            raise LookupError(msg)

        return pa.RecordBatchReader.from_batches(table.schema, batches())

    options: dict[str, Any] = {"partitions_def": LETTERS, "backfill_policy": SINGLE}
    cls: Any = pa.RecordBatchReader
    run([producer(dict[str, cls], lambda _: {k: reader(rows(3)) for k in "ab"}, **options)],
        manager, tags=BOTH)  # fmt: skip
    before = raw(manager, "value/partition=b/data.parquet")
    asset = producer(dict[str, cls], lambda _: {"a": reader(rows(4)), "b": failing()}, **options)
    with pytest.raises(PartitionError, match="1 of 2 partitions could not be written") as caught:
        run([asset], manager, tags=BOTH)
    assert caught.value.succeeded == ("a",)
    assert raw(manager, "value/partition=b/data.parquet") == before
    assert table_of(load(manager, asset, pa.Table, table_of)).num_rows == 4 + 3


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report é.txt"
    path.write_bytes(b"all is well\n" * 1000)
    return path


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Any]]:
    """Opens files that the test closes: a write reads them, and leaves them to whom they belong."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(path.open("rb"))


def bytes_of(value: Any) -> bytes:
    return value.read_bytes() if isinstance(value, Path) else bytes(value.read())


@TWO_BACKENDS
def test_a_path_is_an_output_and_comes_back(manager: BucketIOManager, report: Path) -> None:
    data = report.read_bytes()
    asset = producer(Path, lambda _: report)
    (event,) = materialized(run([asset], manager))
    assert keys(manager) == ["value/data.file"]
    assert event.metadata["dagster_buckets/size_bytes"] == len(data)
    assert "dagster_buckets/compression" not in event.metadata

    def look(path: Path) -> Any:
        assert isinstance(path, Path)
        return path.name, path.read_bytes(), path != report

    for annotation in (Path, Path | None, Optional[Path], None):  # noqa: UP045
        annotated = Any if annotation is None else annotation
        assert load(manager, asset, annotated, look) == (report.name, data, True)
    for file in (io.BufferedIOBase, io.BufferedReader):
        assert load(manager, asset, file, bytes_of) == data


@TWO_BACKENDS
def test_an_open_file_is_an_output(
    manager: BucketIOManager, report: Path, opened: Callable[[Path], Any]
) -> None:
    data = report.read_bytes()
    asset = producer(io.BufferedIOBase, lambda _: opened(report))
    run([asset], manager)
    assert keys(manager) == ["value/data.bin"]
    assert raw(manager, "value/data.bin") == data
    assert load(manager, asset, io.BufferedIOBase, bytes_of) == data
    assert load(manager, asset, bytes, bytes) == data


@pytest.mark.parametrize("kind", ["path", "open"])
@TWO_BACKENDS
def test_files_for_the_partitions_of_one_run(
    manager: BucketIOManager, tmp_path: Path, kind: str, opened: Callable[[Path], Any]
) -> None:
    cls: Any = Path if kind == "path" else io.BufferedIOBase

    def by_key(context: dg.AssetExecutionContext) -> dict[str, Any]:
        for key in context.partition_keys:
            (tmp_path / f"{key}.txt").write_text(f"of {key}")
        paths = {key: tmp_path / f"{key}.txt" for key in context.partition_keys}
        return paths if kind == "path" else {key: opened(path) for key, path in paths.items()}

    def streamed(context: dg.AssetExecutionContext) -> Any:
        return PartitionStream((key, value) for key, value in by_key(context).items())

    options: dict[str, Any] = {"partitions_def": LETTERS, "backfill_policy": SINGLE}
    for annotation, of_run in [(dict[str, cls], by_key), (PartitionStream[cls], streamed)]:
        asset = producer(annotation, of_run, **options)
        assert len(materialized(run([asset], manager, tags=BOTH))) == 2
    expected = {"a": b"of a", "b": b"of b"}
    item: Any
    for item in {cls, io.BufferedIOBase}:
        found = load(
            manager, asset, dict[str, item], lambda v: {k: bytes_of(p) for k, p in v.items()}
        )
        assert found == expected
        stream = load(
            manager, asset, PartitionStream[item], lambda v: {k: bytes_of(p) for k, p in v}
        )
        assert stream == expected
        listed = load(manager, asset, list[item], lambda v: [bytes_of(p) for p in v])
        assert listed == list(expected.values())
        with pytest.raises(PartitionError, match="cannot be one"):
            load(manager, asset, item, bytes_of)
    of_consumer = {"partitions_def": LETTERS}
    for annotation in (cls, cls | None):
        one = load(manager, asset, annotation, bytes_of, of_consumer=of_consumer, partition_key="b")
        assert one == b"of b"


def test_a_missing_file_is_none_where_that_is_allowed(memory: BucketIOManager) -> None:
    asset = producer(Path, lambda _: Path("never"))
    assert load(memory, asset, Path | None, lambda value: value is None)


def test_a_path_of_nothing_fails_and_leaves_the_old_value(
    memory: BucketIOManager, report: Path
) -> None:
    run([producer(Path, lambda _: report)], memory)
    with pytest.raises(EncodeError, match="does not exist"):
        run([producer(Path, lambda _: report.parent / "no such file")], memory)
    assert raw(memory, "value/data.file") == report.read_bytes()
