"""The command line starts at once: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dagster_buckets import AssetAddress, HiveLayout, ValueStore
from dagster_buckets_local import LocalStore

HEAVY = {"dagster", "pyarrow", "pandas", "polars", "numpy", "rich", "pydantic"}
SDKS = {"boto3", "botocore", "obstore", "s3fs", "gcsfs", "fsspec", "aiohttp", "google"}

SCRIPT = """
import json, sys
sys.argv[0] = "dagster-buckets"
from dagster_buckets.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def loaded_by(*args: str) -> tuple[set[str], str]:
    command = [sys.executable, "-c", SCRIPT, *args]
    done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    return set(json.loads(done.stderr)), done.stdout


@pytest.mark.parametrize(
    "args",
    [("--help",), ("--version",), *((name, "--help") for name in ("ls", "show", "verify", "gc"))],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(args: tuple[str, ...]) -> None:
    loaded, printed = loaded_by(*args)
    assert "dagster_buckets" in loaded
    assert not loaded & (HEAVY | SDKS)
    assert "dagster-buckets" in printed


def test_a_listing_of_a_uri_needs_no_dagster(tmp_path: Path) -> None:
    values = ValueStore(LocalStore(tmp_path), HiveLayout())
    values.write(AssetAddress.of(["orders"], "2024-01-31"), {"n": 1})
    loaded, printed = loaded_by("ls", str(tmp_path))
    assert "2024-01-31" in printed
    assert not loaded & (HEAVY | SDKS)


def test_a_pipe_that_is_closed_is_no_difference(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number:04}{'x' * 100}").touch()
    command = [sys.executable, "-m", "dagster_buckets", "ls", str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:  # noqa: S603
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_it_runs_as_a_module_and_every_command_says_how_it_is_used() -> None:
    from click.testing import CliRunner
    from dagster_buckets.cli import cli

    names = cli.list_commands(None)  # type: ignore[arg-type]
    command = [sys.executable, "-m", "dagster_buckets", "--help"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    for name in names:
        assert f"\n  {name} " in done.stdout
        printed = CliRunner().invoke(cli, [name, "--help"]).output
        assert f"\n    dagster-buckets {name} " in printed, name
        assert "--json" in printed
