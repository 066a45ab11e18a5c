"""What the tests of `infra/` share, and that nothing which could not run counts as run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

from tests.infra.enforcing import Account, enforce, moto_process
from tests.infra.google_provider import google_config
from tests.infra.policies import Document, compute
from tests.infra.terraform import Terraform, binary, copy_of_infra, mirror_config, not_run

_reasons: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers what could not run."""
    if report.skipped and isinstance(report.longrepr, tuple) and "NOT RUN" in report.longrepr[2]:
        reason = report.longrepr[2].partition("NOT RUN: ")[2]
        _reasons.append(f"{report.nodeid.rpartition('::')[2]}: {reason}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says loudly what did not run; `nox` reads it, and does not count the session as run."""
    if not _reasons:
        return
    terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
    for reason in _reasons:
        terminalreporter.line(reason, red=True)
    if target := os.environ.get("DAGSTER_BUCKETS_NOT_RUN"):
        Path(target).write_text("\n".join([*_reasons, ""]), encoding="utf-8")


@pytest.fixture(autouse=True)
def _alone(no_settings_of_this_machine: None) -> None:
    """For every test here."""


@pytest.fixture(scope="session")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `infra/`, which Terraform may write to."""
    binary()
    return copy_of_infra(tmp_path_factory.mktemp("terraform") / "infra")


@pytest.fixture(scope="session")
def aws_config(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Terraform's settings under which the provider for AWS can be installed."""
    folder = tmp_path_factory.mktemp("aws")
    config = mirror_config(folder / "terraform.rc")
    (folder / "main.tf").write_text(
        'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws", version = "< 7.0" }\n  }\n}\n'
    )
    answer = Terraform(folder, config).ask("init", "-no-color")
    if answer.code:
        not_run(f"Terraform cannot install hashicorp/aws here: {_last_lines(answer.text)}")
    return config


@pytest.fixture(scope="session")
def google_settings(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Terraform's settings under which a provider for Google, or its schemas, can be installed."""
    return google_config(tmp_path_factory.mktemp("google"))


@pytest.fixture(scope="session")
def documents(infra: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """The policy document of each variant of `s3-policy`."""
    return compute(infra, tmp_path_factory.mktemp("policies"))


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """A server that enforces IAM, and its administrator."""
    with moto_process() as endpoint:
        yield enforce(endpoint)


@pytest.fixture
def moto() -> Iterator[str]:
    """A server that enforces nothing."""
    with moto_process() as endpoint:
        yield endpoint


def _last_lines(text: str) -> str:
    return " ".join(line.strip("│╷╵ ") for line in text.splitlines()[-6:]).strip()
