"""Migrating: from any manager to any other, verified, and as often as it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster_buckets import AssetAddress, BucketIOManager, ValueStore
from dagster_buckets.cli import copying, handing
from dagster_buckets.layouts import HiveLayout
from dagster_buckets_local import LocalStore

from tests.integration.commands import Invoke, told, write_module
from tests.integration.support import MakeManager, keys, raw

#: Assets of every kind of partitions, and two I/O managers.
SHOP = """
import dagster as dg
import pyarrow as pa
from dagster_buckets_local import LocalIOManager
{imports}
DAYS = dg.StaticPartitionsDefinition(["d1", "d2", "a/b"])
CELLS = dg.MultiPartitionsDefinition({{
    "day": dg.StaticPartitionsDefinition(["d1", "d2"]),
    "shop": dg.StaticPartitionsDefinition(["s1", "s2"]),
}})

@dg.asset(key_prefix="shop", partitions_def=DAYS)
def orders(context: dg.AssetExecutionContext) -> dict:
    return {{"key": context.partition_key, "nan": float("nan")}}

@dg.asset(partitions_def=CELLS)
def cells(context: dg.AssetExecutionContext) -> list:
    return [context.partition_key.keys_by_dimension, 1.5]

@dg.asset
def table() -> pa.Table:
    return pa.table({{"id": [1, 2], "amount": [1.5, float("nan")]}})

@dg.asset
def nothing() -> None:
    pass

