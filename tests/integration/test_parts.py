"""Values in parts: through Dagster, on every store, and when their writer is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketIOManager,
    HiveLayout,
    ObjectRef,
    PartitionStream,
    ValueStore,
    bucket_options,
)
from dagster_buckets_local import LocalStore

from tests.integration.commands import Invoke, told
from tests.integration.support import MakeManager, keys, materialized, ranged, run

ROOT = Path(__file__).parents[2]
IN_PARTS = bucket_options(format="parquet", part_size=20_000)
DAYS = dg.StaticPartitionsDefinition(["d1", "d2", "d3"])
ROWS = 10_000


def total(values: Any) -> int:
    return int(sum(values))


def rows(day: str = "d1") -> pa.Table:
    start = int(day[1:]) * ROWS
    return pa.table({"n": range(start, start + ROWS)})


@dg.asset(metadata=IN_PARTS)
def orders() -> pa.Table:
    return rows()


@dg.asset(metadata=IN_PARTS)
def streamed() -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from rows().to_batches(max_chunksize=999)

    return pa.RecordBatchReader.from_batches(rows().schema, batches())


@dg.asset(metadata=bucket_options(format="parquet", part_size=20_000, partition_by="turn"))
def in_turns() -> pa.RecordBatchReader:
    turns = pa.array([f"turn {n % 3}" for n in range(ROWS)])
    return rows().append_column("turn", turns).to_reader(999)


@dg.asset(metadata=IN_PARTS, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def daily(context: dg.AssetExecutionContext) -> PartitionStream[pa.Table]:
    return PartitionStream((day, rows(day)) for day in context.partition_keys)


@pytest.mark.parametrize(
    "asset", [orders, streamed, in_turns], ids=lambda asset: asset.key.path[-1]
)
def test_one_asset_and_all_who_take_it(manager: BucketIOManager, asset: Any) -> None:
    name = asset.key.path[-1]

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_frame(found: pd.DataFrame) -> int:
        return int(found["n"].sum())

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_scan(found: pl.LazyFrame) -> int:
        return int(found.select(pl.col("n").sum()).collect().item())

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_dataset(found: ds.Dataset) -> int:
        return total(found.to_table()["n"].to_pylist())

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_relation(found: duckdb.DuckDBPyRelation) -> int:
        return int(found.aggregate("sum(n)").fetchall()[0][0])

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_batches(found: pa.RecordBatchReader) -> int:
        return total(total(batch["n"].to_pylist()) for batch in found)

    @dg.asset(ins={"found": dg.AssetIn(name)})
    def as_reference(found: ObjectRef) -> str:
        return found.uri

    takers = [as_frame, as_scan, as_dataset, as_relation, as_batches, as_reference]
    result = run([asset, *takers], manager)

    wanted = total(rows()["n"].to_pylist())
    for taker in takers[:-1]:
        assert result.output_for_node(taker.key.path[-1]) == wanted
    uri = result.output_for_node("as_reference")
    assert uri.endswith(f"{name}/data.parquet.manifest")
    (event,) = [e for e in materialized(result) if e.label == name]
    shown = event.metadata
    parts = [key for key in keys(manager) if key.startswith(f"{name}/data.parts/")]
    assert shown["dagster_buckets/parts"] == len(parts) > 3
    assert shown["dagster/row_count"] == ROWS
    assert shown["dagster/uri"] == uri


def test_partitions_in_parts(manager: BucketIOManager) -> None:
    columns = bucket_options(partition_columns=True)

    @dg.asset(ins={"daily": dg.AssetIn(metadata=columns)})
    def joined(daily: pa.Table) -> dict[str, int]:
        counts = daily.group_by("partition").aggregate([("n", "count")]).sort_by("partition")
        return dict(zip(*counts.to_pydict().values(), strict=True))

    @dg.asset(ins={"daily": dg.AssetIn(metadata=columns)})
    def scanned(daily: pl.LazyFrame) -> int:
        return int(daily.filter(pl.col("partition") == "d2").collect()["n"].sum())

    @dg.asset
    def each(daily: dict[str, pd.DataFrame]) -> dict[str, int]:
        return {day: int(frame["n"].min()) for day, frame in daily.items()}

    @dg.asset
    def one_after_another(daily: pa.RecordBatchReader) -> int:
        return sum(batch.num_rows for batch in daily)

    run([daily], manager, tags=ranged("d1", "d3"))
    result = run([daily, joined, scanned, each, one_after_another], manager, selection=[
        joined, scanned, each, one_after_another,
    ])  # fmt: skip

    assert result.output_for_node("joined") == {"d1": ROWS, "d2": ROWS, "d3": ROWS}
    assert result.output_for_node("scanned") == total(rows("d2")["n"].to_pylist())
    assert result.output_for_node("each") == {"d1": ROWS, "d2": 2 * ROWS, "d3": 3 * ROWS}
    assert result.output_for_node("one_after_another") == 3 * ROWS


def test_an_output_of_an_op(make_manager: MakeManager) -> None:
    manager = make_manager(format_options={"parquet": {"part_size": 20_000}})

    @dg.op
    def made() -> pa.Table:
        return rows()

    @dg.op
    def taken(made: pa.Table) -> int:
        return made.num_rows

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        taken(made())

    assert job.execute_in_process().output_for_node("taken") == ROWS


@pytest.mark.parametrize("by", ["", "turn"])
def test_a_killed_writer_leaves_the_old_value(tmp_path: Path, invoke: Invoke, by: str) -> None:
    root = str(tmp_path / "lake")
    values = ValueStore(LocalStore(root), HiveLayout()).having({"part_size": 20_000})
    address = AssetAddress.of(["orders"])
    values.write(address, rows(), format_name="parquet")
    before = {info.key for info in values.store.scan("orders/data.parts/")}
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.parts_process", root, by]
    writer = subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    for line in writer.stdout:
        if int(line) >= 30:
            break
    writer.kill()
    writer.wait(30)
    writer.stdout.close()

    left = {info.key for info in values.store.scan("orders/data.parts/")} - before
    assert len(left) > 3
    assert all(("/turn=" in key) == bool(by) for key in left)
    assert values.read(address, format_name="parquet")["n"].to_pylist() == rows()["n"].to_pylist()

    listed = told(invoke("gc", "lake", "--json"))
    assert listed["unnamed_parts"] == []
    _age(tmp_path / "lake", 48 * 3600)
    shown = invoke("gc", "lake").output
    assert f"{len(left)} parts that no manifest names" in shown
    done = told(invoke("gc", "lake", "--yes", "--json"))
    assert len(done["unnamed_parts"]) == len(left)
    assert {info.key for info in values.store.scan("orders/data.parts/")} == before
    assert values.read(address, format_name="parquet").num_rows == ROWS


def _age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def test_what_the_commands_say(tmp_path: Path, invoke: Invoke) -> None:
    values = ValueStore(LocalStore(str(tmp_path / "lake")), HiveLayout())
    address = AssetAddress.of(["orders"])
    table = rows().append_column("half", pa.array([n % 2 == 0 for n in range(ROWS)]))
    in_parts = {"part_size": 20_000, "partition_by": "half"}
    values.having(in_parts).write(address, table, format_name="parquet")
    total = sum(info.size for info in values.store.scan())
    count = len(list(values.store.scan()))

    (row,) = told(invoke("ls", "lake", "--json"))["values"]
    assert (row["format"], row["size_bytes"], row["objects"]) == ("parquet", total, count)
    usage = told(invoke("du", "lake", "--json"))
    assert (usage["objects"], usage["size_bytes"]) == (count, total)
    shown = told(invoke("show", "lake", "orders", "--json"))
    assert (shown["rows"], shown["size_bytes"]) == (ROWS, total)
    assert shown["head"][0] == {"n": ROWS, "half": True}
    assert (shown["parts"], shown["parts_of_no_manifest"]) == (count - 1, 0)

    assert told(invoke("migrate", "lake", "copy", "--json"))["copied"] == 1
    copy = ValueStore(LocalStore(str(tmp_path / "copy")), HiveLayout())
    assert copy.read(address).num_rows == ROWS
    assert told(invoke("diff", "lake", "copy", "--json"))["alike"] == 1

    copy.having({"part_size": 30_000}).write(address, rows(), format_name="parquet")
    assert told(invoke("diff", "lake", "copy", "--json", code=1))["alike"] == 0
    again = told(invoke("show", "copy", "orders", "--json"))
    assert again["parts_of_no_manifest"] == count - 1
    here = len(list(copy.store.scan()))
    assert again["parts"] == here - count
    assert again["size_bytes"] < sum(info.size for info in copy.store.scan())
    said = invoke("show", "copy", "orders").output
    assert f"{count - 1} parts that no manifest names" in said


def test_verify_looks_for_the_parts(
    tmp_path: Path, invoke: Invoke, log: dg.DagsterInstance
) -> None:
    (tmp_path / "shop.py").write_text(
        "import dagster as dg\n"
        "from dagster_buckets_local import LocalIOManager\n"
        "from tests.integration.test_parts import in_turns\n"
        'manager = LocalIOManager(root="lake")\n'
        'defs = dg.Definitions(assets=[in_turns], resources={"io_manager": manager})\n'
    )
    from dagster_buckets_local import LocalIOManager

    manager = LocalIOManager(root=str(tmp_path / "lake"))
    dg.materialize([in_turns], resources={"io_manager": manager}, instance=log)
    assert told(invoke("verify", "-f", "shop.py", "--full", "--json"))["intact"] == 1
    folder = tmp_path / "lake/in_turns/data.parts"
    part = min(folder.rglob("*.parquet"))
    data = part.read_bytes()

    part.write_bytes(data[:-1] + b"?")
    assert told(invoke("verify", "-f", "shop.py", "--json"))["intact"] == 1
    (found,) = told(invoke("verify", "-f", "shop.py", "--full", "--json", code=1))["findings"]
    assert (found["kind"], found["asset"]) == ("altered", "in_turns")
    assert "is not the one that was written" in found["reason"]
    part.unlink()
    (found,) = told(invoke("verify", "-f", "shop.py", "--json", code=1))["findings"]
    assert found["reason"] == f"its part {part.relative_to(folder)} is not there"
