"""The servers that several modules talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster_buckets_s3.forks import LINEAGE

from tests.servers import Stub, stub_server


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server that answers as it is told to."""
    with stub_server() as stub:
        yield stub


@pytest.fixture(params=["obstore", "boto3"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who sends the requests; in the child of a fork it is boto3."""
    monkeypatch.setattr(LINEAGE, "without_obstore", request.param == "boto3")
    return str(request.param)
