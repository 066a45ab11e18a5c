"""The servers that several modules talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before gcsfs is imported: its experimental class opens gRPC connections past the emulator.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

import pytest

from tests.gcs_server import fake_gcs_server


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """The endpoint of a GCS that lives as long as the test session."""
    with fake_gcs_server() as endpoint:
        yield endpoint
