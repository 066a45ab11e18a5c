"""Every key of layout ``hive`` is taken by the servers as it is, or refused by us with a reason."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from dagster_buckets import BucketIOManager, BucketsError
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.stores.base import KEY_LIMIT
from dagster_buckets.testing.strategies import HOSTILE_NAMES
from dagster_buckets.transfer import run_all
from dagster_buckets_s3 import S3IOManager

from tests.integration import support
from tests.integration.support import S3_KEYS
from tests.seaweed_server import CREDENTIALS

PREFIX = "prod"
#: From a name to an address that holds it; each place has keys of its own.
PLACES: dict[str, Callable[[str], Address]] = {
    "asset part": lambda name: AssetAddress.of([name]),
    "inner asset part": lambda name: AssetAddress.of(["inner", name, "x"]),
    "partition": lambda name: AssetAddress.of(["partitioned"], name),
    "second dimension": lambda name: AssetAddress.of(["grid"], {"a": "1", "b": name}),
    "dimension name": lambda name: AssetAddress.of(["dimensions"], {name: "x"}),
    "mapping key": lambda name: OpAddress("run", "step", "result", name),
    "step": lambda name: OpAddress("steps", name, "result"),
}


class Backend(NamedTuple):
    manager: BucketIOManager
    keys: Callable[[], list[str]]


def _listed(endpoint: str, bucket: str, credentials: dict[str, Any]) -> list[str]:
    client = boto3.client("s3", endpoint_url=endpoint, **credentials)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    client.close()
    return found


@pytest.fixture(params=["memory", "local", "s3", "gcs", "seaweedfs"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A manager over a fresh bucket, and all keys of the bucket, where possible past our store."""
    if request.param == "seaweedfs":
        endpoint = request.getfixturevalue("seaweed_endpoint")
        bucket = f"it-{secrets.token_hex(6)}"
        client = boto3.client("s3", endpoint_url=endpoint, **CREDENTIALS)
        client.create_bucket(Bucket=bucket)
        client.close()
        manager: BucketIOManager = S3IOManager(
            bucket=bucket, prefix=PREFIX, endpoint_url=endpoint, **CREDENTIALS
        )
        yield Backend(manager, lambda: _listed(endpoint, bucket, CREDENTIALS))
        return
    if request.param == "memory":
        make = support.memory_backend()
    else:
        make = getattr(support, f"{request.param}_backend")(request)
    manager = make(PREFIX)
    place = make.scheme.partition("://")[2]
    if request.param == "local":
        root = Path(place)
        yield Backend(
            manager, lambda: [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
        )
    elif request.param == "s3":
        endpoint = request.getfixturevalue("moto_endpoint")
        yield Backend(manager, lambda: _listed(endpoint, place, S3_KEYS))
    else:
        everything = make().values.store
        yield Backend(manager, lambda: [info.key for info in everything.scan()])


def test_every_key_is_stored_listed_and_read_as_it_is(backend: Backend) -> None:
    values = backend.manager.values
    layout = HiveLayout()
    addresses = [place(name) for place in PLACES.values() for name in HOSTILE_NAMES]
    keys = [layout.key(address, "txt") for address in addresses]
    assert len(set(keys)) == len(addresses) == len(PLACES) * len(HOSTILE_NAMES)

    def write(address: Address) -> str:
        return values.write(address, repr(address)).info.key

    def read(address: Address) -> Any:
        return values.read(address, str, format_name="text")

    written = run_all(write, addresses, max_concurrency=16)
    assert [(o.error, o.result) for o in written] == [(None, key) for key in keys]
    found = run_all(read, addresses, max_concurrency=16)
    assert [(o.error, o.result) for o in found] == [(None, repr(a)) for a in addresses]

    assert sorted(info.key for info in values.store.scan()) == sorted(keys)
    assert sorted(backend.keys()) == sorted(f"{PREFIX}/{key}" for key in keys)
    for address, key in zip(addresses, keys, strict=True):
        # Only what was hashed cannot be told from its key.
        assert layout.parse(key) == (None if "~" in key else (address, "txt"))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (AssetAddress.of(["x" * 300] * 6), f"more than {KEY_LIMIT}|{KEY_LIMIT} bytes"),
        (AssetAddress.of(["a"], {f"d{n}": "é" * 200 for n in range(6)}), f"{KEY_LIMIT}"),
        (AssetAddress.of(["a\ud800"]), "lone surrogate"),
        (AssetAddress.of(["a"], "\udfff"), "lone surrogate"),
        (OpAddress("run", "step", "result", "\ud800"), "lone surrogate"),
    ],
    ids=["long-asset", "many-dimensions", "asset", "partition", "mapping-key"],
)
def test_what_no_server_takes_is_refused_with_a_hint(
    backend: Backend, address: Address, reason: str
) -> None:
    values = backend.manager.values
    for refused in (
        lambda: values.write(address, "x"),
        lambda: values.read(address, str, format_name="text"),
        lambda: values.read(address, str),
    ):
        with pytest.raises(BucketsError, match=reason) as caught:
            refused()
        assert caught.value.hint
    assert backend.keys() == []


def test_keys_of_exactly_the_limit_are_taken(backend: Backend) -> None:
    values = backend.manager.values
    room = KEY_LIMIT - len(f"{PREFIX}/") - len("/data.txt")
    parts = ["x" * 199] * (room // 200)
    parts.append("y" * (room - 200 * len(parts)))
    address = AssetAddress.of(parts)
    key = values.write(address, "at the limit").info.key
    assert len(f"{PREFIX}/{key}") == KEY_LIMIT
    assert values.read(address, str) == "at the limit"
    assert backend.keys() == [f"{PREFIX}/{key}"]
    with pytest.raises(BucketsError, match=str(KEY_LIMIT)):
        values.write(AssetAddress.of([*parts[:-1], parts[-1] + "y"]), "over it")
