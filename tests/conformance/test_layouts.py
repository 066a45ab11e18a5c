from __future__ import annotations

import pytest
from dagster_buckets.layouts import Layout
from dagster_buckets.plugins import get_layout, names
from dagster_buckets.testing.layouts import LayoutConformance

#: By the name of the layout, what the setting ``layout`` can be.
SPECS = {
    "hive": ["hive"],
    "legacy": [
        "legacy:filesystem",
        "legacy:s3",
        "legacy:gcs",
        "legacy:adls",
        "legacy:polars",
    ],
    "template": [
        "template:{asset}[/key={partition}][/date={dim.date}/region={dim.region}]/data.{ext}",
        "template:{asset}[/{shard:1}/p={partition}][/r={dim.region}.{shard}/{dim.date}]/data.{ext}",
    ],
}
#: Of the five managers whose keys they are, those that differ least from the others.
BY_NIGHT = {"legacy:gcs", "legacy:adls"}
ALL_SPECS = [
    pytest.param(spec, marks=pytest.mark.long if spec in BY_NIGHT else ())
    for name in names("layouts")
    for spec in SPECS.get(name, [])
]


@pytest.mark.parametrize("name", names("layouts"))
def test_every_layout_has_a_sample(name: str) -> None:
    assert SPECS.get(name), f"add what layout={name!r} can be to SPECS"


class TestLayouts(LayoutConformance):
    @pytest.fixture(params=ALL_SPECS)
    def layout(self, request: pytest.FixtureRequest) -> Layout:
        return get_layout(request.param)
