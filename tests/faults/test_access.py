"""Fault 10: credentials that are wrong or not there: few requests, and an error that says which.

What S3 and Google say of expired tokens, clocks and forbidden prefixes, servers here do not say:
``test_s3_store.py`` and ``test_gcs_store.py`` answer with it, and count, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dagster_buckets.errors import AccessDeniedError
from dagster_buckets.objects import Body

from tests.faults.conftest import Site


@pytest.mark.parametrize("call", ["get", "put", "large", "create", "head", "scan", "delete"])
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"aws_secret_access_key": "of-another-account"}, "aws_secret_access_key"),
        ({"aws_access_key_id": "AKIDNOBODY"}, "aws_access_key_id"),
    ],
    ids=["secret", "key"],
)
def test_wrong_credentials_are_told_at_once(
    call: str, wrong: dict[str, str], hint: str, make_site: Callable[[str], Site]
) -> None:
    site = make_site("seaweedfs")
    store = site.store(**wrong)
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("x"),
        "put": lambda: store.put("x", Body.of(b"1")),
        "large": lambda: store.put("x", Body.of(bytes(17 * 1024 * 1024))),
        "create": lambda: store.put("x", Body.of(b"1"), if_absent=True),
        "head": lambda: store.head("x"),
        "scan": lambda: list(store.scan()),
        "delete": lambda: store.delete(["x"]),
    }
    with pytest.raises(AccessDeniedError, match=hint):
        calls[call]()
    assert len(site.proxy.requests) <= 2, site.proxy.requests


def test_no_credentials_are_told_without_a_request(make_site: Callable[[str], Site]) -> None:
    site = make_site("seaweedfs")
    store = site.store(aws_access_key_id=None, aws_secret_access_key=None)
    with pytest.raises(AccessDeniedError, match="no AWS credentials found"):
        store.get("x")
    assert site.proxy.requests == []
