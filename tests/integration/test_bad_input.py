"""Bad input: each fault has its own error, which says what, where and what to do, and harms nothing."""

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import (
    AccessDeniedError,
    BucketIOManager,
    BucketNotFoundError,
    MemoryIOManager,
    MissingDependencyError,
    PartitionError,
    StoreError,
    UnknownPluginError,
    plugins,
)

from tests.integration.partitioned import KEY, LETTERS, assert_says, load, write
from tests.integration.support import MakeManager, keys, plant, run, snapshot, store_of
from tests.servers import Request, Stub, stub_server


@pytest.mark.parametrize("make_manager", ["s3", "gcs"], indirect=True)
@pytest.mark.parametrize("act", [write, load])
def test_a_bucket_that_is_not_there(make_manager: MakeManager, act: Any) -> None:
    # Never mistaken for a missing value, which this manager would let pass.
    wrong = make_manager(bucket="it-no-such-bucket", on_missing="skip")
    with pytest.raises(BucketNotFoundError) as caught:
        act(wrong)
    scheme = make_manager.scheme.partition(":")[0]
    uri = f"{scheme}://it-no-such-bucket/parts/partition=a/data."
    assert_says(caught.value, "it-no-such-bucket", uri=uri)


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_a_root_that_is_a_file(make_manager: MakeManager, tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_bytes(b"mine")
    with pytest.raises(StoreError) as caught:
        write(make_manager(root=str(root)))
    assert_says(caught.value, uri=f"file://{root}/parts/partition=a/data.")
    assert root.read_bytes() == b"mine"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def forbid(stub: Stub, backend: str) -> None:
    if backend == "s3":
        stub.refuse(403, "AccessDenied")
    else:
        body = b'{"error": {"code": 403, "message": "you shall not", "errors": []}}'
        stub.answer = lambda _: (403, {"content-type": "application/json"}, body)


@pytest.mark.parametrize("make_manager", ["s3", "gcs"], indirect=True)
@pytest.mark.parametrize("act", [write, load])
def test_a_bucket_that_is_forbidden(make_manager: MakeManager, stub: Stub, act: Any) -> None:
    forbid(stub, make_manager.backend)
    manager = make_manager(endpoint_url=stub.endpoint, on_missing="skip")
    with pytest.raises(AccessDeniedError) as caught:
        act(manager)
    assert isinstance(caught.value, PermissionError)
    assert_says(caught.value, uri=f"{make_manager.scheme}/parts/partition=a/data.")
    # A permanent refusal is not asked for again and again.
    assert len(stub.requests) == 1
    assert isinstance(stub.requests[0], Request)


@pytest.mark.parametrize("make_manager", ["local"], indirect=True)
def test_a_folder_that_is_forbidden(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager()
    write(manager)
    before = snapshot(manager)
    opened = os.open

    def refuse(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        # What a user without rights gets; the superuser, who may run this, gets everything.
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) and "dir_fd" in options:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(AccessDeniedError) as caught:
            write(manager)
    assert_says(caught.value, "permission denied", uri=store_of(manager).uri(KEY))
    assert snapshot(manager) == before


@pytest.mark.parametrize("make_manager", ["s3", "gcs"], indirect=True)
@pytest.mark.parametrize("act", [write, load])
def test_no_credentials(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, act: Any
) -> None:
    good = make_manager()
    plant(good, KEY, b'{"kept": 1}')
    if make_manager.backend == "s3":
        manager = make_manager(aws_access_key_id=None, aws_secret_access_key=None)
    else:
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        manager = make_manager(token=None, endpoint_url=None)
    with pytest.raises(AccessDeniedError, match="credentials") as caught:
        act(manager)
    # Credentials belong to the bucket: its URI is enough.
    assert_says(caught.value, uri=make_manager.scheme)
    assert snapshot(good) == {KEY: b'{"kept": 1}'}


def test_an_unknown_format_at_construction(make_manager: MakeManager) -> None:
    with pytest.raises(UnknownPluginError, match="there is no format 'parkett'") as caught:
        make_manager(format="parkett")
    assert "parquet" in str(caught.value)
    assert "hint: " in str(caught.value)
    with pytest.raises(UnknownPluginError, match="there is no layout 'heave'"):
        make_manager(layout="heave")


def test_an_unknown_format_in_metadata(manager: BucketIOManager) -> None:
    plant(manager, KEY, b'{"kept": 1}')

    @dg.asset(name="parts", partitions_def=LETTERS, metadata={"dagster_buckets/format": "parkett"})
    def wrong() -> dict[str, int]:
        return {"n": 2}

    @dg.asset(
        partitions_def=LETTERS,
        ins={"parts": dg.AssetIn(metadata={"dagster_buckets/format": "parkett"})},
    )
    def reader(parts: Any) -> int:
        return 1

    attempts: list[tuple[Any, dg.AssetsDefinition]] = [(write, wrong), (load, reader)]
    for act, asset in attempts:
        with pytest.raises(UnknownPluginError, match="there is no format 'parkett'") as caught:
            act(manager, asset)
        assert_says(caught.value, uri=store_of(manager).uri("parts/partition=a/data."))
    assert snapshot(manager) == {KEY: b'{"kept": 1}'}


@pytest.fixture
def plugin_without_its_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed format ``xml`` whose library is not installed."""
    found = importlib.metadata.entry_points
    point = EntryPoint("xml", "no_such_library.xml:XMLFormat", "dagster_buckets.formats")

    def more(*, group: str) -> Any:
        return [*found(group=group), *([point] if group == point.group else [])]

    def forget() -> None:
        plugins._registry.cache_clear()
        plugins.get_format.cache_clear()
        plugins.format_for_type.cache_clear()

    monkeypatch.setattr(plugins, "entry_points", more)
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("plugin_without_its_library")
def test_a_format_whose_library_is_missing(manager: BucketIOManager) -> None:
    plant(manager, KEY, b'{"kept": 1}')

    @dg.asset(name="parts", partitions_def=LETTERS, metadata={"dagster_buckets/format": "xml"})
    def as_xml() -> dict[str, int]:
        return {"n": 2}

    with pytest.raises(
        MissingDependencyError, match="needs the module 'no_such_library'"
    ) as caught:
        write(manager, as_xml)
    assert isinstance(caught.value, ModuleNotFoundError)
    uri = store_of(manager).uri("parts/partition=a/data.")
    assert_says(caught.value, "pip install ", "no_such_library", uri=uri)
    assert snapshot(manager) == {KEY: b'{"kept": 1}'}


def test_a_frame_whose_library_is_missing(
    manager: BucketIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(name="parts", partitions_def=LETTERS)
    def frame() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    write(manager, frame)
    before = snapshot(manager)
    with monkeypatch.context() as patch:
        # What a process without polars or pandas sees.
        patch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingDependencyError, match="pandas") as caught:
            load(manager)
    uri = store_of(manager).uri("parts/partition=a/data.parquet")
    assert_says(caught.value, "pip install ", uri=uri)
    assert snapshot(manager) == before


def test_a_joined_key_without_a_definition_is_refused(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    key, name = "2024-01-01|eu", dg.AssetKey("a")
    context = dg.build_output_context(asset_key=name, partition_key=key)
    with pytest.raises(PartitionError, match="one partition key or several dimensions") as caught:
        memory.handle_output(context, 1)
    assert caught.value.hint
    assert keys(memory) == []

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([key]))
    def a() -> int:
        return 1

    run([a], memory, partition_key=key, instance=instance)
    assert keys(memory) == ["a/partition=2024-01-01%7Ceu/data.json"]
