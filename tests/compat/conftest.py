"""Fixtures of the tests beside Dagster's own managers (``nox -s stock``)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

import dagster as dg
import pytest

if TYPE_CHECKING:
    from tests.compat.support import Place


# Only the environment of `nox -s stock` has them.
if importlib.util.find_spec("dagster_aws") is None:
    collect_ignore_glob = ["support.py", "test_stock_*.py"]


@pytest.fixture
def alone(
    no_settings_of_this_machine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of this machine: no credentials, no settings, an empty working directory."""
    # The cloud managers look for local files of the names of their objects, and delete them.
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def new_place(request: pytest.FixtureRequest) -> Callable[[], Place]:
    """Makes empty places of one kind; parametrized by the name of the kind."""
    from tests.compat.support import PLACES

    make = PLACES[request.param]
    return lambda: make(request)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
