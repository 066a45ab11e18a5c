"""Places that a manager of Dagster and one of ours share: the same bucket, the same prefix."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import dagster as dg
import polars as pl
import pytest
from dagster_aws.s3 import S3PickleIOManager, S3Resource
from dagster_azure.adls2.io_manager import PickledObjectADLS2IOManager
from dagster_azure.adls2.utils import ResourceNotFoundError
from dagster_buckets import BucketIOManager, MemoryIOManager, MemoryStore
from dagster_buckets.errors import ObjectNotFoundError
from dagster_buckets.objects import Body
from dagster_buckets_gcs import GCSIOManager
from dagster_buckets_local import LocalIOManager
from dagster_buckets_s3 import S3IOManager
from dagster_gcp.gcs import GCSPickleIOManager, GCSResource
from dagster_polars import PolarsParquetIOManager
from upath import UPath

S3_KEYS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "canary7f3a9SECRET",
}


@dataclass
class Place:
    """One empty place, and both managers over it.

    Attributes:
        theirs: Dagster's own manager.
        ours: The manager that takes its place.
        objects: All that lies there, by the whole key.
        rename: Moves one object.
        prefix: What the keys of both begin with.
        value: A value that both can store, made of a number.
        number: The number that a value was made of.
        annotation: The class of these values.
        fails_on: Marks in a name that their manager cannot write or load.
        finds_old_keys: Whether their manager finds ``v1|v2``.
        keeps_slashes: Whether their manager writes a ``//`` as it is.
    """

    theirs: Any
    ours: BucketIOManager
    objects: Callable[[], dict[str, bytes]]
    rename: Callable[[str, str], None]
    prefix: str = "dagster/"
    value: Callable[[int], Any] = lambda number: {"n": number, ("t",): {number}}
    number: Callable[[Any], int] = lambda value: int(value["n"])
    annotation: Any = dict
    fails_on: tuple[str, ...] = ()
    finds_old_keys: bool = True
    keeps_slashes: bool = False

    def works_on(self, key: str) -> bool:
        """Whether their manager can write and load the object of such a key."""
        return not any(mark in f"/{key}" for mark in self.fails_on)

    def keys(self) -> set[str]:
        return set(self.objects())


class JSONManager(dg.UPathIOManager):
    """A manager as users write them, after the example in Dagster's documentation."""

    extension = ".json"

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        with path.open("w") as file:
            json.dump(obj, file)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        with path.open("r") as file:
            return json.load(file)


def _files(root: Path) -> tuple[Callable[[], dict[str, bytes]], Callable[[str, str], None]]:
    def objects() -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    def rename(old: str, new: str) -> None:
        (root / old).rename(root / new)

    return objects, rename


def _folder(request: pytest.FixtureRequest) -> Path:
    root: Path = request.getfixturevalue("tmp_path") / secrets.token_hex(4)
    root.mkdir()
    return root


def filesystem(request: pytest.FixtureRequest) -> Place:
    root = _folder(request)
    return Place(
        dg.FilesystemIOManager(base_dir=str(root)),
        LocalIOManager(root=str(root), layout="legacy", format="pickle"),
        *_files(root),
        prefix="",
    )


def subclass(request: pytest.FixtureRequest) -> Place:
    root = _folder(request)
    return Place(
        JSONManager(base_path=UPath(root)),
        LocalIOManager(root=str(root), layout="legacy", format="json"),
        *_files(root),
        prefix="",
        value=lambda number: {"n": number},
    )


def polars(request: pytest.FixtureRequest) -> Place:
    root = _folder(request)
    return Place(
        PolarsParquetIOManager(base_dir=str(root)),
        LocalIOManager(root=str(root), layout="legacy:polars", format="parquet"),
        *_files(root),
        prefix="",
        value=lambda number: pl.DataFrame({"n": [number]}),
        number=lambda value: int(value["n"][0]),
        annotation=pl.DataFrame,
        # Polars takes the path for a glob.
        fails_on=("[",),
    )


