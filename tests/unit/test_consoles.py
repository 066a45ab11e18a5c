"""Web consoles: where the providers show an object."""

from __future__ import annotations

from typing import Any

import pytest
from dagster_buckets import Body, MemoryStore
from dagster_buckets.stores.base import SupportsConsole, console_url
from dagster_buckets.stores.cache_folder import CacheFolder
from dagster_buckets.stores.cached import CachedStore
from dagster_buckets_gcs import GCSStore
from dagster_buckets_local import LocalStore
from dagster_buckets_s3 import S3Store

LOGIN: Any = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "of-no-account"}
KEY = "a b/partition=2024-01-01-00%3A00/data.parquet"


@pytest.fixture(autouse=True)
def _no_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("region", "console"),
    [
        ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_s3_shows_an_object_in_the_console_of_its_region(region: str, console: str) -> None:
    store = S3Store("lake", "prod", region_name=region, **LOGIN)
    assert console_url(store, KEY) == (
        f"https://{console}/s3/object/lake?region={region}&"
        "prefix=prod%2Fa%20b%2Fpartition%3D2024-01-01-00%253A00%2Fdata.parquet"
    )


def test_gcs_shows_an_object_in_its_console() -> None:
    assert console_url(GCSStore("lake", "prod", token="anon"), KEY) == (
        "https://console.cloud.google.com/storage/browser/_details/lake/"
        "prod/a%20b/partition%3D2024-01-01-00%253A00/data.parquet"
    )


def test_other_servers_and_stores_have_no_console(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:1"
    assert (
        console_url(S3Store("lake", endpoint_url=url, region_name="eu-west-1", **LOGIN), "x")
        is None
    )
    assert console_url(GCSStore("lake", endpoint_url=url), "x") is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    assert console_url(S3Store("lake", region_name="eu-west-1", **LOGIN), "x") is None
    assert console_url(GCSStore("lake"), "x") is None
    assert not isinstance(LocalStore(str(tmp_path)), SupportsConsole)
    assert console_url(MemoryStore("consoles"), "x") is None


def test_a_cache_shows_what_the_store_behind_it_shows(tmp_path: object) -> None:
    behind = S3Store("lake", region_name="eu-west-1", **LOGIN)
    cached = CachedStore(behind, CacheFolder(str(tmp_path), 1_000_000))
    assert console_url(cached, "x") == behind.console_url("x") is not None
    with_memory = CachedStore(MemoryStore("consoles"), CacheFolder(str(tmp_path), 1_000_000))
    with_memory.put("x", Body.of(b"1"))
    assert console_url(with_memory, "x") is None
