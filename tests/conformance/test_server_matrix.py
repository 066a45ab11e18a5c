"""Every format on S3 and GCS, plain and compressed, for every kind of partition.

What is installed is tested: a format of another distribution needs nothing but its samples.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from typing import Any, get_args

import boto3
import pytest
from dagster_buckets.address import Address, AssetAddress
from dagster_buckets.choosing import COMPRESSION, Formats
from dagster_buckets.errors import ObjectNotFoundError
from dagster_buckets.formats.compression import SUFFIXES, Codec
from dagster_buckets.formats.options import option_names
from dagster_buckets.plugins import format_class, get_format, get_layout, names
from dagster_buckets.stores.base import ObjectStore
from dagster_buckets.testing.formats import assert_same
from dagster_buckets.values import ValueStore
from dagster_buckets_gcs.store import GCSStore
from dagster_buckets_s3.store import S3Store

from tests.conformance.test_formats import SAMPLES
from tests.conformance.test_matrix import ADDRESSES

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

KEYS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "canary7f3a9SECRET",
}
CODECS: tuple[Codec, ...] = get_args(Codec)
#: Each format as it is, and with one codec around it if it has no compression of its own.
VARIANTS: list[tuple[str, Codec | None]] = [
    *((name, None) for name in names("formats")),
    *(
        (name, CODECS[number % len(CODECS)])
        for number, name in enumerate(
            name for name in names("formats") if COMPRESSION not in option_names(format_class(name))
        )
    ),
]


@pytest.fixture(scope="module")
def s3_bucket(moto_endpoint: str) -> str:
    name = f"matrix-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=moto_endpoint, **KEYS)
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture(scope="module")
def gcs_bucket(gcs_endpoint: str) -> str:
    name = f"matrix-{secrets.token_hex(6)}"
    create = urllib.request.Request(  # noqa: S310
        f"{gcs_endpoint}/storage/v1/b?project=test",
        json.dumps({"name": name}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(create, timeout=10):  # noqa: S310
        return name


@pytest.fixture(params=["s3", "gcs"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    prefix = secrets.token_hex(6)
    made: S3Store | GCSStore
    if request.param == "s3":
        endpoint = request.getfixturevalue("moto_endpoint")
        bucket = request.getfixturevalue("s3_bucket")
        made = S3Store(bucket, prefix, endpoint_url=endpoint, **KEYS)
    else:
        endpoint = request.getfixturevalue("gcs_endpoint")
        bucket = request.getfixturevalue("gcs_bucket")
        made = GCSStore(bucket, prefix, endpoint_url=endpoint)
    yield made
    made.close()


def addresses_of(kind: str, count: int) -> list[Address]:
    """Addresses of one kind; where there can be many of them, enough for every sample."""
    known = ADDRESSES[kind]
    if kind != "many partitions":
        return known
    more = [AssetAddress.of(["shop", "orders"], f"{number}") for number in range(count)]
    return [*known, *more[len(known) :]]


@pytest.mark.parametrize("kind", [kind for kind in ADDRESSES if kind != "op outputs"])
@pytest.mark.parametrize(
    ("name", "codec"), VARIANTS, ids=["-".join(filter(None, variant)) for variant in VARIANTS]
)
def test_every_value_comes_back(
    store: ObjectStore, name: str, codec: Codec | None, kind: str
) -> None:
    options = {} if codec is None else {name: {COMPRESSION: codec}}
    formats = Formats(options, allow_pickle=True)
    values = ValueStore(store, get_layout("hive"), formats=formats)
    samples = SAMPLES[name].values
    addresses = addresses_of(kind, len(samples))
    written = {address: samples[n % len(samples)] for n, address in enumerate(addresses)}
    with pytest.raises(ObjectNotFoundError):
        values.read(addresses[0])
    stored = {
        address: values.write(address, value, format_name=name)
        for address, value in written.items()
    }
    extension = get_format(name).extension
    extension = extension if codec is None else f"{extension}.{SUFFIXES[codec]}"
    assert {info.uri for info in store.scan()} == {s.info.uri for s in stored.values()}
    assert all(s.info.uri.endswith(f"/data.{extension}") for s in stored.values())
    assert len({s.info.uri for s in stored.values()}) == len(addresses)
    for address, value in written.items():
        assert_same(values.read(address, format_name=name), value)
    # Found by what it is called, whatever the options say.
    plain = ValueStore(store, get_layout("hive"), formats=Formats(allow_pickle=True))
    found = plain.locate(addresses)
    assert [place and place.address for place in found] == addresses
    assert {place and place.format.extension for place in found} == {extension}
    first = addresses[0]
    assert_same(plain.read(first), written[first])
    assert plain.parse(stored[first].info.uri) == (first, extension)
    if codec is not None:
        assert {s.compression for s in stored.values()} == {codec}


def test_every_format_and_every_codec_has_its_turn() -> None:
    wrapped = {name for name, codec in VARIANTS if codec}
    assert {name for name, _ in VARIANTS} == set(names("formats"))
    assert {codec for _, codec in VARIANTS if codec} == set(CODECS)
    assert not wrapped & {"arrow", "npz", "parquet"}
    assert wrapped >= {"bytes", "csv", "json", "ndjson", "pickle", "text"}
