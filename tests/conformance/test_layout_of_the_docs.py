"""The layout that the how-to page shows keeps what it promises."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from dagster_buckets.layouts import Layout
from dagster_buckets.testing.layouts import LayoutConformance

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"


class TestLayoutOfTheDocs(LayoutConformance):
    @pytest.fixture
    def layout(self, monkeypatch: pytest.MonkeyPatch) -> Layout:
        (source,) = (
            block
            for block in re.findall(
                r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
            )
            if "class HashedLayout" in block
        )
        # A module of that name, so that the class can be pickled as a plugin's can.
        module = ModuleType("layout_of_the_docs")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(source, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - our own page
        layout: Layout = module.HashedLayout()
        assert pickle.loads(pickle.dumps(layout)) == layout  # noqa: S301 - our own class
        return layout
