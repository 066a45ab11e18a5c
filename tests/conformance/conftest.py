"""The servers that several modules talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before gcsfs is imported: its experimental class opens gRPC connections past the emulator.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

import pytest
from dagster_buckets_s3.forks import LINEAGE

from tests.gcs_server import fake_gcs_server
from tests.servers import Stub, stub_server


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """The endpoint of a GCS that lives as long as the test session."""
    with fake_gcs_server() as endpoint:
        yield endpoint


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
