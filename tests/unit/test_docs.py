"""Every Python block of the README and the documentation runs."""

from __future__ import annotations

import re
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
