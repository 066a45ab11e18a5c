"""The demo as a user runs it: one process for each store, in a folder and home of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dagster_buckets import AssetAddress
from dagster_buckets_local import LocalIOManager

from demo.check import differences

ROOT = Path(__file__).resolve().parents[2]
TOTALS = 249
OBJECTS = 63
# What must not matter: somebody's account, endpoint, proxy and Dagster.
FOREIGN = {
    "AWS_PROFILE": "nobody",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "DAGSTER_HOME": "/nowhere",
}


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Run the demo with the folder as its working directory, home and place for temporary files."""
    for name in ("cwd", "home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    own = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(ROOT),
        # Found again in the environment of every process that the demo starts.
        "DEMO_TEST": str(folder),
    }
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "demo", *args],
        cwd=folder / "cwd",
        env={**os.environ, **FOREIGN, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_running(folder: Path) -> list[str]:
    """The processes with our mark in their environment (Linux only)."""
    mark = f"DEMO_TEST={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def files(folder: Path) -> list[str]:
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if not f.is_dir())


def test_local(tmp_path: Path) -> None:
    kept = tmp_path / ("a-folder-with-a-name-that-is-wider-than-most-terminals" * 3) / "kept"
    process = start(tmp_path, "--keep", str(kept))
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    assert err == ""
    assert f"check: {TOTALS} totals equal to those computed from the CSV files" in out
    assert re.search(r"raw/flights .* parquet .* MB .* file://", out)
    assert re.search(r"flights_by_month_and_origin .* 36 partitions", out)
    assert "336,776 flights left New York City" in out
    assert len(files(kept)) == OBJECTS
    assert files(tmp_path / "cwd") == files(tmp_path / "home") == files(tmp_path / "tmp") == []

    # The check reads the store: with a total falsified there it fails and says which.
    values = LocalIOManager(root=str(kept)).values
    address = AssetAddress.of(["summary"])
    summary = values.read(address, dict)
    summary["all"]["flights"] += 1
    values.write(address, summary)
    process = start(tmp_path, "--keep", str(kept), "--check-only", "--all")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 1
    assert "all: flights: stored 336777, in the CSV files 336776" in out
    assert f"1 of {TOTALS} totals are wrong" in err
    assert out.count("partition=2013-") == 24  # --all: each month in two columns

    # A table that lost a partition is found too, though the summary is right.
    summary["all"]["flights"] -= 1
    values.write(address, summary)
    values.store.delete(["flights_by_month/partition=2013-05/data.parquet"])
    process = start(tmp_path, "--keep", str(kept), "--check-only")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 1
    assert "rows of flights_by_month: 2013-05: stored nothing, in the CSV files 28796" in out


@pytest.mark.parametrize(("store", "scheme"), [("s3", "s3"), ("gcs", "gs")])
def test_servers(tmp_path: Path, store: str, scheme: str) -> None:
    process = start(tmp_path, "--store", store)
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    assert err == ""
    assert f"check: {TOTALS} totals equal to those computed from the CSV files" in out
    uri = rf"{scheme}://dagster-buckets-demo/demo/raw/flights/data\.parquet"
    assert re.search(rf"raw/flights .* parquet .* MB .* {uri}", out)
    assert left_running(tmp_path) == []
    for name in ("cwd", "home", "tmp"):
        assert files(tmp_path / name) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_an_interrupted_demo(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "--store", "gcs")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[8/"):
            break
    assert any("fake-gcs-server" in command for command in left_running(tmp_path))
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in err.splitlines()
    end = time.monotonic() + 5
    while left_running(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert left_running(tmp_path) == []
    assert files(tmp_path / "tmp") == []


def test_a_value_that_cannot_be_stored_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    process = start(tmp_path, "--keep", str(tmp_path / "file" / "below"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Error: " in err
    assert "asset 'raw/flights'" in err
    assert f"file://{tmp_path}/file/below/raw/flights/data.parquet" in err


def test_keep_goes_with_the_local_store_only(tmp_path: Path) -> None:
    process = start(tmp_path, "--store", "s3", "--keep", str(tmp_path))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the s3 server keeps nothing" in err


def test_differences_name_each_total_that_differs() -> None:
    computed = {("all", "flights"): 3, ("rows of raw/planes", ""): 5, ("only", "here"): 1}
    assert differences(computed, computed) == []
    stored = {("all", "flights"): 4, ("rows of raw/planes", ""): 5, ("more", "there"): 2}
    assert differences(stored, computed) == [
        "all: flights: stored 4, in the CSV files 3",
        "more: there: stored 2, in the CSV files nothing",
        "only: here: stored nothing, in the CSV files 1",
    ]
