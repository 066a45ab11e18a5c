"""The example projects, as their users run them: real processes, every deployment."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.servers import moto_server

EXAMPLES = Path(__file__).parents[2] / "examples"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "canary7f3a9SECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
}
#: Each command is a process, each step another one.
pytestmark = pytest.mark.timeout(600)
JANUARY = ["--partition-range", "2026-01-01...2026-01-31"]


@dataclass
class Project:
    """A copy of an example, with an event log of its own.

    Attributes:
        folder: The copy.
        module: How its definitions are named to Dagster.
        environment: What its processes get.
    """

    folder: Path
    module: tuple[str, str]
    environment: dict[str, str]

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, done.stdout[-4000:] + done.stderr[-8000:]
        return done.stdout + done.stderr

    def materialize(self, *options: str) -> str:
        log = self.run("dagster", "asset", "materialize", *self.module, *options)
        # Dagster's own executor: a process for each step.
        assert "Executing step" in log
        assert "RUN_SUCCESS" in log
        return log

    def stored(self, *options: str) -> dict[tuple[str, str | None], Mapping[str, Any]]:
        listed = json.loads(self.run("dagster_buckets", "ls", *self.module, *options, "--json"))
        return {(row["name"], row["partition"]): row for row in listed["values"] if row["uri"]}

    def head(self, target: str) -> Any:
        shown = self.run("dagster_buckets", "show", *self.module, target, "--json")
        return json.loads(shown)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "DAGSTER_HOME": str(home), "LANG": "C.UTF-8", **KEYS}


def project(name: str, tmp_path: Path, environment: dict[str, str], **more: str) -> Project:
    folder = tmp_path / name
    if not folder.exists():
        shutil.copytree(EXAMPLES / name, folder)
    package = name.replace("-", "_")
    environment = {**environment, "PYTHONPATH": str(folder / "src"), **more}
    return Project(folder, ("-m", f"{package}.definitions"), environment)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


def s3_bucket(endpoint: str) -> str:
    name = f"shop-{secrets.token_hex(4)}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    client.create_bucket(Bucket=name)
    client.close()
    return name


def gcs_bucket(endpoint: str) -> str:
    name = f"shop-{secrets.token_hex(4)}"
    made = urllib.request.Request(  # noqa: S310
        f"{endpoint}/storage/v1/b?project=test",
        json.dumps({"name": name}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(made, timeout=10):  # noqa: S310
        return name


def test_shop_local(tmp_path: Path, environment: dict[str, str]) -> None:
    shop = project("shop-local", tmp_path, environment, SHOP_ROOT=str(tmp_path / "data"))
    for region in ("north", "south"):
        shop.materialize("--select", "export,prices", "--partition", region)
    shop.materialize("--select", "cheapest,report")

    formats = {name: row["format"] for name, row in shop.stored().items()}
    assert formats == {
        ("export", "north"): "text",
        ("export", "south"): "text",
        ("prices", "north"): "parquet",
        ("prices", "south"): "parquet",
        ("cheapest", None): "json",
        ("report", None): "text",
    }
    report = (tmp_path / "data/report/data.txt").read_text("utf-8")
    assert "* tea: 4.10 in the south\n" in report
    assert "6 values as materialized; no difference" in shop.run(
        "dagster_buckets", "verify", *shop.module
    )


def of_january(shop: Project, *options: str) -> None:
    """A run over a month for the days, one for the rest."""
    shop.materialize("--select", "orders,revenue", *JANUARY, *options)
    shop.materialize("--select", "best_item", *options)


@pytest.mark.long
def test_shop_s3(tmp_path: Path, environment: dict[str, str], s3_endpoint: str) -> None:
    lake, branches = s3_bucket(s3_endpoint), s3_bucket(s3_endpoint)
    cloud = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "LAKE_BUCKET": lake,
        "LAKE_PREFIX": "prod",
        "BRANCH_BUCKET": branches,
    }
    laptop = project("shop-s3", tmp_path, environment)
    of_january(laptop)
    assert len(laptop.stored()) == 63
    assert (laptop.folder / "data/best_item/data.json").exists()

    production = project("shop-s3", tmp_path, environment, SHOP_DEPLOYMENT="prod", **cloud)
    of_january(production)
    stored = production.stored()
    assert len(stored) == 63
    assert all(row["uri"].startswith(f"s3://{lake}/prod/") for row in stored.values())

    # Reads production's days, and writes only to its own place.
    branch = project("shop-s3", tmp_path, environment, SHOP_DEPLOYMENT="branch", **cloud)
    branch.materialize("--select", "best_item")
    assert set(branch.stored()) == {("best_item", None)}
    assert branch.stored()["best_item", None]["uri"].startswith(f"s3://{branches}/branches/me/")
    assert production.stored() == stored


@pytest.mark.long
def test_shop_gcs(tmp_path: Path, environment: dict[str, str], gcs_endpoint: str) -> None:
    cloud = {
        "STORAGE_EMULATOR_HOST": gcs_endpoint,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "LAKE_BUCKET": gcs_bucket(gcs_endpoint),
        "LAKE_PREFIX": "prod",
        "BRANCH_BUCKET": gcs_bucket(gcs_endpoint),
    }
    production = project("shop-gcs", tmp_path, environment, SHOP_DEPLOYMENT="prod", **cloud)
    for month in ("2026-01", "2026-02", "2026-03"):
        production.materialize("--select", "readings,warmest", "--partition", month)
    production.materialize("--select", "always_warm")
    stored = production.stored()
    assert len(stored) == 7
    assert all(row["uri"].startswith(f"gs://{cloud['LAKE_BUCKET']}/") for row in stored.values())

    branch = project("shop-gcs", tmp_path, environment, SHOP_DEPLOYMENT="branch", **cloud)
    branch.materialize("--select", "always_warm")
    assert set(branch.stored()) == {("always_warm", None)}

    laptop = project("shop-gcs", tmp_path, environment)
    laptop.materialize("--select", "readings,warmest", "--partition", "2026-01")
    assert len(laptop.stored()) == 2


def test_pipes(tmp_path: Path, environment: dict[str, str]) -> None:
    shop = project("pipes", tmp_path, environment, SHOP_ROOT=str(tmp_path / "data"))
    shop.module = ("-f", "definitions.py")
    log = shop.materialize("--select", "*")
    assert "dagster/row_count" in log or "ASSET_MATERIALIZATION" in log
    assert (tmp_path / "data/text/data.txt").read_text() == "oil: 7.90\ntea: 8.60"
    assert set(shop.stored()) == {("orders", None), ("summary", None), ("text", None)}
