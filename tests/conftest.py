"""Settings that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.seaweed_server import seaweed_server
from tests.servers import moto_server

# Before gcsfs is imported: its experimental class opens gRPC connections past the emulator.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# A failure prints the line that repeats it; no example is kept in a folder of the checkout.
settings.register_profile("default", settings(deadline=None, print_blob=True, database=None))
settings.load_profile("default")


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """The endpoint of an S3 server that lives as long as the test session."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_endpoint() -> Iterator[str]:
    """The endpoint of a SeaweedFS that lives as long as the test session."""
    with seaweed_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """The endpoint of a GCS that lives as long as the test session."""
    from tests.gcs_server import fake_gcs_server

    with fake_gcs_server() as endpoint:
        yield endpoint


@pytest.fixture
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials and no settings of any cloud, from the environment or from files."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
