"""What the tests of engines share: stored tables on every store, and engines that keep to this machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
# Nothing is reported, and nothing listens on another address.
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

import pytest

from tests.integration import support
from tests.integration.support import MakeManager

_reasons: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers what could not run."""
    if report.skipped and isinstance(report.longrepr, tuple) and "NOT RUN" in report.longrepr[2]:
        _reasons.append(f"{report.nodeid.rpartition('::')[2]}: {report.longrepr[2]}")


def pytest_sessionfinish() -> None:
    """Tells `nox`, which does not count the session as run."""
    if _reasons and (target := os.environ.get("DAGSTER_BUCKETS_NOT_RUN")):
        Path(target).write_text("\n".join([*_reasons, ""]), encoding="utf-8")


@pytest.fixture(autouse=True)
def _alone(no_settings_of_this_machine: None) -> None:
    """For every test here."""


@pytest.fixture(autouse=True, scope="session")
def _shared_instance() -> Iterator[None]:
    with support.shared_instance():
        yield


@pytest.fixture(params=["local", "s3", "gcs"])
def make_manager(request: pytest.FixtureRequest) -> MakeManager:
    """Makes managers over one fresh bucket or folder."""
    make: MakeManager = getattr(support, f"{request.param}_backend")(request)
    return make


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark of one thread in this machine's Java."""
    if shutil.which("java") is None:
        pytest.skip("NOT RUN: Spark needs Java 17 or newer, and there is no java on the path")
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as folder:
        session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.local.dir", folder)
            .config("spark.sql.warehouse.dir", f"{folder}/warehouse")
            .getOrCreate()
        )
        gateway = session.sparkContext._gateway
        yield session
        session.stop()
        # Java ends with its standard input.
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(timeout=30)


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """A Ray of one worker, on the loopback interface."""
    import ray

    # A short path: sockets lie in it.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    yield ray
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
