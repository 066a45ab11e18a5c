"""What cannot work is said in one line, with exit code 2; nothing is printed that moves a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dagster_buckets import (
    AssetAddress,
    Body,
    HiveLayout,
    OpAddress,
    UnknownPluginError,
    ValueStore,
)
from dagster_buckets.cli import cli, output
from dagster_buckets.cli.garbage import garbage_in
from dagster_buckets.cli.inventory import inventory
from dagster_buckets.cli.source import Source
from dagster_buckets_local import LocalStore


def invoke(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(args), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def lake(tmp_path: Path) -> ValueStore:
    return ValueStore(LocalStore(tmp_path), HiveLayout())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ls"], "neither a URI nor a module with Definitions is given"),
        (["ls", "nowhere"], "there is no folder "),
        (["ls", "file://nowhere"], "there is no folder "),
        (["ls", "s3:/lake"], "buckets are written s3://bucket/prefix"),
        (["ls", "ftp://x"], "there is no store 'ftp'"),
        (["ls", "s3://"], "cannot be the name of a bucket"),
        (["ls", "gs://"], "cannot be a bucket"),
        (["ls", "s3://lake/../x"], "cannot be a prefix"),
        (["ls", ".", "--layout", "nope"], "there is no layout 'nope'"),
        (["ls", ".", "--layout", "legacy:nope"], "has no dialect 'nope'"),
        (["ls", ".", "--endpoint-url", "http://x"], "--endpoint-url says nothing about file://"),
        (["ls", ".", "--resource", "x"], "--resource goes with -m or -f only"),
        (["ls", ".", "--all"], "--all needs Definitions"),
        (["ls", "-m", "x", "--layout", "hive"], "--layout goes with a URI only"),
        (["ls", "-m", "x", "-f", "y"], "both a module and a Python file are given"),
        (["ls", ".", "orders"], "nothing is stored for 'orders' in file://"),
        (["show", "."], "show takes one asset, and 0 were given"),
        (["show", ".", "a", "b"], "show takes one asset, and 2 were given"),
        (["verify", ".", "a"], "verify takes no assets"),
        (["gc", ".", "a"], "gc takes no assets"),
        (["verify", "."], "DAGSTER_HOME is not set"),
        (["diff", ".", "nowhere"], "there is no folder "),
    ],
)
def test_errors_are_one_line(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    result = invoke(*args, code=2)
    assert re.fullmatch(r"Error: [^\n]+; [^\n]+\n", result.stderr), result.stderr
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("s3://lake", "pip install 'dagster-buckets[s3]'"),
        ("gs://lake", "pip install 'dagster-buckets[gcs]'"),
    ],
)
def test_a_store_that_is_not_installed(
    uri: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(scheme: str) -> Any:
        raise UnknownPluginError(scheme)

    monkeypatch.setattr("dagster_buckets.plugins.get_store_class", absent)
    assert invoke("ls", uri, code=2).stderr.endswith(f"URIs; {line}\n")


def test_a_damaged_object_is_one_line(lake: ValueStore, tmp_path: Path) -> None:
    lake.store.put("a/data.parquet", Body.of(b"no Parquet at all"))
    error = invoke("show", str(tmp_path), "a", code=2).stderr
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_names_that_would_move_the_cursor_are_spelled_out(lake: ValueStore, tmp_path: Path) -> None:
    lake.write(AssetAddress.of(["a\x1b[2J"], "\u202e"), ["\x1b[2J\x9b"])
    for args in (["ls", str(tmp_path)], ["du", str(tmp_path)], ["show", str(tmp_path), "a\x1b[2J"]):
        printed = invoke(*args).output
        assert all(letter.isprintable() or letter == "\n" for letter in printed), args
    assert (
        json.loads(invoke("ls", str(tmp_path), "--json").stdout)["values"][0]["name"] == "a\x1b[2J"
    )


def test_tables_cut_nothing_and_align(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["A", "N"], [["x" * 200, "1"], ["y", "22"]], right=("N",))
    assert capsys.readouterr().out.splitlines() == [
        f"{'A':<200}   N", f"{'x' * 200}   1", f"{'y':<200}  22",
    ]  # fmt: skip


def test_no_progress_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_LONG", 0)
    with output.progress("listed") as tick:
        tick(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.progress("listed") as tick:
        tick(1)
    assert "listed: 1" in capsys.readouterr().err


def test_only_what_is_old_can_go(lake: ValueStore) -> None:
    from datetime import UTC, datetime, timedelta

    lake.write(OpAddress("r", "s", "o"), [1])
    lake.write(AssetAddress.of(["a"]), [1], format_name="json")
    lake.write(AssetAddress.of(["a"]), b"1", format_name="bytes")
    entries = inventory(Source(lake))
    day, now = timedelta(days=1), datetime.now(UTC)
    assert garbage_in(entries, day, now).objects == []
    found = garbage_in(entries, day, now + 2 * day)
    assert list(found.runs) == ["r"]
    assert [(old.info.key, new.info.key) for old, new in found.older_formats] == [
        ("a/data.json", "a/data.bin"),
    ]


def test_a_server_that_is_not_there_is_not_asked_ten_times() -> None:
    from dagster_buckets.cli.request import Request
    from dagster_buckets.cli.source import open_uri
    from dagster_buckets_s3 import S3Store

    store = open_uri("s3://lake/prod", Request(endpoint_url="http://127.0.0.1:9")).store
    assert isinstance(store, S3Store)
    assert (store.settings.max_attempts, store.settings.endpoint_url) == (3, "http://127.0.0.1:9")


def test_an_interrupt_is_neither_a_difference_nor_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dagster_buckets.cli.source.open_source", interrupted)
    assert invoke("ls", str(tmp_path), code=130).output == ""