def _bucket(
    request: pytest.FixtureRequest,
) -> tuple[str, str, Callable[[], dict[str, bytes]], Callable[[str, str], None]]:
    endpoint: str = request.getfixturevalue("moto_endpoint")
    bucket = f"stock-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=endpoint, **S3_KEYS)
    client.create_bucket(Bucket=bucket)
    request.addfinalizer(client.close)

    def objects() -> dict[str, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def rename(old: str, new: str) -> None:
        data = client.get_object(Bucket=bucket, Key=old)["Body"].read()
        client.put_object(Bucket=bucket, Key=new, Body=data)
        client.delete_object(Bucket=bucket, Key=old)

    return endpoint, bucket, objects, rename


def s3(request: pytest.FixtureRequest) -> Place:
    endpoint, bucket, objects, rename = _bucket(request)
    return Place(
        S3PickleIOManager(
            s3_resource=S3Resource(endpoint_url=endpoint, **S3_KEYS), s3_bucket=bucket
        ),
        S3IOManager(
            bucket=bucket,
            prefix="dagster",
            layout="legacy",
            format="pickle",
            endpoint_url=endpoint,
            **S3_KEYS,
        ),
        objects,
        rename,
    )


def polars_s3(request: pytest.FixtureRequest) -> Place:
    endpoint, bucket, objects, rename = _bucket(request)
    options = {
        "key": S3_KEYS["aws_access_key_id"],
        "secret": S3_KEYS["aws_secret_access_key"],
        "client_kwargs": {"endpoint_url": endpoint, "region_name": S3_KEYS["region_name"]},
    }
    return Place(
        PolarsParquetIOManager(base_dir=f"s3://{bucket}/lake", storage_options=options),
        S3IOManager(
            bucket=bucket,
            prefix="lake",
            layout="legacy:polars",
            format="parquet",
            endpoint_url=endpoint,
            **S3_KEYS,
        ),
        objects,
        rename,
        prefix="lake/",
        value=lambda number: pl.DataFrame({"n": [number]}),
        number=lambda value: int(value["n"][0]),
        annotation=pl.DataFrame,
        # Of S3 paths, UPath refuses to put a suffix to a leading dot.
        fails_on=("[", "/."),
        # What polars raises is no FileNotFoundError.
        finds_old_keys=False,
        keeps_slashes=True,
    )


def gcs(request: pytest.FixtureRequest) -> Place:
    endpoint: str = request.getfixturevalue("gcs_endpoint")
    # Read by google-cloud-storage, which then needs no credentials.
    request.getfixturevalue("monkeypatch").setenv("STORAGE_EMULATOR_HOST", endpoint)
    bucket = f"stock-{secrets.token_hex(6)}"
    at = f"{endpoint}/storage/v1/b/{bucket}/o"

    def call(method: str, url: str, data: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        made = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(made, timeout=10) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body

    call("POST", f"{endpoint}/storage/v1/b?project=test", json.dumps({"name": bucket}).encode())

    def objects() -> dict[str, bytes]:
        names = [item["name"] for item in json.loads(call("GET", at)).get("items", [])]
        return {name: call("GET", f"{at}/{quote(name, safe='')}?alt=media") for name in names}

    def rename(old: str, new: str) -> None:
        data = call("GET", f"{at}/{quote(old, safe='')}?alt=media")
        upload = f"{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
        call("POST", upload + quote(new, safe=""), data)
        call("DELETE", f"{at}/{quote(old, safe='')}")

    return Place(
        GCSPickleIOManager(gcs=GCSResource(project="test"), gcs_bucket=bucket),
        GCSIOManager(
            bucket=bucket,
            prefix="dagster",
            layout="legacy",
            format="pickle",
            endpoint_url=endpoint,
            token="anon",
        ),
        objects,
        rename,
        # What google-cloud-storage raises is no FileNotFoundError.
        finds_old_keys=False,
    )


class Lake:
    """The part of Azure's clients that the manager of dagster-azure calls, over a memory store."""

    file_system_name = "lake"
    account_name = "account"

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def get_file_system_client(self, name: str) -> Lake:
        return self

    def get_container_client(self, name: str) -> Lake:
        return self

    def get_file_system_properties(self) -> Mapping[str, str]:
        return {}

    def get_file_client(self, path: str) -> LakeFile:
        return LakeFile(self.store, path)

    create_file = get_file_client


class LakeFile:
    def __init__(self, store: MemoryStore, path: str) -> None:
        self.store = store
        self.path = path

    def upload_data(self, data: bytes, *, lease: str, overwrite: bool) -> None:
        self.store.put(self.path, Body.of(data))

    def download_file(self) -> LakeFile:
        return self

    def readall(self) -> bytes:
        try:
            return bytes(self.store.get(self.path).data)
        except ObjectNotFoundError as error:
            raise ResourceNotFoundError(str(error)) from error


class Lease:
    id = "lease"

    def __init__(self, client: LakeFile) -> None:
        pass

    def acquire(self, lease_duration: int) -> None:
        pass

    def release(self) -> None:
        pass


def adls_manager(store: MemoryStore) -> PickledObjectADLS2IOManager:
    lake: Any = Lake(store)
    lease: Any = Lease
    return PickledObjectADLS2IOManager("lake", lake, lake, lease)


def adls(request: pytest.FixtureRequest) -> Place:
    space = secrets.token_hex(8)
    store = MemoryStore(space)

    def objects() -> dict[str, bytes]:
        return {info.key: bytes(store.get(info.key).data) for info in store.scan()}

    def rename(old: str, new: str) -> None:
        store.put(new, Body.of(store.get(old).data))
        store.delete([old])

    return Place(
        adls_manager(store),
        MemoryIOManager(name=space, prefix="dagster", layout="legacy:adls", format="pickle"),
        objects,
        rename,
        # What Azure's client raises is no FileNotFoundError.
        finds_old_keys=False,
    )


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "filesystem": filesystem,
    "subclass": subclass,
    "polars": polars,
    "s3": s3,
    "polars-s3": polars_s3,
    "gcs": gcs,
    "adls": adls,
}
