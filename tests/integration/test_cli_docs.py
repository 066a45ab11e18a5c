"""The pages on the command line show what the commands print."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_buckets.cli import cli

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
#: What no two runs have in common.
VARYING = (
    (re.compile(r"file://\S*/(lake|copy)/"), r"file:///\1/"),
    (re.compile(r"(?:(?<=\()| +)\d+ (s|min)\b"), " AGE"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "RUN"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "HEX"),
    (re.compile(r"(etag: +)\S+"), r"\1ETAG"),
    (re.compile(r"\d{4}-\d\d-\d\dT\S+"), "TIME"),
    # Arrow notes its version in Parquet.
    (re.compile(r"\b1,\d{3} bytes|\b[12]\.\d KiB"), "SIZE"),
    (re.compile(r" +AGE"), " AGE"),
    (re.compile(r" +SIZE"), " SIZE"),
    (re.compile(r" +$", re.MULTILINE), ""),
)


def plain(text: str) -> str:
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text)
    return text.strip()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.mark.parametrize(("page", "commands"), [("cli.md", 10), ("migrate.md", 3)])
def test_the_page_shows_what_is_printed(
    log: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    commands: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (PAGES / page).read_text("utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(source)
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(source, "shop.py", "exec"), names)  # noqa: S102 - our own documentation
    for day in ("d1", "d2"):
        assets = [names["orders"], *([names["rates"]] if day == "d1" else [])]
        dg.materialize(assets, resources=names["shop"].resources, instance=log, partition_key=day)
    ran = 0
    for block in re.findall(r"^ *```console\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        for command, wanted in re.findall(
            r"^\$ ([^\n]+)\n((?:(?!\$ )[^\n]*\n)*)", textwrap.dedent(block), re.MULTILINE
        ):
            name, *args = shlex.split(command)
            if name == "rm":
                (tmp_path / args[0]).unlink()
            if name != "dagster-buckets":
                continue
            result = CliRunner().invoke(cli, args, catch_exceptions=False)
            assert plain(result.output) == plain(wanted), command
            ran += 1
    assert ran == commands
