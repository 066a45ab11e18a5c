"""Backends for the integration tests: the same test runs against every store."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster_buckets import BucketIOManager, MemoryIOManager
from dagster_buckets.cli import cli
from dagster_buckets.cli.event_log import EventLog

from tests.integration import support
from tests.integration.support import S3_KEYS, CountingIOManager, MakeManager

if TYPE_CHECKING:
    from distributed import Client

BACKENDS = ("memory", "local", "s3", "gcs")
#: What a store can change; the other modules meet servers and files by night.
EVERYWHERE = {
    "test_assets",
    "test_awkward_partitions",
    "test_cleanup",
    "test_dagster_suite_buckets",
    "test_handover",
    "test_hostile_keys",
    "test_load_outside_runs",
    "test_metadata",
    "test_migrate",
    "test_ops",
    "test_parts",
    "test_partitions",
    "test_pickles",
    "test_read_from",
    "test_shown",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what repeats others on one more backend."""
    in_memory = {_function(item) for item in items if _backend(item) == "memory"}
    for item in items:
        backend = _backend(item)
        if backend in {None, "memory"} or item.path.stem in EVERYWHERE:
            continue
        if backend in {"local", "gcs"} or _function(item) in in_memory:
            item.add_marker(pytest.mark.long)


def _backend(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("make_manager") if callspec else None


def _function(item: pytest.Item) -> tuple[str, str]:
    return str(item.path), getattr(item, "originalname", item.name)


@pytest.fixture(autouse=True)
def _alone(no_settings_of_this_machine: None) -> None:
    """For every test here."""


@pytest.fixture(autouse=True, scope="session")
def _shared_instance() -> Iterator[None]:
    with support.shared_instance():
        yield


@pytest.fixture(scope="session")
def client() -> "Iterator[Client]":
    """A cluster of Dask with two processes."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(params=BACKENDS)
def make_manager(request: pytest.FixtureRequest) -> MakeManager:
    """Makes managers over one fresh bucket; a test may narrow the backends by indirection."""
    if request.param == "memory":
        return support.memory_backend()
    make: MakeManager = getattr(support, f"{request.param}_backend")(request)
    return make


@pytest.fixture
def manager(make_manager: MakeManager) -> BucketIOManager:
    """One manager over a fresh bucket, on every backend in turn."""
    return make_manager()


@pytest.fixture
def memory() -> MemoryIOManager:
    return MemoryIOManager()


@pytest.fixture
def counting() -> CountingIOManager:
    return CountingIOManager()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance in memory, in place of that of DAGSTER_HOME; the page's test has a real one."""
    with dg.DagsterInstance.ephemeral() as instance:

        @contextmanager
        def opened() -> Iterator[EventLog]:
            yield EventLog(instance)

        monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
        monkeypatch.setattr(EventLog, "opened_if_there", opened)
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: instance)
        yield instance


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    for name, key in (
        ("ACCESS_KEY_ID", "access_key_id"),
        ("SECRET_ACCESS_KEY", "secret_access_key"),
    ):
        monkeypatch.setenv(f"AWS_{name}", S3_KEYS[f"aws_{key}"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)

    def invoked(*args: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, list(args), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return invoked
