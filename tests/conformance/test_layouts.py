from __future__ import annotations

import pytest
from dagster_buckets.layouts import Layout
from dagster_buckets.plugins import get_layout, names
from dagster_buckets.testing.layouts import LayoutConformance


class TestLayouts(LayoutConformance):
    @pytest.fixture(params=names("layouts"))
    def layout(self, request: pytest.FixtureRequest) -> Layout:
        return get_layout(request.param)