{more}
OLD, NEW = {old}, {new}
defs = dg.Definitions(assets=[{assets}], resources={resources})
"""
ASSETS = "orders, cells, table, nothing"
#: Before and after the change of the definitions.
BEFORE = '{"io_manager": OLD, "new": NEW}'
AFTER = '{"io_manager": NEW, "old": OLD}'
FILES = 'dg.FilesystemIOManager(base_dir="old")'
OURS = 'LocalIOManager(root="new")'


def shop(  # noqa: PLR0913 - what differs between the tests
    tmp_path: Path, *, old: str = FILES, new: str = OURS, resources: str = BEFORE, more: str = "",
    assets: str = ASSETS, imports: str = "",
) -> Any:  # fmt: skip
    source = SHOP.format(
        old=old, new=new, resources=resources, more=more, assets=assets, imports=imports
    )
    return write_module(tmp_path / "shop.py", source)


def materialize(module: Any, log: dg.DagsterInstance, *names: str) -> None:
    """Every partition of these assets, by the manager that is ``io_manager``."""
    job = module.defs.resolve_implicit_global_asset_job_def()
    for name in names:
        definition = getattr(module, name)
        partitions = definition.partitions_def
        for key in partitions.get_partition_keys() if partitions else [None]:
            assert job.execute_in_process(
                instance=log, partition_key=key, asset_selection=[definition.key]
            ).success


def values(module: Any, resource: str, log: dg.DagsterInstance) -> dict[str, Any]:
    """What this I/O manager loads of every asset and partition."""
    loaded = {}
    defs = dg.Definitions(
        assets=[module.orders, module.cells, module.table],
        resources={"io_manager": getattr(module, resource)},
    )
    for definition in (module.orders, module.cells, module.table):
        partitions = definition.partitions_def
        for key in partitions.get_partition_keys() if partitions else [None]:
            name = f"{definition.key.to_user_string()}@{key}"
            found = defs.load_asset_value(definition.key, partition_key=key, instance=log)
            loaded[name] = repr(found)
    return loaded


MIGRATE = ("migrate", "-f", "shop.py", "io_manager", "new")
MIGRATE_AFTER = ("migrate", "-f", "shop.py", "old", "io_manager")


def test_from_a_manager_of_dagster(invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance) -> None:
    module = shop(tmp_path)
    materialize(module, log, "orders", "cells", "table", "nothing")

    planned = told(invoke(*MIGRATE, "--dry-run", "--json"))
    assert planned["dry_run"] is True
    assert len(planned["moves"]) == 8
    assert {"asset": "shop/orders", "partition": "a/b", "how": "converted", "size_bytes": None} in (
        planned["moves"]
    )
    assert not (tmp_path / "new").exists()

    done = told(invoke(*MIGRATE, "--json"))
    assert (done["converted"], done["copied"], done["failed"]) == (8, 0, [])
    assert values(module, "NEW", log) == values(module, "OLD", log)
    assert (tmp_path / "new/cells/day=d1/shop=s2/data.json").exists()
    assert (tmp_path / "new/table/data.parquet").exists()

    again = told(invoke(*MIGRATE, "--json"))
    assert (again["converted"], again["already_there"]) == (0, 8)

    # What has been materialized since goes once more.
    materialize(module, log, "table")
    assert told(invoke(*MIGRATE, "--json"))["converted"] == 1
    assert "8 values already there" in invoke(*MIGRATE).output


def test_after_the_switch_the_new_values_stay(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = shop(tmp_path)
    materialize(module, log, "orders", "table")
    switched = shop(tmp_path, resources=AFTER)
    materialize(switched, log, "table")
    before = (tmp_path / "new/table/data.parquet").stat().st_mtime_ns

    done = told(invoke(*MIGRATE_AFTER, "--json"))

    assert (done["converted"], done["already_there"]) == (3, 1)
    assert (tmp_path / "new/table/data.parquet").stat().st_mtime_ns == before

    # It was there and is not any more: the older one in the old place is not what was materialized.
    (tmp_path / "new/table/data.parquet").unlink()
    lost = told(invoke(*MIGRATE_AFTER, "--json", code=1))
    assert [one["asset"] for one in lost["failed"]] == ["table"]
    assert "nothing is any more" in lost["failed"][0]["reason"]
    assert told(invoke(*MIGRATE_AFTER, "--overwrite", "--json"))["failed"] == []
    assert (tmp_path / "new/table/data.parquet").exists()


def test_some_assets_and_partitions(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = shop(tmp_path)
    materialize(module, log, "orders", "cells", "table")

    assert told(invoke(*MIGRATE, "shop/orders@a/b", "table", "--json"))["converted"] == 2
    assert told(invoke(*MIGRATE, "cells@d1|s2", "shop/orders", "--json"))["converted"] == 3
    unknown = invoke(*MIGRATE, "shop/orders@d9", code=2)
    assert "no materialization of 'shop/orders@d9'" in unknown.output


def test_back_to_a_manager_of_dagster(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = shop(tmp_path, old=OURS, new=FILES)
    materialize(module, log, "orders", "cells", "table")

    done = told(invoke(*MIGRATE, "--json"))
    assert (done["converted"], done["failed"]) == (8, [])
    assert values(module, "OLD", log) == values(module, "NEW", log)
    again = told(invoke(*MIGRATE, "--json"))
    assert (again["converted"], again["already_there"]) == (0, 8)

    # Another value may be the newer one: nobody can tell.
    other = dg.build_output_context(asset_key="table")
    module.NEW.create_io_manager(dg.build_init_resource_context()).handle_output(other, 5)
    refused = told(invoke(*MIGRATE, "--json", code=1))
    assert [one["asset"] for one in refused["failed"]] == ["table"]
    assert "--overwrite" in refused["failed"][0]["reason"]
    assert told(invoke(*MIGRATE, "--overwrite", "--json"))["converted"] == 8
    assert values(module, "OLD", log) == values(module, "NEW", log)


def place(manager: BucketIOManager) -> tuple[str, list[str]]:
    """The URI of a manager's bucket, and what it needs besides."""
    endpoint = getattr(manager, "endpoint_url", None)
    uri = manager.values.store.uri("x").removesuffix("/x")
    return uri, ["--endpoint-url", endpoint] if endpoint else []


