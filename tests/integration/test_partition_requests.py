"""How many requests many partitions cost: one each, counted on the wire, whatever client makes them."""

import http.client
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import dagster as dg
import pyarrow as pa
import pytest
from dagster_buckets_s3 import S3IOManager

from tests.integration.support import S3_KEYS, run
from tests.servers import Answer, Request, Stub, stub_server

COUNT = 200
BUCKET = "partition-requests"
NUMBERS = dg.StaticPartitionsDefinition([f"{number:03}" for number in range(COUNT)])
EVERY = dg.AssetIn(partition_mapping=dg.AllPartitionMapping())
OBJECTS = [f"/{BUCKET}/parts/partition%3D{number:03}/data.parquet" for number in range(COUNT)]


def to(endpoint: str) -> Callable[[Request], Answer]:
    """Answers every request as that server does."""
    parts = urlsplit(endpoint)

    def answer(request: Request) -> Answer:
        client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            client.request(request.method, request.path, request.body, request.headers)
            got = client.getresponse()
            headers = {
                name: value
                for name, value in got.getheaders()
                if name.lower() not in {"connection", "transfer-encoding"}
            }
            return got.status, headers, got.read()
        finally:
            client.close()

    return answer


@pytest.fixture
def wire(moto_endpoint: str) -> Iterator[Stub]:
    client = boto3.client("s3", endpoint_url=moto_endpoint, **S3_KEYS)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    with stub_server() as stub:
        stub.answer = to(moto_endpoint)
        yield stub


def manager(wire: Stub, **settings: Any) -> S3IOManager:
    return S3IOManager(bucket=BUCKET, endpoint_url=wire.endpoint, **settings, **S3_KEYS)


def taken(wire: Stub) -> Counter[tuple[str, str]]:
    made = Counter((request.method, request.path) for request in wire.requests)
    wire.requests.clear()
    return made


@dg.asset(ins={"parts": EVERY})
def separate(parts: dict[str, pa.Table]) -> None:
    assert [part["n"].to_pylist() for part in parts.values()] == [[n] for n in range(COUNT)]


@dg.asset(ins={"parts": EVERY})
def joined(parts: pa.Table) -> None:
    assert parts["n"].to_pylist() == list(range(COUNT))


def test_one_request_for_each_partition_and_no_other(wire: Stub) -> None:
    named = manager(wire, format="parquet")
    whole = dg.PartitionKeyRange("000", f"{COUNT - 1:03}")

    @dg.asset(partitions_def=NUMBERS, backfill_policy=dg.BackfillPolicy.single_run())
    def parts(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
        return {key: pa.table({"n": [int(key)]}) for key in context.partition_keys}

    run(
        [parts],
        named,
        tags={
            "dagster/asset_partition_range_start": whole.start,
            "dagster/asset_partition_range_end": whole.end,
        },
    )
    assert taken(wire) == Counter(("PUT", path) for path in OBJECTS)
    for consumer in (separate, joined):
        run([parts, consumer], named, selection=[consumer])
        assert taken(wire) == Counter(("GET", path) for path in OBJECTS)
    # Without a format to go by, one listing finds all of them.
    run([parts, joined], manager(wire), selection=[joined])
    made = taken(wire)
    assert made - Counter(("GET", path) for path in OBJECTS) == Counter(
        {("GET", path): 1 for _, path in made if "list-type=2" in path}
    )
    assert made.total() == COUNT + 1
