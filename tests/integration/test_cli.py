"""The command line beside real runs: what it tells of a bucket and of the event log."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import Result
from dagster_buckets import AssetAddress, Body, BucketIOManager, HiveLayout, ValueStore
from dagster_buckets_local import LocalIOManager, LocalStore

from tests.integration.commands import told, write_module
from tests.integration.support import S3_KEYS, MakeManager, run, store_of

SHOP = """
import dagster as dg
import pyarrow as pa
from {package} import {cls}

DAYS = dg.StaticPartitionsDefinition(["d1", "d2", "d3"])

@dg.asset(key_prefix="{prefix}", partitions_def=DAYS)
def orders() -> pa.Table:
    return pa.table({{"id": [1, 2], "amount": [1.5, 2.5]}})

@dg.asset(key_prefix="{prefix}")
def total() -> int:
    return 3

defs = dg.Definitions(assets=[orders, total], resources={{"io_manager": {cls}({settings})}})
"""


MANAGER = """
import dagster as dg
from dagster_buckets_local import LocalIOManager
defs = dg.Definitions(resources={{"io_manager": LocalIOManager({})}})
"""


def kinds(result: Result) -> list[tuple[str, str, str | None]]:
    return [
        (f["kind"], f["asset"].rpartition("/")[2], f["partition"]) for f in told(result)["findings"]
    ]


def shop_of(manager: BucketIOManager, prefix: str) -> tuple[str, list[str]]:
    """A module for this manager, and the options that name its bucket by a URI."""
    fields: dict[str, Any] = {
        name: getattr(manager, name)
        for name in ("root", "bucket", "endpoint_url", "prefix", "token")
        if getattr(manager, name, None) is not None
    }
    endpoint = ["--endpoint-url", fields["endpoint_url"]] if "endpoint_url" in fields else []
    settings = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    cls = type(manager)
    package = cls.__module__.partition(".")[0]
    source = SHOP.format(package=package, cls=cls.__name__, prefix=prefix, settings=settings)
    uri = store_of(manager).uri("x").removesuffix("/x")
    return source, [uri, *endpoint]


@pytest.mark.parametrize("make_manager", ["local", "s3", "gcs"], indirect=True)
def test_a_shop(
    make_manager: MakeManager,
    log: dg.DagsterInstance,
    invoke: Callable[..., Result],
    tmp_path: Path,
) -> None:
    manager = make_manager("prod")
    prefix = f"p{secrets.token_hex(4)}"
    source, uri = shop_of(manager, prefix)
    shop = write_module(tmp_path / "shop.py", source)
    module = ["-f", str(tmp_path / "shop.py")]
    run([shop.orders, shop.total], manager, instance=log, partition_key="d1")
    run([shop.orders], manager, instance=log, partition_key="d2")

    rows = told(invoke("ls", *uri, "--json"))["values"]
    found = [(row["name"], row["partition"], row["format"], row["state"]) for row in rows]
    assert found == [
        (f"{prefix}/orders", "d1", "parquet", "stored"),
        (f"{prefix}/orders", "d2", "parquet", "stored"),
        (f"{prefix}/total", None, "json", "stored"),
    ]
    assert {row["uri"] for row in rows} == {info.uri for info in store_of(manager).scan()}
    rows = told(invoke("ls", *module, "--all", "--json"))["values"]
    assert [row["state"] for row in rows] == ["stored", "stored", "absent", "stored"]
    assert [row["materialized"] for row in rows] == [True, True, False, True]

    seen = told(invoke("show", *uri, f"{prefix}/orders@d1", "--rows", "1", "--json"))
    assert (seen["rows"], seen["head"]) == (2, [{"id": 1, "amount": 1.5}])
    assert seen["header"]["digest"].startswith("xxh3-128:")
    used = told(invoke("du", *uri, "--json"))
    assert (used["objects"], [part["objects"] for part in used["assets"]]) == (3, [2, 1])
    assert used["size_bytes"] == sum(info.size for info in store_of(manager).scan())

    # Of what the module tells, little depends on the store.
    targets = [uri, module] if make_manager.backend == "local" else [uri]
    for target in targets:
        verified = told(invoke("verify", *target, "--full", "--json"))
        assert (verified["intact"], verified["findings"]) == (3, [])

    values = manager.values
    store = values.store
    first = HiveLayout().key(AssetAddress.of([prefix, "orders"], "d1"), "parquet")
    store.put(first, Body.of(bytes(store.get(first).data)[::-1]))
    values.write(AssetAddress.of([prefix, "gone"]), [1])
    store.delete([HiveLayout().key(AssetAddress.of([prefix, "total"]), "json")])
    store.put("README", Body.of(b"hello"))
    for target in targets:
        verified = invoke("verify", *target, "--json", code=1)
        assert kinds(verified) == [
            ("orphaned", "gone", None), ("altered", "orders", "d1"), ("missing", "total", None),
        ]  # fmt: skip
        assert (told(verified)["intact"], told(verified)["not_values"]) == (1, 1)
    if module in targets:
        states = [row["state"] for row in told(invoke("ls", *module, "--json"))["values"]]
        assert states == ["undefined", "stored", "stored", "missing", None]


def local(tmp_path: Path, **settings: Any) -> LocalIOManager:
    return LocalIOManager(root=str(tmp_path / "lake"), **settings)


def shop(tmp_path: Path, body: str, resources: str = "") -> tuple[Any, list[str]]:
    """A module of these assets, with a manager over ``lake`` unless others are given."""
    given = resources or f"{{'io_manager': LocalIOManager(root={str(tmp_path / 'lake')!r})}}"
    source = (
        "import dagster as dg\nfrom dagster_buckets_local import LocalIOManager\n"
        f"{body}\nASSETS = [a for a in globals().values() if isinstance(a, dg.AssetsDefinition)]\n"
        f"defs = dg.Definitions(assets=ASSETS, resources={given})\n"
    )
    path = tmp_path / "shop.py"
    return write_module(path, source), ["-f", str(path)]


def test_kinds_of_partitions(
    log: dg.DagsterInstance, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    prefix = f"p{secrets.token_hex(4)}"
    names = f"dynamic_{prefix}"
    body = f"""
