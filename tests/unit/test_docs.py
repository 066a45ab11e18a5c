"""Every Python block of the README and the documentation runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests import reference

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "packages").glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCKS = [
    pytest.param(page, match, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text()), start=1)
]


def run(source: str, page: Path, line: int) -> dict[str, Any]:
    """Execute a block as a module, so that a traceback points into the page."""
    code = compile("\n" * line + source, str(page), "exec", dont_inherit=True)
    namespace: dict[str, Any] = {"__name__": "snippet"}
    exec(code, namespace)  # noqa: S102 - our own documentation
    return namespace


def test_the_guarantees_name_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "explanation" / "guarantees.md").read_text()
    named = set(re.findall(r"`(test_\w+\.py)`", page))
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(named) > 15
    assert named - there == set()
    faults = {path.name for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert faults - named == set()


@pytest.mark.parametrize("backend", ["s3", "gcs"])
def test_pages_of_settings_tell_all_of_them_and_their_defaults(backend: str) -> None:
    import importlib

    settings: Any = importlib.import_module(f"dagster_buckets_{backend}.settings").Settings
    page = (ROOT / "docs" / "how-to" / f"{backend}.md").read_text()
    rows = re.findall(r"^\| (`[^|]+?) \|\s*([^|]*?)\s*\|", page, re.MULTILINE)
    told = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    for field in fields(settings):
        assert field.name in told, field.name
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            number = float(re.findall(r"[0-9.]+", told[field.name])[0])
            assert number == field.default, field.name


@pytest.mark.parametrize(("page", "match"), BLOCKS)
def test_block_runs(
    page: Path, match: re.Match[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = page.read_text()[: match.start(1)].count("\n")
    namespace = run(match[1], page, line)
    if "defs" in namespace:
        job = namespace["defs"].resolve_implicit_global_asset_job_def()
        assert job.execute_in_process().success


def test_readme_names_the_files_that_its_first_example_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text()
    first = BLOCK.search(readme)
    assert first is not None
    job = run(first[1], ROOT / "README.md", 0)["defs"].resolve_implicit_global_asset_job_def()
    result = job.execute_in_process()
    assert result.output_for_node("revenue") == {"de": 20.0, "fr": 15.5}
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == ["lake/orders/data.parquet", "lake/revenue/data.json"]
    assert all(f"`{file}`" in readme for file in files)


def test_the_page_on_formats_shows_the_example_that_is_tested() -> None:
    example = ROOT / "examples" / "avro-format" / "src" / "dagster_buckets_avro" / "__init__.py"
    page = ROOT / "docs" / "how-to" / "extend.md"
    assert f"```python\n{example.read_text()}```\n" in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []


def test_the_reference_of_the_formats_is_that_of_the_code() -> None:
    text = reference.PAGE.read_text("utf-8")
    assert reference.page(text) == text, "run python -m tests.reference"
