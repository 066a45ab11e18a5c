"""The integration tests of S3 as a user who has the policy of `infra/` and nothing else.

A plugin for pytest: `pytest -p tests.infra.under_policy tests/integration -k s3`.
"""

from __future__ import annotations

import functools
import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets import BucketIOManager
from dagster_buckets_s3 import S3IOManager, obstore_wire

from tests import servers
from tests.infra.enforcing import Account, Keys, enforce, moto_process
from tests.infra.policies import BUCKET, Document, compute
from tests.infra.terraform import copy_of_infra
from tests.integration import support

_running = ExitStack()
_OWN_KEYS = (
    "test_credentials_are_those_that_boto3_finds",
    "test_partitioned_assets_in_processes_of_their_own",
    "test_re_execution_from_failure_reads_what_the_first_run_wrote",
    "test_steps_in_processes_of_their_own",
)


def policy() -> Document:
    """For whole buckets, because the tests choose their prefixes, and for deleting."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = compute(copy_of_infra(folder / "infra"), folder)["whole bucket with everything"]
    # One user for the buckets of all tests.
    text = json.dumps(found).replace(f"arn:aws:s3:::{BUCKET}", "arn:aws:s3:::it-*")
    return dict(json.loads(text))


def backend(account: Account, keys: Keys) -> Any:
    """What makes managers of that user over fresh buckets."""

    def s3_backend(_: pytest.FixtureRequest) -> support.MakeManager:
        bucket = f"it-{secrets.token_hex(6)}"
        client = account.client("s3")
        where = {"LocationConstraint": keys["region_name"]}
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        client.close()

        def make(**settings: Any) -> BucketIOManager:
            known = {"bucket": bucket, "endpoint_url": account.endpoint, **keys}
            return S3IOManager(**{**known, **settings})

        return support.MakeManager("s3", f"s3://{bucket}", make, {"bucket": "it-no-such-bucket"})

    return s3_backend


@functools.cache
def running() -> Account:
    """The account of one server, started when it is first asked for."""
    return enforce(_running.enter_context(moto_process()))


@contextmanager
def moto_server() -> Iterator[str]:
    """Instead of the server that lets everybody do everything."""
    yield running().endpoint


def pytest_load_initial_conftests() -> None:
    """Take the place of the server, before any conftest has its name."""
    servers.moto_server = moto_server


def pytest_sessionstart() -> None:
    """Take the place of the keys and the backend that may do everything."""
    keys = running().user("dagster", policy())
    support.S3_KEYS.update(keys)
    support.s3_backend = backend(running(), keys)
    wire: Any = obstore_wire
    config = wire._config
    # moto asks the wrong ARN of a bulk delete.
    wire._config = lambda *args: {**config(*args), "disable_bulk_delete": True}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that have keys of their own, in other processes or made up."""
    left = [item for item in items if item.name.startswith(_OWN_KEYS)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_unconfigure() -> None:
    """Stop the server."""
    _running.close()