TWO = dg.MultiPartitionsDefinition(
    {{"day": dg.StaticPartitionsDefinition(["1", "2"]), "c": dg.StaticPartitionsDefinition(["fr"])}}
)
NAMES = dg.DynamicPartitionsDefinition(name={names!r})

@dg.asset(key_prefix={prefix!r}, partitions_def=TWO)
def two() -> int:
    return 1

@dg.asset(key_prefix={prefix!r}, partitions_def=NAMES, metadata={{"dagster_buckets/partition_name": "n"}})
def named() -> int:
    return 1

@dg.asset(key_prefix={prefix!r}, metadata={{"dagster_buckets/layout": "template:own/{{asset}}.{{ext}}"}})
def elsewhere() -> int:
    return 1

@dg.asset(key_prefix={prefix!r})
def nothing() -> None:
    pass

@dg.asset(key_prefix={prefix!r})
def other() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={{"dagster/uri": "file:///elsewhere/data"}})
"""
    made, module = shop(tmp_path, body)
    manager = local(tmp_path)
    log.add_dynamic_partitions(names, ["a@b", "x/y"])
    run(
        [made.two],
        manager,
        instance=log,
        partition_key=dg.MultiPartitionKey({"day": "1", "c": "fr"}),
    )
    run([made.named], manager, instance=log, partition_key="a@b")
    run([made.elsewhere, made.nothing, made.other], manager, instance=log)
    rows = told(invoke("ls", *module, "--all", "--json"))["values"]
    assert [(r["name"].rpartition("/")[2], r["partition"], r["state"]) for r in rows] == [
        ("elsewhere", None, "stored"),
        ("named", "a@b", "stored"),
        ("named", "x/y", "absent"),
        ("other", None, "missing"),
        ("two", "fr|1", "stored"),
        ("two", "fr|2", "absent"),
    ]
    result = told(invoke("verify", *module, "--json"))
    assert (result["intact"], result["unrecorded"], result["findings"]) == (3, 1, [])
    shown = told(invoke("show", *module, f"{prefix}/named@a@b", "--json"))
    assert (shown["partition"], shown["text"]) == ("a@b", "1")


def test_wiped_assets_are_orphaned(
    log: dg.DagsterInstance, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    name = f"a{secrets.token_hex(4)}"
    made, module = shop(tmp_path, f"@dg.asset\ndef {name}() -> int:\n    return 1\n")
    run([getattr(made, name)], local(tmp_path), instance=log)
    invoke("verify", *module)
    log.wipe_assets([dg.AssetKey(name)])
    assert kinds(invoke("verify", *module, "--json", code=1)) == [("orphaned", name, None)]
    (row,) = told(invoke("ls", *module, "--json"))["values"]
    assert row["state"] == "unmaterialized"


def test_a_file_that_somebody_edited(
    log: dg.DagsterInstance, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    name = f"a{secrets.token_hex(4)}"
    made, _ = shop(tmp_path, f"@dg.asset\ndef {name}() -> int:\n    return 1\n")
    run([getattr(made, name)], local(tmp_path), instance=log)
    file = tmp_path / "lake" / name / "data.json"
    file.write_text("2")
    printed = invoke("verify", str(tmp_path / "lake"), code=1).stdout
    assert f"altered   {name}  file://{file}\n" in printed
    assert "0 values as materialized; 1 altered in file://" in printed
    (finding,) = told(invoke("verify", str(tmp_path / "lake"), "--json", code=1))["findings"]
    assert finding["reason"] == "it is another version of the same size"
    file.write_text("1")
    invoke("verify", str(tmp_path / "lake"), code=1)
    assert told(invoke("verify", str(tmp_path / "lake"), "--full", "--json"))["rewritten"] == 1
    assert (
        "something else than dagster-buckets wrote or changed it"
        in invoke("show", str(tmp_path / "lake"), name).stdout
    )


def test_without_an_event_log(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    made, module = shop(tmp_path, "@dg.asset\ndef one() -> int:\n    return 1\n")
    assert "nothing is stored" in invoke("ls", *module).stdout
    run([made.one], local(tmp_path))
    (row,) = told(invoke("ls", *module, "--json"))["values"]
    assert (row["state"], row["materialized"]) == ("stored", None)
    printed = invoke("verify", *module, code=2)
    assert printed.stderr.startswith("Error: DAGSTER_HOME is not set")
    assert printed.stderr.count("\n") == 1


def test_which_manager(invoke: Callable[..., Result], tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    resources = (
        f"{{'a': LocalIOManager(root={one!r}), 'b': LocalIOManager(root={two!r}, layout='legacy'), "
    )
    resources += "'other': dg.FilesystemIOManager()}"
    body = "@dg.asset(io_manager_key='a')\ndef one() -> int:\n    return 1\n"
    body += "@dg.asset(io_manager_key='b', partitions_def=dg.StaticPartitionsDefinition(['x']))\n"
    body += "def two() -> int:\n    return 1\n"
    _, module = shop(tmp_path, body, resources)
    assert "name one with --resource: a, b" in invoke("ls", *module, code=2).stderr
    assert "these are there: a, b" in invoke("ls", *module, "--resource", "other", code=2).stderr
    absent = told(invoke("ls", *module, "--resource", "b", "--all", "--json"))["values"]
    assert [row["name"] for row in absent] == ["two"]
    hive = ValueStore(LocalStore(one), HiveLayout())
    legacy = LocalIOManager(root=two, layout="legacy").values
    for values in (hive, legacy):
        values.write(AssetAddress.of(["one"]), 1)
        values.write(AssetAddress.of(["two"], "x"), 1)
    compared = told(invoke("diff", *module, "a", "b", "--json"))
    assert (compared["alike"], compared["differences"]) == (2, [])
    hive.write(AssetAddress.of(["two"], "x"), 2)
    assert (
        "differs    two@x  their bytes have different digests"
        in invoke("diff", *module, "a", "b", code=1).stdout
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no\\nluck')", "does not load: ValueError: no luck"),
        ("def x(:", "does not load: SyntaxError"),
        ("x = 1", "does not load: DagsterInvariantViolationError: No "),
        ("import dagster as dg\ndefs = dg.Definitions()", "none of the resources is an I/O manager"),
        (MANAGER.format("root=dg.EnvVar('NOT_SET_HERE')"), "set NOT_SET_HERE"),
        (MANAGER.format("root='x', prefix=dg.EnvVar('PREFIX_HERE')"), "it has a component '.' or '..'"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_used(
    body: str,
    said: str,
    invoke: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFIX_HERE", "../up")
    (tmp_path / "shop.py").write_text(body)
    printed = invoke("ls", "-f", "shop.py", code=2).stderr
    assert said in printed
    assert printed.startswith("Error: ")
    assert printed.count("\n") == 1


def test_a_module_by_its_name_and_lazy_definitions(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    name = f"shop_{secrets.token_hex(4)}"
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / f"{name}.py").write_text(
        "import dagster as dg\nfrom dagster_buckets_local import LocalIOManager\n"
        "@dg.asset\ndef one() -> int:\n    return 1\n"
        f"LAKE = {{'io_manager': LocalIOManager(root={str(tmp_path / 'lake')!r})}}\n"
        "@dg.definitions\ndef lazy() -> dg.Definitions:\n"
        "    return dg.Definitions(assets=[one], resources=LAKE)\n"
    )
    module = ["-m", name, "-d", str(folder)]
    for options in ([], ["-a", "lazy"]):
        rows = told(invoke("ls", *module, *options, "--all", "--json"))["values"]
        assert [(row["name"], row["state"]) for row in rows] == [("one", "absent")]
    assert "one is no Definitions" in invoke("ls", *module, "-a", "LAKE", code=2).stderr.replace(
        "LAKE", "one"
    )


def test_buckets_that_cannot_be_used(
    moto_endpoint: str,
    gcs_endpoint: str,
    invoke: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3 = ["--endpoint-url", moto_endpoint]
    assert "the bucket does not exist" in invoke("ls", "s3://it-no-such", *s3, code=2).stderr
    gcs = ["--endpoint-url", gcs_endpoint]
    assert "bucket" in invoke("du", "gs://it-no-such", *gcs, code=2).stderr
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "no AWS credentials found" in invoke("ls", "s3://it-no-such", *s3, code=2).stderr


DROPPING = """
import dagster as dg
from dagster_buckets_local import LocalIOManager

