"""The notebook, executed by a kernel beside the values that its project stored."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.examples.test_projects import EXAMPLES, environment, project  # noqa: F401


@pytest.mark.timeout(600)
@pytest.mark.long
def test_the_notebook(
    tmp_path: Path,
    environment: dict[str, str],  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = project("shop-local", tmp_path, environment, SHOP_ROOT=str(tmp_path / "data"))
    for region in ("north", "south"):
        shop.materialize("--select", "export,prices", "--partition", region)
    shop.materialize("--select", "cheapest,report")
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(  # type: ignore[no-untyped-call]
        EXAMPLES / "notebook" / "shop.ipynb", as_version=4
    )

    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))

    outputs = [
        str(output.get("text") or output["data"]["text/plain"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        # Dagster's log goes to the other one.
        if output.get("name") != "stderr"
    ]
    assert "* tea: 4.10 in the south" in outputs[0]
    assert outputs[1].startswith("pyarrow.Table\nitem: ")
    assert "north" in outputs[2]
    assert "south" in outputs[2]
    assert "prices/partition=north/data.parquet" in outputs[3]
