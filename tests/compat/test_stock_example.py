"""The example of a migration from S3PickleIOManager, word for word, against a server."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.compat.support import S3_KEYS

pytestmark = pytest.mark.usefixtures("alone")

EXAMPLE = Path(__file__).parents[2] / "examples" / "from-s3-pickle"


@pytest.fixture
def environment(tmp_path: Path, moto_endpoint: str) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    buckets = {name: f"{name}-{secrets.token_hex(4)}" for name in ("old", "lake")}
    client = boto3.client("s3", endpoint_url=moto_endpoint, **S3_KEYS)
    for bucket in buckets.values():
        client.create_bucket(Bucket=bucket)
    client.close()
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "DAGSTER_HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL": moto_endpoint,
        "AWS_DEFAULT_REGION": S3_KEYS["region_name"],
        "AWS_ACCESS_KEY_ID": S3_KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": S3_KEYS["aws_secret_access_key"],
        "OLD_BUCKET": buckets["old"],
        "LAKE_BUCKET": buckets["lake"],
    }


def test_the_three_states(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLE, folder)

    def run(*command: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr[-8000:]
        return done.stdout

    def told(*command: str) -> Any:
        return json.loads(run("dagster_buckets", *command, "--json"))

    def materialize(state: str, *options: str) -> None:
        run("dagster", "asset", "materialize", "-f", state, *options)

    for month in ("2026-01", "2026-02"):
        materialize("before.py", "--select", "orders", "--partition", month)
    materialize("before.py", "--select", "goals")

    planned = told("migrate", "-f", "moving.py", "io_manager", "new", "--dry-run")
    assert len(planned["moves"]) == 3
    moved = told("migrate", "-f", "moving.py", "io_manager", "new")
    assert (moved["converted"], moved["failed"]) == (3, [])

    # The deployment goes on: by the old code, and then by the new one.
    materialize("before.py", "--select", "orders", "--partition", "2026-03")
    materialize("after.py", "--select", "goals")
    rest = told("migrate", "-f", "after.py", "old", "io_manager")
    assert (rest["converted"], rest["already_there"], rest["failed"]) == (1, 3, [])

    listed = told("ls", "-f", "after.py")["values"]
    assert [(row["name"], row["partition"], row["format"]) for row in listed] == [
        ("goals", None, "json"),
        ("orders", "2026-01", "parquet"),
        ("orders", "2026-02", "parquet"),
        ("orders", "2026-03", "parquet"),
    ]
