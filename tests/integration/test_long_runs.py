"""Interrupts and memory, of real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.long_runs import LARGE, LARGE_BYTES, MANY

ROOT = Path(__file__).parents[2]


def start(kind: str, what: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONUNBUFFERED": "1"}
    arguments = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.integration.long_runs",
        kind,
        what,
        str(folder),
    ]
    return subprocess.Popen(  # noqa: S603 - our own module
        arguments,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err[-3000:]
    result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "what",
    [
        "write_dict",
        pytest.param("write_stream", marks=pytest.mark.long),
        pytest.param("read_dict", marks=pytest.mark.long),
        "read_stream",
    ],
)
def test_an_interrupt_ends_a_transfer_at_once(tmp_path: Path, what: str) -> None:
    process = start("interrupted", what, tmp_path)
    try:
        assert process.stdout
        while process.stdout.readline().strip() != "ready":
            assert process.poll() is None
        # The whole would take 20 s.
        time.sleep(2 if what.startswith("write") else 3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        result = ended(process)
        took = time.monotonic() - sent
    finally:
        process.kill()
        process.communicate()
    assert "Interrupt" in result["raised"]
    assert took < 10
    stored = {path.parent.name.removeprefix("partition=") for path in tmp_path.rglob("data.txt")}
    if what.startswith("write"):
        # What was stored is shown, less than what was just on its way.
        assert 8 <= len(stored) < len(MANY)
        assert set(result["materialized"]) <= stored
        assert len(stored - set(result["materialized"])) <= 2 * 8


@pytest.mark.parametrize("what", ["write", "read"])
def test_a_stream_holds_little(tmp_path: Path, what: str) -> None:
    process = start("large", what, tmp_path)
    try:
        result = ended(process)
    finally:
        process.kill()
        process.communicate()
    assert result.get("stored", result.get("right")) == len(LARGE)
    # 64 MiB of encoded bytes on their way, each twice or three times while it is (un)pickled.
    assert result["held"] < 64 * 1024 * 1024 * 4 < len(LARGE) * LARGE_BYTES / 3
