"""Dagster's ``dg``: it lists our components, scaffolds them, and checks what people write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPONENTS = {
    "dagster_buckets_gcs.component.GCSIOManagerComponent",
    "dagster_buckets_local.component.LocalIOManagerComponent",
    "dagster_buckets_s3.component.S3IOManagerComponent",
}
LOCAL = "dagster_buckets_local.component.LocalIOManagerComponent"

PYPROJECT = """\
[project]
name = "shop"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shop"
"""
DEFINITIONS = """\
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
ASSETS = """\
import dagster as dg


@dg.asset
def orders() -> dict[str, float]:
    return {"de": 20.0}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as ``create-dagster`` makes it."""
    package = tmp_path / "src" / "shop"
    (package / "defs").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").touch()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "defs" / "assets.py").write_text(ASSETS)
    (package / "definitions.py").write_text(DEFINITIONS)
    return tmp_path


def dg(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [str(Path(sys.executable).with_name("dg")), *args],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "PYTHONPATH": str(project / "src"),
            "DAGSTER_HOME": str(project / "home"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DAGSTER_DG_CLI_CONFIG": str(project / "no.toml"),
            "NO_COLOR": "1",
        },
    )


def test_dg_lists_the_components(project: Path) -> None:
    listed = dg(project, "list", "components", "--json")
    assert listed.returncode == 0, listed.stderr
    found = {entry["key"]: entry["summary"] for entry in json.loads(listed.stdout)["items"]}
    assert found.keys() >= COMPONENTS
    assert found[LOCAL] == "Stores the values of assets and ops as files below a folder."


def test_dg_scaffolds_a_component_that_works(project: Path) -> None:
    made = dg(project, "scaffold", "defs", LOCAL, "storage", "--root", str(project / "values"))
    assert made.returncode == 0, made.stderr
    assert (project / "src" / "shop" / "defs" / "storage" / "defs.yaml").exists()
    checked = dg(project, "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    launched = dg(project, "launch", "--assets", "orders")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    stored = (project / "values" / "orders" / "data.json").read_text()
    assert json.loads(stored) == {"de": 20.0}


def test_dg_points_at_a_wrong_attribute(project: Path) -> None:
    folder = project / "src" / "shop" / "defs" / "storage"
    folder.mkdir()
    (folder / "defs.yaml").write_text(f"type: {LOCAL}\nattributes:\n  root: values\n  rooot: x\n")
    checked = dg(project, "check", "yaml")
    assert checked.returncode != 0
    assert "defs.yaml:4" in checked.stdout + checked.stderr
    assert "'rooot' was unexpected" in checked.stdout + checked.stderr
