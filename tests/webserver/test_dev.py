"""The examples and the demo in ``dagster dev``: a webserver, a daemon, and runs launched in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_STATUS = """
query ($run: ID!) {
  runOrError(runId: $run) {
    ... on Run {
      status
      eventConnection { events { __typename ... on ErrorEvent { error { message } } } }
    }
  }
}
"""
_MATERIALIZED = """
query ($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) {
    ... on Asset {
      assetMaterializations(limit: 1) {
        metadataEntries { label __typename ... on UrlMetadataEntry { url }
          ... on TextMetadataEntry { text } ... on PathMetadataEntry { path } }
      }
    }
  }
}
"""
_REPOSITORIES = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }
"""


@dataclass(frozen=True)
class Deployment:
    """What a browser would ask."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]

    def materialize(self, *keys: str, **tags: str) -> None:
        """Launch a run of the implicit job, as the button does, and wait for its end."""
        (node,) = self.ask(_REPOSITORIES)["repositoriesOrError"]["nodes"]
        params = {
            "mode": "default",
            "selector": {
                "repositoryName": node["name"],
                "repositoryLocationName": node["location"]["name"],
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": key.split("/")} for key in keys],
            },
            "runConfigData": {},
            "executionMetadata": {
                "tags": [{"key": f"dagster/{name}", "value": value} for name, value in tags.items()]
            },
        }
        launched = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        limit = time.monotonic() + 180
        while True:
            run = self.ask(_STATUS, run=launched["run"]["runId"])["runOrError"]
            if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}:
                break
            assert time.monotonic() < limit, run["status"]
            time.sleep(0.5)
        assert run["status"] == "SUCCESS", [
            event for event in run["eventConnection"]["events"] if event.get("error")
        ]

    def metadata(self, key: str) -> dict[str, Any]:
        asset = self.ask(_MATERIALIZED, key={"path": key.split("/")})["assetOrError"]
        (last,) = asset["assetMaterializations"]
        return {
            entry["label"]: entry.get("text") or entry.get("path") or entry.get("url")
            for entry in last["metadataEntries"]
        }


@contextmanager
def dagster_dev(
    folder: Path, tmp_path: Path, *options: str, path: Sequence[Path] = (), **more: str
) -> Iterator[Deployment]:
    """Until the end of the block."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {
        **kept,
        "DAGSTER_HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        **more,
    }
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-p", str(port), *options]
    with (tmp_path / "dev.log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stdout=log, stderr=log
        )
        deployment = Deployment(f"http://127.0.0.1:{port}")
        try:
            _await(deployment, server, tmp_path / "dev.log")
            yield deployment
        finally:
            # Not an interrupt: a test that runs in the background may have none to give.
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
                raise


def _await(deployment: Deployment, server: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 120
    while True:
        try:
            if deployment.ask(_REPOSITORIES)["repositoriesOrError"]["nodes"]:
                return
        except OSError:
            pass
        assert server.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < limit, log.read_text()[-4000:]
        time.sleep(0.5)


def example(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    return folder


def test_shop_local(tmp_path: Path) -> None:
    folder = example("shop-local", tmp_path)
    options = ("-m", "shop_local.definitions")
    root = str(tmp_path / "data")
    with dagster_dev(folder, tmp_path, *options, path=[folder / "src"], SHOP_ROOT=root) as dev:
        for region in ("north", "south"):
            dev.materialize("export", "prices", partition=region)
        dev.materialize("cheapest", "report")
        shown = dev.metadata("prices")
    assert shown["dagster/uri"].startswith(f"file://{root}/prices/partition=")
    assert {"dagster/column_schema", "dagster/partition_row_count"} <= set(shown)
    assert "tea: 4.10" in (tmp_path / "data/report/data.txt").read_text()


@pytest.mark.parametrize(
    ("name", "runs", "last", "stored"),
    [
        (
            "shop-s3",
            [
                (
                    ("orders", "revenue"),
                    {
                        "asset_partition_range_start": "2026-01-01",
                        "asset_partition_range_end": "2026-01-05",
                    },
                )
            ],
            "best_item",
            11,
        ),
        ("shop-gcs", [(("readings", "warmest"), {"partition": "2026-01"})], "always_warm", 3),
    ],
)
def test_shops_on_a_laptop(
    tmp_path: Path,
    name: str,
    runs: list[tuple[tuple[str, ...], dict[str, str]]],
    last: str,
    stored: int,
) -> None:
    folder = example(name, tmp_path)
    options = ("-m", f"{name.replace('-', '_')}.definitions")
    with dagster_dev(folder, tmp_path, *options, path=[folder / "src"]) as dev:
        for keys, tags in runs:
            dev.materialize(*keys, **tags)
        dev.materialize(last)
    assert len(list((folder / "data").rglob("data.*"))) == stored


def test_pipes(tmp_path: Path) -> None:
    folder = example("pipes", tmp_path)
    with dagster_dev(folder, tmp_path, "-f", "definitions.py") as dev:
        dev.materialize("orders", "summary", "text")
    assert (folder / "data/text/data.txt").read_text() == "oil: 7.90\ntea: 8.60"


def test_the_demo(tmp_path: Path) -> None:
    root = tmp_path / "flights"
    raw = [f"raw/{name}" for name in ("flights", "weather", "planes", "airports", "airlines")]
    with dagster_dev(
        ROOT, tmp_path, "-m", "demo.definitions", path=[ROOT], DEMO_ROOT=str(root)
    ) as dev:
        dev.materialize(*raw)
        dev.materialize("rain_delays", "engine_miles")
        dev.materialize("flights_by_month", partition="2013-01")
        cells = {
            "asset_partition_range_start": "2013-01|EWR",
            "asset_partition_range_end": "2013-01|LGA",
        }
        dev.materialize("flights_by_month_and_origin", **cells)
        shown = dev.metadata("raw/flights")
    assert shown["dagster/uri"] == f"file://{root}/raw/flights/data.parquet"
    cells_there = sorted(str(path.relative_to(root)) for path in root.glob("*_origin/*/*/*"))
    assert cells_there == [
        f"flights_by_month_and_origin/month=2013-01/origin={origin}/data.parquet"
        for origin in ("EWR", "JFK", "LGA")
    ]
