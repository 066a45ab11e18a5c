"""Options of formats in real runs: where they are set, what wins, and what a load then gives."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from dagster._core.errors import DagsterInvalidMetadata
from dagster_buckets import (
    BucketIOManager,
    ConfigurationError,
    DecodeError,
    MemoryIOManager,
    UnsupportedTypeError,
    bucket_options,
)
from pydantic import ValidationError

from tests.integration.support import keys, materialized, plant, ranged, raw, run
from tests.unit.test_projection import table_of

TWO_BACKENDS = pytest.mark.parametrize("make_manager", ["memory", "s3"], indirect=True)
ROWS: dict[str, list[Any]] = {
    "k": [0, 1, 2, 3],
    "s": ["a", "b", "c", "d"],
    "x": [0.5, 1.5, 2.5, 3.5],
}
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c"])
GRID = dg.MultiPartitionsDefinition(
    {
        "region": dg.StaticPartitionsDefinition(["eu", "us"]),
        "day": dg.StaticPartitionsDefinition(["d1", "d2"]),
    }
)
SINGLE = dg.BackfillPolicy.single_run()
#: A ``RecordBatchReader`` has no rows any more when it was read.
FRAMES: list[type] = [
    pd.DataFrame, pl.DataFrame, pa.Table, pl.LazyFrame, pa.RecordBatchReader, pads.Dataset,
    duckdb.DuckDBPyRelation,
]  # fmt: skip
EACH_FRAME = pytest.mark.parametrize("cls", FRAMES, ids=lambda cls: cls.__name__)


def orders(metadata: Any = None, **options: Any) -> dg.AssetsDefinition:
    """An asset of four rows."""

    def orders() -> pa.Table:
        return pa.table(ROWS)

    made: dg.AssetsDefinition = dg.asset(metadata=metadata, **options)(orders)
    return made


def expressed(filters: Any, columns: list[str]) -> dg.AssetsDefinition:
    """The same asset with an expression, which Dagster takes for what it is until its 2.0."""
    with pytest.warns(DeprecationWarning, match="arbitrary metadata values"):
        return orders(bucket_options(filters=filters, columns=columns))


def rows_of(frame: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = table_of(frame).to_pydict()
    return found


def load(
    manager: BucketIOManager,
    asset: Any,
    annotation: Any,
    metadata: Any = None,
    *,
    look: Callable[[Any], Any] = rows_of,
    **options: Any,
) -> Any:
    """What a consumer with this annotation sees of an asset that is stored."""
    seen: list[Any] = []

    def consumer(value: Any) -> None:
        seen.append(look(value))

    consumer.__annotations__["value"] = annotation
    (key,) = [spec.key for spec in asset.specs]
    made = dg.asset(ins={"value": dg.AssetIn(key, metadata=metadata)})(consumer)
    run([asset, made], manager, selection=[made], **options)
    return seen[0]


# -- what is written -------------------------------------------------------------------------------


@TWO_BACKENDS
def test_an_assets_options_say_how_it_is_written(manager: BucketIOManager) -> None:
    metadata = bucket_options(
        format="parquet", compression="gzip", compression_level=3, row_group_size=3, columns=["s"]
    )
    asset = orders(metadata)
    (event,) = materialized(run([asset], manager))
    file = pq.ParquetFile(pa.BufferReader(raw(manager, "orders/data.parquet")))
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [3, 1]
    assert {group.column(0).compression for group in groups} == {"GZIP"}
    # What a load wants is no matter of the write.
    assert file.schema_arrow.names == ["k", "s", "x"]
    assert event.metadata["dagster/row_count"] == 4
    assert event.metadata["dagster_buckets/compression"] == "gzip"
    assert load(manager, asset, pl.DataFrame) == {"s": ["a", "b", "c", "d"]}


@pytest.mark.parametrize(
    ("options", "key", "shown"),
    [
        ({"format": "parquet"}, "data.parquet", "zstd"),
        ({"format": "parquet", "compression": "none"}, "data.parquet", None),
        ({"format": "arrow"}, "data.arrow", None),
        ({"format": "arrow", "compression": "lz4"}, "data.arrow", "lz4"),
        ({"format": "csv"}, "data.csv", None),
        ({"format": "csv", "compression": "none"}, "data.csv", None),
        ({"format": "csv", "compression": "lz4"}, "data.csv.lz4", "lz4"),
        ({"format": "pickle", "compression": "zstd"}, "data.pickle.zst", "zstd"),
    ],
    ids=str,
)
def test_the_compression_is_shown(
    memory: MemoryIOManager, options: Any, key: str, shown: str | None
) -> None:
    asset = orders(bucket_options(**options))
    (event,) = materialized(run([asset], memory))
    assert keys(memory) == [f"orders/{key}"]
    assert event.metadata.get("dagster_buckets/compression") == shown
    assert ("dagster_buckets/compression" in event.metadata) == (shown is not None)
    assert load(memory, asset, pa.Table) == ROWS


def test_a_stored_none_is_not_compressed(memory: MemoryIOManager) -> None:
    @dg.asset(metadata=bucket_options(format="text", compression="gzip"))
    def text() -> str | None:
        return None

    (event,) = materialized(run([text], memory))
    assert keys(memory) == ["text/data.txt.gz"]
    assert "dagster_buckets/compression" not in event.metadata
    assert load(memory, text, str | None, look=lambda value: value is None)


@TWO_BACKENDS
def test_a_backfill_in_one_run_is_compressed(manager: BucketIOManager) -> None:
    metadata = bucket_options(format="ndjson", compression="gzip")

    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE, metadata=metadata)
    def parts(context: dg.AssetExecutionContext) -> dict[str, pl.DataFrame]:
        return {key: pl.DataFrame({"k": [1, 2], "s": [key] * 2}) for key in context.partition_keys}

    events = materialized(run([parts], manager, tags=ranged("a", "c")))
    assert keys(manager) == [f"parts/partition={key}/data.ndjson.gz" for key in "abc"]
    assert {event.partition for event in events} == set("abc")
    assert {e.metadata["dagster_buckets/compression"] for e in events} == {"gzip"}
    assert {e.metadata["dagster/partition_row_count"] for e in events} == {2}
    assert raw(manager, "parts/partition=b/data.ndjson.gz")[:2] == b"\x1f\x8b"
    wanted = bucket_options(filters=[("k", ">", 1)], columns=["s", "k"])
    assert load(manager, parts, pd.DataFrame, wanted) == {"s": ["a", "b", "c"], "k": [2, 2, 2]}


def test_uris_of_what_is_compressed(memory: MemoryIOManager) -> None:
    asset = orders(bucket_options(format="csv", compression="zstd"))
    run([asset], memory)
    uri = memory.uri_for(asset)
    assert uri == f"memory://{memory.name}/orders/data.csv.zst"
    assert memory.uri_for("orders") == uri  # as a listing finds it
    found = memory.parse_uri(uri)
    assert found is not None
    assert (found.asset_key, found.format) == (dg.AssetKey("orders"), "csv")
    for name, end in [("csv", "csv.gz"), ("json", "json"), ("parquet", "parquet")]:
        options = {"csv": {"compression": "gzip"}, "parquet": {"compression": "gzip"}}
        other = MemoryIOManager(name="x", format=name, format_options=options)
        assert other.uri_for("orders") == f"memory://x/orders/data.{end}"


# -- what is loaded --------------------------------------------------------------------------------


@EACH_FRAME
@TWO_BACKENDS
def test_columns_and_filters_of_an_input(manager: BucketIOManager, cls: type) -> None:
    asset = orders()
    run([asset], manager)
    wanted = bucket_options(columns=["s", "k"], filters=[("k", ">", 1), ("x", "<", 3)])
    assert load(manager, asset, cls, wanted) == {"s": ["c"], "k": [2]}
    assert load(manager, asset, cls) == ROWS


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "ndjson"])
def test_columns_and_filters_in_every_format_of_tables(memory: MemoryIOManager, name: str) -> None:
    asset = orders(bucket_options(format=name))
    run([asset], memory)
    wanted = bucket_options(columns=("x",), filters=(("k", "in", [0, 3]),))
    assert load(memory, asset, pl.DataFrame, wanted) == {"x": [0.5, 3.5]}
    assert load(memory, asset, pa.Table, wanted) == {"x": [0.5, 3.5]}


@pytest.mark.parametrize(
    ("on_manager", "on_asset", "on_input", "columns"),
    [
        (["k"], None, None, ["k"]),
        (["k"], ["s"], None, ["s"]),
        (["k"], ["s"], ["x"], ["x"]),
        (["k"], None, ["x"], ["x"]),
        (None, ["s"], ["x"], ["x"]),
    ],
    ids=str,
)
def test_an_input_comes_before_its_asset_and_that_before_the_manager(
    on_manager: Any, on_asset: Any, on_input: Any, columns: list[str]
) -> None:
    def options(given: Any) -> Any:
        return bucket_options(columns=given) if given else {}

    of_parquet = {"row_group_size": 2, **({"columns": on_manager} if on_manager else {})}
    manager = MemoryIOManager(format_options={"parquet": of_parquet})
    asset = orders(options(on_asset))
    run([asset], manager)
    assert list(load(manager, asset, pl.DataFrame, options(on_input))) == columns
    # What one place says leaves the other options of the others as they are.
    file = pq.ParquetFile(pa.BufferReader(raw(manager, "orders/data.parquet")))
    assert file.num_row_groups == 2


def test_an_asset_comes_before_the_manager_in_a_write() -> None:
    manager = MemoryIOManager(
        format="csv", format_options={"csv": {"compression": "gzip", "delimiter": ";"}}
    )
    run([orders()], manager)
    asset = orders(bucket_options(compression="none"))
    run([asset], manager)
    assert keys(manager) == ["orders/data.csv", "orders/data.csv.gz"]
    assert raw(manager, "orders/data.csv").splitlines()[1] == b'0;"a";0.5'
    assert load(manager, asset, pa.Table) == ROWS


def test_columns_as_other_managers_spell_them(memory: MemoryIOManager) -> None:
    asset = orders(bucket_options(columns=["s"]))
    run([asset], memory)
    assert load(memory, asset, pl.DataFrame, {"columns": ["x", "k"]}) == {
        "x": ROWS["x"],
        "k": ROWS["k"],
    }
    both = {"columns": ["x"], "dagster_buckets/columns": ["k"]}
    assert load(memory, asset, pl.DataFrame, both) == {"k": ROWS["k"]}
    # What is no list of columns is somebody else's.
    assert load(memory, asset, pl.DataFrame, {"columns": "three"}) == {"s": ROWS["s"]}


def test_an_input_comes_first_in_the_spelling_of_other_managers(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=LETTERS, metadata=bucket_options(on_missing="error"))
    def parts() -> str:
        return "x"

    run([parts], memory, partition_key="b")
    metadata = {"allow_missing_partitions": True}
    assert load(memory, parts, dict[str, str], metadata, look=lambda v: v) == {"b": "x"}


def test_columns_in_the_metadata_of_an_asset_can_be_anything(memory: MemoryIOManager) -> None:
    @dg.asset(metadata={"columns": ["k", "documented"]})
    def listed() -> dict[str, int]:
        return {"k": 1}

    described = orders({"columns": ["k"]})
    run([listed, described], memory)
    assert load(memory, listed, dict[str, int], look=len) == 1
    assert load(memory, described, pl.DataFrame) == ROWS


# -- expressions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression", [pc.field("k") > 1, pl.col("k") > 1], ids=["arrow", "polars"]
)
@EACH_FRAME
def test_expressions_on_an_asset(memory: MemoryIOManager, cls: type, expression: Any) -> None:
    asset = expressed(expression, ["s"])
    run([asset], memory)
    if isinstance(expression, pl.Expr) and cls in (pads.Dataset, duckdb.DuckDBPyRelation):
        with pytest.raises(UnsupportedTypeError, match="no filters of Polars") as caught:
            load(memory, asset, cls)
        assert "polars.LazyFrame" in str(caught.value.hint)
    else:
        assert load(memory, asset, cls) == {"s": ["c", "d"]}
    assert load(memory, asset, cls, bucket_options(filters=[("k", "=", 0)])) == {"s": ["a"]}


@pytest.mark.parametrize(
    "expression", [pc.field("k") > 1, pl.col("k") > 1], ids=["arrow", "polars"]
)
def test_expressions_on_an_input_are_an_error_of_the_run(
    memory: MemoryIOManager, expression: Any
) -> None:
    asset = orders()
    ran: list[Any] = []

    def consumer(orders: pl.DataFrame) -> None:
        ran.append(orders)

    wanted = dg.AssetIn(metadata=bucket_options(filters=expression))
    with pytest.warns(DeprecationWarning, match="arbitrary metadata values"):
        made = dg.asset(ins={"orders": wanted})(consumer)
    # Dagster copies the metadata of inputs, and knows only what JSON can hold.
    with pytest.raises(DagsterInvalidMetadata, match=r"dagster_buckets/filters.*Expr"):
        run([asset, made], memory)
    assert ran == []


# -- partitions ------------------------------------------------------------------------------------


@EACH_FRAME
@TWO_BACKENDS
def test_partitions_joined_with_columns_filters_and_their_keys(
    manager: BucketIOManager, cls: type
) -> None:
    @dg.asset(partitions_def=LETTERS, backfill_policy=SINGLE)
    def parts(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
        tables = [pa.table({"k": [n, n + 10], "s": ["x", "y"]}) for n in range(3)]
        return dict(zip(context.partition_keys, tables, strict=True))

    run([parts], manager, tags=ranged("a", "c"))
    wanted = bucket_options(columns=["k"], filters=[("s", "=", "y"), ("k", ">", 10)])
    assert sorted(load(manager, parts, cls, wanted)["k"]) == [11, 12]
    keyed = {**wanted, **bucket_options(partition_columns=True)}
    found = load(manager, parts, cls, keyed)
    assert list(found) == ["k", "partition"]
    pairs = zip(found["k"], map(str, found["partition"]), strict=True)
    assert sorted(pairs) == [(11, "b"), (12, "c")]


@pytest.mark.parametrize("name", ["parquet", "csv"])
def test_several_dimensions_with_columns_and_filters(memory: MemoryIOManager, name: str) -> None:
    metadata = bucket_options(format=name, columns=["k"])

    @dg.asset(partitions_def=GRID, backfill_policy=SINGLE, metadata=metadata)
    def cells(context: dg.AssetExecutionContext) -> dict[str, pl.DataFrame]:
        return {
            key: pl.DataFrame({"k": [n, n + 10], "s": ["x", "y"]})
            for n, key in enumerate(context.partition_keys)
        }

    run([cells], memory, tags=ranged("d1|eu", "d2|us"))
    assert len(keys(memory)) == 4
    wanted = bucket_options(filters=[[("k", "<", 2)], [("k", "=", 13)]], partition_columns=True)
    found = load(memory, cells, pa.Table, wanted)
    assert list(found) == ["k", "day", "region"]
    by_cell = sorted(zip(*(map(str, column) for column in found.values()), strict=True))
    asked = [str(key) for key in GRID.get_partition_keys()]
    assert len(by_cell) == 3
    assert {f"{day}|{region}" for _, day, region in by_cell} <= set(asked)
    parts = load(
        memory, cells, dict[str, pl.DataFrame], look=lambda v: {k: f.columns for k, f in v.items()}
    )
    assert parts == {key: ["k"] for key in asked}


# -- what cannot work ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "parts"),
    [
        ({"dagster_buckets/row_groupsize": 1}, ["unknown metadata", "dagster_buckets/row_groupsize"]),
        ({"dagster_buckets/row_group_size": "many"}, ["'row_group_size'", "'parquet'", "'many'"]),
        ({"dagster_buckets/delimiter": ";"}, ["'delimiter'", "'parquet'"]),
        ({"dagster_buckets/filters": [("k", "~", 1)]}, ["operator '~'"]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_raw_metadata_that_cannot_work_fails_the_run(
    memory: MemoryIOManager, metadata: Any, parts: list[str]
) -> None:
    asset = orders(metadata)
    with pytest.raises(ConfigurationError) as caught:
        run([asset], memory)
    assert all(part in str(caught.value) for part in parts)
    assert caught.value.hint
    assert keys(memory) == []
    run([orders()], memory)
    with pytest.raises(ConfigurationError) as caught:
        load(memory, orders(), pl.DataFrame, metadata)
    assert all(part in str(caught.value) for part in parts)
    # How an object is compressed it says itself, so only a write needs to know.
    with pytest.raises(ConfigurationError, match=r"'compression' of format 'parquet' .* 'rar'"):
        run([orders({"dagster_buckets/compression": "rar"})], memory)


def test_an_option_that_the_chosen_format_has_not(memory: MemoryIOManager) -> None:
    @dg.asset(metadata=bucket_options(row_group_size=10))
    def listed() -> list[int]:
        return [1]

    with pytest.raises(ConfigurationError, match="'json' has no option 'row_group_size'") as caught:
        run([listed], memory)
    assert "asset 'listed'" in str(caught.value)
    assert keys(memory) == []
    plant(memory, "listed/data.txt", b"x")
    with pytest.raises(ConfigurationError, match="'text' has no option 'columns'"):
        load(memory, dg.AssetsDefinition(specs=[dg.AssetSpec("listed")]), str, {"columns": ["k"]})


def test_options_of_a_manager_fail_where_it_is_constructed() -> None:
    with pytest.raises((ConfigurationError, ValidationError), match="row_groupsize"):
        MemoryIOManager(format_options={"parquet": {"row_groupsize": 1}})
    with pytest.raises(ConfigurationError, match="row_groupsize"):
        bucket_options(row_groupsize=1)  # type: ignore[call-arg]


@EACH_FRAME
def test_a_column_that_is_not_there_names_the_object(memory: MemoryIOManager, cls: type) -> None:
    asset = orders()
    run([asset], memory)
    with pytest.raises(DecodeError, match="has no column 'nope'") as caught:
        load(memory, asset, cls, bucket_options(columns=["k", "nope"]))
    assert memory.uri_for(asset) in str(caught.value)
    assert "k, s, x" in str(caught.value.hint)


# -- outside of a run ------------------------------------------------------------------------------


def test_a_load_outside_of_a_run_is_projected(memory: MemoryIOManager) -> None:
    asset = expressed(pl.col("k") == 2, ["s"])
    run([asset], memory)
    loader = dg.Definitions([asset], resources={"io_manager": memory})
    found: Any = loader.load_asset_value("orders", python_type=pl.DataFrame)
    assert found.to_dict(as_series=False) == {"s": ["c"]}
    wanted = bucket_options(columns=["k"], filters=[("k", ">", 1)])
    with dg.DagsterInstance.ephemeral() as instance:
        values = loader.get_asset_value_loader(instance=instance)
        other: Any = values.load_asset_value(
            "orders", python_type=pa.Table, input_definition_metadata=wanted
        )
        assert other.to_pydict() == {"k": [2, 3]}
