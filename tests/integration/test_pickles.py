"""Pickles in real runs: only where they are allowed, or named, and only what was signed."""

import json
import os
import pickle
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import (
    BucketIOManager,
    ConfigurationError,
    IntegrityError,
    MemoryIOManager,
    UnsupportedTypeError,
    bucket_options,
)
from dagster_buckets_local import LocalIOManager

from tests.integration import pickle_processes
from tests.integration.support import MakeManager, keys, plant, raw, run

TWO_BACKENDS = pytest.mark.parametrize("make_manager", ["memory", "local"], indirect=True)


class Opaque:
    """What no format but a pickle holds."""

    def __init__(self, n: int) -> None:
        self.n = n


@dg.asset
def opaque() -> Opaque:
    return Opaque(7)


@dg.asset
def number(opaque: Opaque) -> int:
    return opaque.n


class Marking:
    """A pickle that leaves a file where it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@TWO_BACKENDS
def test_an_unknown_class_is_pickled_only_where_that_is_allowed(make_manager: MakeManager) -> None:
    manager = make_manager()
    with pytest.raises(UnsupportedTypeError, match="Opaque") as caught:
        run([opaque, number], manager)
    assert "pickle" in str(caught.value.hint)
    assert keys(manager) == []

    allowing = make_manager(allow_pickle=True)
    assert run([opaque, number], allowing).output_for_node("number") == 7
    assert keys(allowing) == ["number/data.json", "opaque/data.pickle"]
    # The run that wrote it knows no format of that class: a listing finds the pickle.
    with pytest.raises(ConfigurationError, match="reading it runs code") as refused:
        run([opaque, number], manager, selection=[number])
    assert "allow_pickle=True" in str(refused.value.hint)


def test_a_format_that_is_named_needs_no_leave(memory: MemoryIOManager) -> None:
    asset = opaque.with_attributes(metadata_by_key={opaque.key: bucket_options(format="pickle")})
    assert run([asset, number], memory).output_for_node("number") == 7
    assert keys(memory) == ["number/data.json", "opaque/data.pickle"]


@pytest.mark.parametrize("extension", ["pickle", "pickle.zst", "cloudpickle"])
@pytest.mark.parametrize("newest", ["planted", "genuine"])
@TWO_BACKENDS
def test_nothing_of_a_planted_pickle_runs(
    manager: BucketIOManager, tmp_path: Path, extension: str, newest: str
) -> None:
    marker = tmp_path / "ran"
    planted = pickle.dumps(Marking(marker))
    keys_in_order = [f"value/data.{extension}", "value/data.json"]
    for key in keys_in_order if newest == "genuine" else reversed(keys_in_order):
        plant(manager, key, b"1" if key.endswith("json") else planted)
        # Until the next object is newer in every store, as its clock goes.
        time.sleep(0.02)
    seen: list[Any] = []

    @dg.asset(ins={"value": dg.AssetIn("value")})
    def consumer(value: Any) -> None:
        seen.append(value)

    sources = [dg.AssetSpec("value"), consumer]
    if newest == "genuine":
        run(sources, manager)
        assert seen == [1]
    else:
        with pytest.raises(ConfigurationError, match="reading it runs code"):
            run(sources, manager)
        assert seen == []
    assert not marker.exists()
    # It is what it seems: the marker is left where reading it is allowed.
    if newest == "planted" and extension == "pickle":
        allowing = type(manager)(**{**manager.model_dump(exclude_none=True), "allow_pickle": True})
        run(sources, allowing)
        assert marker.exists()


def test_the_key_comes_to_every_process_from_its_environment(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path_factory.mktemp("objects"))
    monkeypatch.setenv("IT_PICKLE_KEY", "one:0123456789abcdef")
    job = dg.build_reconstructable_job(pickle_processes.__name__, "in_processes", (root,))
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        dg.execute_job(job, instance) as result,
    ):
        assert result.success
    stored = LocalIOManager(root=root)
    first, second = json.loads(raw(stored, "pids/data.json"))
    assert len({first, second, os.getpid()}) == 3

    def reading(key: str) -> Any:
        monkeypatch.setenv("IT_PICKLE_KEY", key)
        manager = LocalIOManager(
            root=root, allow_pickle=True, pickle_key=dg.EnvVar("IT_PICKLE_KEY")
        )
        definitions = dg.Definitions(
            [pickle_processes.secretive], resources={"io_manager": manager}
        )
        return definitions.load_asset_value("secretive")

    assert b"0123456789abcdef" not in raw(stored, "secretive/data.pickle")
    assert reading("one:0123456789abcdef").pid == first
    assert reading("two:fedcba9876543210,one:0123456789abcdef").pid == first
    with pytest.raises(IntegrityError):
        reading("one:fedcba9876543210")
