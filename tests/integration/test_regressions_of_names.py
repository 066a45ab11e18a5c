"""What Dagster's own managers do to the names of values, each of it impossible here.

Destroyed local files, wrong URIs, assets and partitions that overwrite each other, and keys that
leave their prefix: reproduced with dagster 1.13 and dagster-aws 0.29.
"""

import itertools
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, StoreError
from dagster_buckets.address import AssetAddress

from tests.integration.support import S3_KEYS, MakeManager, keys, materialized, plant, run, snapshot

AssetPath = Sequence[str]
PREFIX = "deep/prefix"
_number = itertools.count()


def asset(path: AssetPath, partitions: dg.PartitionsDefinition[Any] | None = None) -> Any:
    """An asset of any name, whose value says which asset and partition it is."""

    @dg.multi_asset(
        name=f"asset_{next(_number)}",
        outs={"value": dg.AssetOut(key=dg.AssetKey(path), dagster_type=str)},
        partitions_def=partitions,
    )
    def made(context: dg.AssetExecutionContext) -> str:
        return value_of(path, str(context.partition_key) if partitions else None)

    return made


def static(*partition_keys: str) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition(list(partition_keys))


def value_of(path: AssetPath, partition: str | None) -> str:
    return f"{list(path)} {partition!r}"


def write(manager: BucketIOManager, *assets: Any, partition: str | None = None) -> list[str]:
    """Materialise these assets in one run, and give the URIs of the events."""
    result = run(assets, manager, partition_key=partition)
    return [event.metadata["dagster/uri"] for event in materialized(result)]


