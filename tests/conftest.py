"""Settings that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.seaweed_server import seaweed_server
from tests.servers import moto_server

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
