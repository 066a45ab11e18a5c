"""A partitioned asset and its consumer, to which the tests of bad input do what is wrong."""

from typing import Any

import dagster as dg
from dagster_buckets import BucketIOManager, BucketsError

from tests.integration.support import S3_KEYS, run

LETTERS = dg.StaticPartitionsDefinition(["a", "b"])
KEY = "parts/partition=a/data.json"


@dg.asset(partitions_def=LETTERS)
def parts() -> dict[str, int]:
    return {"n": 1}


@dg.asset(partitions_def=LETTERS)
def seen(parts: Any) -> str:
    return str(parts)


def write(manager: BucketIOManager, asset: Any = parts) -> None:
    run([asset], manager, partition_key="a")


def load(manager: BucketIOManager, consumer: Any = seen) -> None:
    run([parts, consumer], manager, selection=[consumer], partition_key="a")


def assert_says(error: BucketsError, *parts_of_message: str, uri: str) -> None:
    """Asset, partition, URI and a hint are in the text that a user reads."""
    text = str(error)
    assert "asset 'parts', partition 'a'" in text
    assert uri in text
    assert "hint: " in text
    for part in parts_of_message:
        assert part in text
    assert S3_KEYS["aws_secret_access_key"] not in text
