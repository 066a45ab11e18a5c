"""The examples of the page on engines that are not in the environment of the daily tests."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_docs import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "read-with-engines.md"
BLOCKS = re.findall(r"^```(python|py)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ["daft", "ray", "spark"])
def test_an_engine_reads_as_the_page_says(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if engine != "daft":
        # What the example gets if it asks for one.
        request.getfixturevalue(engine)
    (before,) = (text for kind, text in BLOCKS if kind == "python" and "table_for" in text)
    (example,) = (text for kind, text in BLOCKS if kind == "py" and f"by_{engine} = " in text)
    found: dict[str, Any] = run(before + example, PAGE, 0)
    assert found[f"by_{engine}"] == found["expected"]