def write_all(manager: BucketIOManager, path: AssetPath, partition_keys: Sequence[str]) -> None:
    """Materialise all these partitions of an asset in one run."""

    @dg.multi_asset(
        outs={"value": dg.AssetOut(key=dg.AssetKey(path), dagster_type=dict[str, str])},
        partitions_def=static(*partition_keys),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def made(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {key: value_of(path, key) for key in context.partition_keys}

    tags = {
        "dagster/asset_partition_range_start": partition_keys[0],
        "dagster/asset_partition_range_end": partition_keys[-1],
    }
    run([made], manager, tags=tags)


def load(manager: BucketIOManager, *assets: Any) -> list[Any]:
    """What another run loads of these assets: a value, or a dict of all partitions."""
    found: list[Any] = []
    names = [f"input_{number}" for number in range(len(assets))]

    @dg.asset(
        name=f"reader_{next(_number)}",
        ins={
            name: dg.AssetIn(
                made.key,
                partition_mapping=dg.AllPartitionMapping() if made.partitions_def else None,
                dagster_type=dict[str, str] if made.partitions_def else str,
            )
            for name, made in zip(names, assets, strict=True)
        },
    )
    def reader(**inputs: Any) -> None:
        found.extend(inputs[name] for name in names)

    run([*assets, reader], manager, selection=[reader])
    return found


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def fetch(make_manager: MakeManager, request: pytest.FixtureRequest) -> Callable[[str], bytes]:
    """Reads a URI past our stores, where there is another way."""
    place = make_manager.scheme + "/"

    def fetched(uri: str) -> bytes:
        assert uri.startswith(place)
        key = uri.removeprefix(place)
        bucket = make_manager.scheme.partition("://")[2]
        if make_manager.backend == "memory":
            return bytes(make_manager().values.store.get(key).data)
        if make_manager.backend == "local":
            return (Path(bucket) / key).read_bytes()
        if make_manager.backend == "s3":
            endpoint = request.getfixturevalue("moto_endpoint")
            client = boto3.client("s3", endpoint_url=endpoint, **S3_KEYS)
            data: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            client.close()
            return data
        endpoint = request.getfixturevalue("gcs_endpoint")
        url = f"{endpoint}/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
            return bytes(answer.read())

    return fetched


@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_1_local_files_of_the_same_name_survive(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str | None
) -> None:
    here = tmp_path / "here"
    for file in ("orders", f"{PREFIX}/orders"):
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("precious")
    before = files_below(here)
    monkeypatch.chdir(here)
    manager = make_manager(prefix)
    write(manager, asset(["orders"], static("a", "b")), partition="a")
    assert len(keys(manager)) == 1
    assert files_below(here) == before


def test_1_even_below_a_local_root_that_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_buckets_local import LocalIOManager

    (tmp_path / "prod").mkdir()
    (tmp_path / "prod/orders").write_text("precious")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="'orders' is a file, and is in the way of a folder"):
        write(
            LocalIOManager(root=".", prefix="prod"), asset(["orders"], static("a")), partition="a"
        )
    assert files_below(tmp_path) == {"prod/orders": b"precious"}


def test_4_the_uri_of_a_materialization_is_an_object_that_holds_the_value(
    make_manager: MakeManager, fetch: Callable[[str], bytes]
) -> None:
    manager = make_manager(PREFIX)
    grid = dg.MultiPartitionsDefinition(
        {"region": static("de", "a/b"), "day": static("2024-01-01-00:00")}
    )
    expected = {}
    names = ["a", "2024-01-01-00:00", "é/%2F"]
    paths: list[AssetPath] = [["whole"], ["odd", "..", "é x"]]
    for path in paths:
        (uri,) = write(manager, asset(path))
        expected[uri] = value_of(path, None)
    for path, definition, partition_keys in (
        (["parts"], static(*names), names),
        (["grid"], grid, ["2024-01-01-00:00|de", "2024-01-01-00:00|a/b"]),
    ):
        for key in partition_keys:
            (uri,) = write(manager, asset(path, definition), partition=key)
            expected[uri] = value_of(path, key)
    assert len(expected) == 7
    assert {uri: fetch(uri).decode() for uri in expected} == expected


def test_5_assets_and_partitions_of_one_name_coexist(make_manager: MakeManager) -> None:
    manager = make_manager(PREFIX)
    partitioned = {
        ("a",): ["b", "x", "x/y", "x/y/z", "data", "data.txt"],
        ("a", "x"): ["y", "y/z"],
        ("a", "b"): ["x"],
    }
    whole: list[AssetPath] = [["a"], ["a", "b"], ["a", "x", "y"], ["a", "data.txt"]]
    whole += [["a", "partition=b"], ["a", "partition=b", "data.txt"]]

    def write_parts() -> None:
        for path, names in partitioned.items():
            write_all(manager, path, names)

    def write_whole() -> None:
        write(manager, *(asset(path) for path in whole))

    # In one order and in the other: neither writes over the other, nor is in its way.
    for first, second in ((write_parts, write_whole), (write_whole, write_parts)):
        first()
        before = snapshot(manager)
        second()
        after = snapshot(manager)
        assert {key: after[key] for key in before} == before
        assert len(after) == 9 + len(whole)
        assert load(manager, *(asset(path) for path in whole)) == [
            value_of(path, None) for path in whole
        ]
        parts = load(manager, *(asset(path, static(*names)) for path, names in partitioned.items()))
        assert parts == [
            {name: value_of(path, name) for name in names} for path, names in partitioned.items()
        ]
        manager.values.store.delete(list(after))


def test_5_one_partition_after_the_other(make_manager: MakeManager) -> None:
    manager = make_manager(PREFIX)
    parts = asset(["a"], static("x", "x/y"))
    for key in ("x", "x/y", "x"):
        write(manager, parts, partition=key)
    assert load(manager, parts) == [{key: value_of(["a"], key) for key in ("x", "x/y")}]


def test_6_names_that_were_one_object_are_several(make_manager: MakeManager) -> None:
    manager = make_manager(PREFIX)
    names = [
        *("/etc", "%2Fetc", "etc", "%2fetc", "%252Fetc"),
        *("x//y", "x/./y", "x/y", "x/y/", "/x/y", "x/../x/y", "x", "x|y"),
        *(".", "..", "%2E", "%2E%2E", "%", "~", " ", "None"),
    ]
    write_all(manager, ["a"], names)
    whole = asset(["a"])
    write(manager, whole)
    # Dagster runs an asset as a whole where the partition key is empty.
    empty = AssetAddress.of(["a"], "")
    manager.values.write(empty, "empty")

    assert len(keys(manager)) == len(names) + 2
    parts = asset(["a"], static(*names))
    assert load(manager, parts) == [{name: value_of(["a"], name) for name in names}]
    assert load(manager, whole) == [value_of(["a"], None)]
    assert manager.values.read(empty, str) == "empty"


def test_6_partitions_whose_dimensions_join_alike(make_manager: MakeManager) -> None:
    manager = make_manager(PREFIX)
    multi = dg.MultiPartitionsDefinition
    grid = asset(["a"], multi({"one": static("a", "a/b"), "two": static("c", "b/c")}))
    others = [
        (asset(["a"], static("a|b/c", "a/b/c")), ["a|b/c", "a/b/c"]),
        (asset(["b"], multi({"x": static("1"), "y/z": static("2")})), ["1|2"]),
        (asset(["b"], multi({"x/y": static("1"), "z": static("2")})), ["1|2"]),
        (asset(["b"], multi({"x": static("1/y=2"), "z": static("2")})), ["1/y=2|2"]),
    ]
    uris = []
    for made, names in ((grid, list(map(str, grid.partitions_def.get_partition_keys()))), *others):
        for name in names:
            uris += write(manager, made, partition=name)
    assert len(set(uris)) == len(keys(manager)) == 9
    (loaded,) = load(manager, grid)
    assert {str(key): value for key, value in loaded.items()} == {
        name: value_of(["a"], name) for name in ("a|c", "a|b/c", "a/b|c", "a/b|b/c")
    }
    assert load(manager, others[-1][0]) == [{"1/y=2|2": value_of(["b"], "1/y=2|2")}]


@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_7_nothing_leaves_the_prefix(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str | None
) -> None:
    here = tmp_path / "a/b/here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a/b", here):
        (folder / "x").write_text("precious")
    everything = make_manager()
    for key in ("x", "value", "other/x"):
        plant(everything, key, b"precious")
    objects, files = snapshot(everything), outside_of_the_root(make_manager, tmp_path)

    manager = make_manager(prefix)
    outside = str(tmp_path / "x")
    paths: list[AssetPath] = [
        *(["..", "x"], ["..", "..", "x"], [outside], ["", "etc", "x"], ["../../x"]),
        *(["a", "..", "..", "x"], ["~", "x"], ["%2E%2E", "x"], [".."], ["."]),
    ]
    names = [
        *("../../x", "..", ".", "/", "/etc/x", outside, "../x", "a/../../../x", "~/x"),
        *("\\..\\x", "..\\..\\x", "%2E%2E/x", "//x"),
    ]
    wholes = [asset(path) for path in paths]
    write(manager, *wholes)
    parents: list[AssetPath] = [["parts"], [".."], ["..", "..", "parts"]]
    for path in parents:
        write_all(manager, path, names)

    written = {f"{prefix}/{key}" if prefix else key for key in keys(manager)} - set(objects)
    assert len(written) == len(paths) + len(names) * len(parents)
    after = snapshot(everything)
    assert set(after) - set(objects) == written
    assert {key: after[key] for key in objects} == objects
    assert outside_of_the_root(make_manager, tmp_path) == files
    assert load(manager, *wholes) == [value_of(path, None) for path in paths]
    assert load(manager, *(asset(path, static(*names)) for path in parents)) == [
        {name: value_of(path, name) for name in names} for path in parents
    ]


def outside_of_the_root(make_manager: MakeManager, tmp_path: Path) -> dict[str, bytes]:
    root = "objects/" if make_manager.backend == "local" else None
    return {
        name: data
        for name, data in files_below(tmp_path).items()
        if root is None or not name.startswith(root)
    }