@pytest.mark.parametrize("make_manager", ["local", "s3", "gcs"], indirect=True)
def test_buckets_and_keys(
    make_manager: MakeManager, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one prefix to another one, byte for byte, with other keys, and what is large in pieces."""
    old, new = make_manager("old"), make_manager("new", layout="template:{asset}.{ext}")
    large = b"0123456789abcdef" * (1024 * 1024 + 1)
    old.values.write(AssetAddress.of(["a", "large"]), large)
    old.values.write(AssetAddress.of(["a", "table"]), pa.table({"n": range(1000)}))
    old.values.write(AssetAddress.of(["text"]), "é")
    one, options = place(old)
    other, _ = place(new)
    template = ("--to-layout", "template:{asset}.{ext}")

    done = told(invoke("migrate", one, other, *options, *template, "--json"))

    assert (done["copied"], done["already_there"], done["failed"]) == (3, 0, [])
    assert keys(new) == ["a/large.bin", "a/table.parquet", "text.txt"]
    assert raw(new, "a/large.bin") == large
    for name in ("a/large/data.bin", "a/table/data.parquet", "text/data.txt"):
        there = old.values.store.head(name)
        copied = new.values.store.head(name.replace("/data", ""))
        assert there.header is not None
        assert copied.header is not None
        assert (copied.header.digest, copied.header.format, copied.header.address) == (
            there.header.digest, there.header.format, there.header.address,
        )  # fmt: skip
    assert new.values.read(AssetAddress.of(["text"])) == "é"


@pytest.mark.parametrize("make_manager", ["local", "s3", "gcs"], indirect=True)
def test_to_another_store_and_back(
    make_manager: MakeManager, invoke: Invoke, tmp_path: Path
) -> None:
    bucket, disk = make_manager("prod"), str(tmp_path / "disk")
    for number in range(20):
        address = AssetAddress.of(["orders"], f"2024-01-{number + 1:02}")
        bucket.values.write(address, {"n": number})
    uri, options = place(bucket)

    assert told(invoke("migrate", uri, disk, *options, "--json"))["copied"] == 20
    again = told(invoke("migrate", uri, disk, *options, "--json"))
    assert (again["copied"], again["already_there"]) == (0, 20)

    back, _ = place(make_manager("back"))
    part = told(invoke("migrate", disk, back, "orders@2024-01-07", *options, "--json"))
    assert part["copied"] == 1
    assert told(invoke("migrate", disk, back, *options, "--json"))["copied"] >= 19
    assert told(invoke("diff", uri, back, *options, "--full", "--json"))["alike"] == 20


def test_what_is_newer_stays(invoke: Invoke, tmp_path: Path) -> None:
    old, new = (ValueStore(LocalStore(str(tmp_path / name)), HiveLayout()) for name in ("a", "b"))
    address = AssetAddress.of(["orders"])
    old.write(address, [1])
    new.write(address, [1, 2])

    kept = invoke("migrate", "a", "b")
    assert "newer in B  orders" in kept.output
    assert "1 value already there" in kept.output
    assert new.read(address) == [1, 2]
    assert told(invoke("migrate", "a", "b", "--overwrite", "--json"))["copied"] == 1
    assert new.read(address) == [1]


def test_damage_is_not_copied(invoke: Invoke, tmp_path: Path) -> None:
    old = ValueStore(LocalStore(str(tmp_path / "a")), HiveLayout())
    large = bytes(17 * 1024 * 1024)
    for name, value in (("fine", b"fine"), ("small", b"small"), ("large", large)):
        old.write(AssetAddress.of([name]), value)
    for name in ("small", "large"):
        path = tmp_path / "a" / name / "data.bin"
        before = path.stat()
        with path.open("r+b") as file:
            file.seek(3)
            file.write(b"?")
        # Not edited by somebody, but damaged.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    failed = told(invoke("migrate", "a", "b", "--json", code=1))

    assert failed["copied"] == 1
    assert [one["asset"] for one in failed["failed"]] == ["large", "small"]
    assert all("digest" in one["reason"] for one in failed["failed"])
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["fine"]
    listed = invoke("migrate", "a", "b", code=1).output
    assert "failed     large" in listed
    assert "2 values failed; run this again" in listed


def test_what_arrives_otherwise_is_removed(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ValueStore(LocalStore(str(tmp_path / "a")), HiveLayout())
    old.write(AssetAddress.of(["orders"]), b"orders")
    monkeypatch.setattr(copying, "digest_in", lambda store, info: "xxh3-128:0")

    failed = told(invoke("migrate", "a", "b", "--json", code=1))

    assert "reads back as other bytes" in failed["failed"][0]["reason"]
    assert list((tmp_path / "b").rglob("*.bin")) == []


def test_objects_that_are_no_values_are_left_out(invoke: Invoke, tmp_path: Path) -> None:
    old = ValueStore(LocalStore(str(tmp_path / "a")), HiveLayout())
    old.write(AssetAddress.of(["orders"]), b"orders")
    (tmp_path / "a" / "README.md").write_text("hello")

    assert "left out: 0 outputs of ops, 1 other object" in invoke("migrate", "a", "b").output


def pickles(tmp_path: Path, new: str, more: str = "", assets: str = ASSETS) -> Any:
    old = 'LocalIOManager(root="old", layout="legacy", format="pickle")'
    return shop(tmp_path, old=old, new=new, more=more, assets=assets)


def test_pickles_are_copied_where_they_are_read(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    """Without an event log: a bucket tells itself what is in it."""
    module = pickles(tmp_path, 'LocalIOManager(root="new", allow_pickle=True)')
    materialize(module, log, "orders", "cells", "table")

    done = told(invoke(*MIGRATE, "--json"))

    assert (done["copied"], done["converted"], done["failed"]) == (8, 0, [])
    assert (tmp_path / "new/shop/orders/partition=a%2Fb/data.pickle").read_bytes() == (
        (tmp_path / "old/shop/orders/a%2Fb").read_bytes()
        if (tmp_path / "old/shop/orders/a%2Fb").exists()
        else (tmp_path / "old/shop/orders/a/b").read_bytes()
    )
    assert values(module, "NEW", log) == values(module, "OLD", log)


def test_pickles_are_converted_where_they_are_not_read(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = pickles(tmp_path, OURS)
    materialize(module, log, "orders", "cells", "table")

    done = told(invoke(*MIGRATE, "--json"))

    assert (done["copied"], done["converted"], done["failed"]) == (0, 8, [])
    assert sorted({path.suffix for path in (tmp_path / "new").rglob("data.*")}) == [
        ".json", ".parquet",
    ]  # fmt: skip
    assert values(module, "NEW", log) == values(module, "OLD", log)
    assert told(invoke(*MIGRATE, "--json"))["already_there"] == 8


def test_pickles_get_a_signature(invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance) -> None:
    key = "k1:" + "s" * 32
    signing = f'LocalIOManager(root="new", format="pickle", pickle_key="{key}")'
    module = pickles(tmp_path, signing)
    materialize(module, log, "orders", "cells", "table")

    assert told(invoke(*MIGRATE, "--json"))["converted"] == 8
    assert values(module, "NEW", log) == values(module, "OLD", log)


STREAMED = """
from dagster_buckets import PartitionStream

@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def streamed(context: dg.AssetExecutionContext) -> PartitionStream[list]:
    return PartitionStream((key, [key]) for key in context.partition_keys)

@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def batches(context: dg.AssetExecutionContext) -> dict[str, pa.RecordBatchReader]:
    table = pa.table({"n": [1, 2]})
    return {key: table.to_reader() for key in context.partition_keys}
"""


def test_what_a_run_over_many_partitions_returned_goes_one_by_one(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = shop(
        tmp_path, old='LocalIOManager(root="old")',
        new='LocalIOManager(root="new", format="pickle")', more=STREAMED,
        assets="streamed, batches",
    )  # fmt: skip
    materialize(module, log, "streamed", "batches")

    done = told(invoke(*MIGRATE, "--json"))

    assert (done["converted"], done["failed"]) == (6, [])
    new = dg.Definitions(
        assets=[module.streamed, module.batches], resources={"io_manager": module.NEW}
    )
    assert new.load_asset_value("streamed", partition_key="a/b", instance=log) == ["a/b"]
    found = new.load_asset_value("batches", partition_key="d1", instance=log)
    assert found == pa.table({"n": [1, 2]})


UNFIT = """
@dg.asset
def wave():
    return 1j

@dg.asset
def pair():
    return (1, 2)
"""


def test_values_that_no_format_holds(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    module = pickles(tmp_path, OURS, UNFIT, "orders, wave, pair")
    materialize(module, log, "orders", "wave", "pair")

    failed = told(invoke(*MIGRATE, "--json", code=1))

    assert failed["converted"] == 3, str(failed)
    assert {one["asset"] for one in failed["failed"]} == {"pair", "wave"}
    assert all("no format" in one["reason"] for one in failed["failed"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["shop"]


def test_what_comes_back_otherwise_is_removed(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pickles(tmp_path, OURS)
    materialize(module, log, "table")
    monkeypatch.setattr(handing, "alike", lambda one, other: False)

    failed = told(invoke(*MIGRATE, "table", "--json", code=1))

    assert "gives another value back" in failed["failed"][0]["reason"]
    assert "it was removed again" in failed["failed"][0]["reason"]
    assert list((tmp_path / "new").rglob("data.*")) == []


def test_what_cannot_be_done_is_said(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    shop(tmp_path)
    (tmp_path / "a").mkdir()
    for arguments, said in (
        (MIGRATE, "DAGSTER_HOME is not set"),
        (("migrate", "-f", "shop.py", "io_manager", "nowhere"), "under the resource key 'nowhere'"),
        (("migrate", "-f", "shop.py", "new", "new"), "A and B are both new"),
        ((*MIGRATE, "--to-layout", "hive"), "--to-layout goes with URIs only"),
        (("migrate", "a", "a"), "A and B are both a"),
        (("migrate", "a", "b/c"), "there is no folder"),
        (("migrate", "b", "a"), "there is no folder"),
        (("migrate", "a"), "Missing argument 'B'"),
    ):
        assert said in " ".join(invoke(*arguments, code=2).output.split())


def test_managers_that_keep_no_asset(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    shop(tmp_path, resources='{"other": OLD, "old": OLD, "new": NEW, "io_manager": NEW}')
    nobody = invoke("migrate", "-f", "shop.py", "old", "other", code=2)
    assert "no asset of the definitions is kept by 'old' or 'other'" in nobody.output


def test_the_manager_that_nobody_named(
    invoke: Invoke, tmp_path: Path, log: dg.DagsterInstance
) -> None:
    """Where no resource is called io_manager, Dagster keeps values in files of its instance."""
    module = shop(tmp_path, resources='{"new": NEW}')
    materialize(module, log, "orders", "cells", "table")

    assert told(invoke(*MIGRATE, "--json"))["converted"] == 8
    assert (tmp_path / "new/table/data.parquet").exists()


def test_a_killed_migration_goes_on(invoke: Invoke, tmp_path: Path) -> None:
    old, new = (ValueStore(LocalStore(str(tmp_path / name)), HiveLayout()) for name in ("a", "b"))
    (tmp_path / "b").mkdir()
    count = 1000
    for number in range(count):
        old.write(AssetAddress.of(["orders"], str(number)), number.to_bytes(4) * 256)
    killed = 0
    for _ in range(3):
        command = [sys.executable, "-m", "dagster_buckets", "migrate", "a", "b"]
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        limit = time.monotonic() + 60
        there = _stored(tmp_path)
        while process.poll() is None and _stored(tmp_path) < there + 50:
            assert time.monotonic() < limit
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed
    assert 0 < _stored(tmp_path) < count

    done = told(invoke("migrate", "a", "b", "--json"))

    assert done["failed"] == []
    assert done["copied"] + done["already_there"] == count
    assert done["already_there"] >= 50
    for number in range(count):
        assert new.read(AssetAddress.of(["orders"], str(number))) == number.to_bytes(4) * 256


def _stored(tmp_path: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(tmp_path / "b"))