@dg.asset(partitions_def=dg.StaticPartitionsDefinition([{keys}]))
def orders() -> int:
    return 1

@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="customers"))
def bills() -> int:
    return 1

@dg.asset
def total() -> int:
    return 1

defs = dg.Definitions(
    assets=[orders, bills, total], resources={{"io_manager": LocalIOManager(root="lake")}}
)
"""


def test_gc_of_dropped_partitions(
    invoke: Callable[..., Result], log: dg.DagsterInstance, tmp_path: Path
) -> None:
    values = ValueStore(LocalStore(str(tmp_path / "lake")), HiveLayout())
    for key in ("d1", "d2", "d3"):
        values.write(AssetAddress.of(["orders"], key), 1)
        values.write(AssetAddress.of(["gone"], key), 1)
    values.write(AssetAddress.of(["bills"], "a"), 1)
    values.write(AssetAddress.of(["total"]), 1)
    values.write(AssetAddress.of(["total"], "once"), 1)
    (tmp_path / "shop.py").write_text(DROPPING.format(keys='"d2"'))
    command = ["gc", "-f", "shop.py", "--dropped-partitions", "--older-than", "0"]

    assert told(invoke("gc", "-f", "shop.py", "--older-than", "0", "--json"))["objects"] == 0
    recent = told(invoke("gc", "-f", "shop.py", "--dropped-partitions", "--json"))
    assert recent["objects"] == 0
    listed = invoke(*command).output
    assert "dropped partition  orders@d1\ndropped partition  orders@d3\n" in listed
    found = told(invoke(*command, "--yes", "--json"))
    assert [(one["asset"], one["partition"]) for one in found["dropped_partitions"]] == [
        ("orders", "d1"),
        ("orders", "d3"),
    ]
    # Without any key nobody knows whether this is the right instance.
    assert sorted(info.key for info in values.store.scan()) == [
        "bills/partition=a/data.json",
        *(f"gone/partition={key}/data.json" for key in ("d1", "d2", "d3")),
        "orders/partition=d2/data.json",
        "total/data.json",
        "total/partition=once/data.json",
    ]
    refused = invoke("gc", "lake", "--dropped-partitions", code=2)
    assert "only definitions tell" in refused.output


def test_gc(moto_endpoint: str, invoke: Callable[..., Result]) -> None:
    import boto3
    from dagster_buckets import OpAddress
    from dagster_buckets_s3 import S3Store

    bucket = f"it-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=moto_endpoint, **S3_KEYS)
    client.create_bucket(Bucket=bucket)
    client.create_multipart_upload(Bucket=bucket, Key="prod/left")
    values = ValueStore(
        S3Store(bucket, "prod", endpoint_url=moto_endpoint, **S3_KEYS), HiveLayout()
    )
    values.write(OpAddress("run-1", "step", "result"), [1])
    values.write(AssetAddress.of(["a"]), pa.table({"n": [1]}))
    target = [f"s3://{bucket}/prod", "--endpoint-url", moto_endpoint]
    assert told(invoke("gc", *target, "--json"))["objects"] == 0
    listed = invoke("gc", *target, "--older-than", "0").stdout
    assert "run-1" in listed
    assert "1 unfinished upload\n1 object, 3 B can go" in listed
    uploads = client.list_multipart_uploads(Bucket=bucket)
    assert len(uploads["Uploads"]) == 1
    done = told(invoke("gc", *target, "--older-than", "0", "--yes", "--json"))
    assert (done["removed"], done["objects"], done["unfinished_uploads"]) == (True, 1, 1)
    assert [info.key for info in values.store.scan()] == ["a/data.parquet"]
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.close()
