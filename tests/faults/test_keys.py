"""Fault 12: hostile names lead nowhere, and a write to a cloud touches no local file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster_buckets.objects import Body

from tests.faults.conftest import BACKENDS, Site
from tests.faults.hostile_writes import addresses

_ROOT = Path(__file__).parents[2]


def test_the_corpus_is_large_enough() -> None:
    found = addresses()
    assert len(set(found)) == len(found) >= 6 * 200


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", BACKENDS)
def test_hostile_names_lead_nowhere(
    server: str, make_site: Callable[[str], Site], tmp_path: Path
) -> None:
    site = make_site(server)
    # What must not be reached: beside the prefix, and the folder in which the process runs.
    outside = {**site.control, "prefix": "production"}
    from tests.faults.writers import store_of

    neighbour = store_of(site.backend, outside)
    neighbour.put("asset/data.txt", Body.of(b"not yours"))
    folder = tmp_path / "cwd"
    folder.mkdir()
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-B", "-W", "ignore", "-m", "tests.faults.hostile_writes",
         site.backend, json.dumps(site.control)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(_ROOT), "HOME": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    keys = found["keys"]
    assert len(set(keys)) == len(keys) == len(addresses())
    listed = {info.key for info in site.bare().scan()}
    assert listed == {*keys, "first/data.txt"}
    everything = store_of(site.backend, {**site.control, "prefix": None})
    assert {info.key for info in everything.scan()} == {
        *(f"prod/{key}" for key in listed),
        "production/asset/data.txt",
    }
    assert bytes(neighbour.get("asset/data.txt").data) == b"not yours"
    assert list(folder.iterdir()) == []
    if server != "local":
        assert found["touched"] == []
