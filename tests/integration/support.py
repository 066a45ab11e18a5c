"""What the integration tests share: backends, and a look at what a run wrote."""

import json
import secrets
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster_buckets import (
    BucketIOManager,
    MemoryIOManager,
    MemoryStore,
    ObjectInfo,
    ObjectStore,
    Payload,
)
from dagster_buckets.objects import Body, Buffer, Header
from pydantic import PrivateAttr

S3_KEYS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "canary7f3a9SECRET",
}


class MakeManager:
    """Makes managers of one backend that all share one fresh bucket or folder."""

    def __init__(
        self, backend: str, scheme: str, make: Callable[..., BucketIOManager], wrong: Any
    ) -> None:
        self.backend = backend
        self.scheme = scheme
        self._make = make
        self.settings_of_missing_bucket = wrong

    def __call__(self, prefix: str | None = None, **settings: Any) -> BucketIOManager:
        return self._make(prefix=prefix, **settings)

    def missing_bucket(self) -> BucketIOManager:
        return self._make(**self.settings_of_missing_bucket)


def memory_backend() -> MakeManager:
    space = secrets.token_hex(8)
    # Somebody has to hold on to the objects between the managers of one test.
    keep = MemoryStore(space)

    def make(**settings: Any) -> MemoryIOManager:
        assert keep.name == space
        return MemoryIOManager(name=space, **settings)

    return MakeManager("memory", f"memory://{space}", make, {})


def local_backend(request: pytest.FixtureRequest) -> MakeManager:
    from dagster_buckets_local import LocalIOManager

    root = request.getfixturevalue("tmp_path") / "objects"

    def make(**settings: Any) -> BucketIOManager:
        return LocalIOManager(**{"root": str(root), **settings})

    return MakeManager("local", f"file://{root}", make, {})


def s3_backend(request: pytest.FixtureRequest) -> MakeManager:
    import boto3
    from dagster_buckets_s3 import S3IOManager

    endpoint = request.getfixturevalue("moto_endpoint")
    bucket = f"it-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=endpoint, **S3_KEYS)
    client.create_bucket(Bucket=bucket)
    client.close()

    def make(**settings: Any) -> BucketIOManager:
        return S3IOManager(**{"bucket": bucket, "endpoint_url": endpoint, **S3_KEYS, **settings})

    return MakeManager("s3", f"s3://{bucket}", make, {"bucket": "it-no-such-bucket"})


def gcs_backend(request: pytest.FixtureRequest) -> MakeManager:
    from dagster_buckets_gcs import GCSIOManager

    endpoint = request.getfixturevalue("gcs_endpoint")
    bucket = f"it-{secrets.token_hex(6)}"
    create = urllib.request.Request(  # noqa: S310
        f"{endpoint}/storage/v1/b?project=test",
        json.dumps({"name": bucket}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(create, timeout=10):  # noqa: S310
        pass

    def make(**settings: Any) -> BucketIOManager:
        return GCSIOManager(
            **{"bucket": bucket, "endpoint_url": endpoint, "token": "anon", **settings}
        )

    return MakeManager("gcs", f"gs://{bucket}", make, {"bucket": "it-no-such-bucket"})


def store_of(manager: BucketIOManager) -> ObjectStore:
    return manager.values.store


def keys(manager: BucketIOManager) -> list[str]:
    """Everything that is stored under the manager's prefix."""
    return sorted(info.key for info in manager.values.store.scan())


def raw(manager: BucketIOManager, key: str) -> bytes:
    return bytes(manager.values.store.get(key).data)


def plant(manager: BucketIOManager, key: str, data: bytes) -> None:
    """An object that a run did not write."""
    manager.values.store.put(key, Body.of(data))


def snapshot(manager: BucketIOManager) -> dict[str, bytes]:
    return {key: raw(manager, key) for key in keys(manager)}


class Event(NamedTuple):
    label: str
    partition: str | None
    metadata: dict[str, Any]


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, dg.MetadataValue) else value
        for name, value in metadata.items()
    }


def materialized(result: dg.ExecuteInProcessResult) -> list[Event]:
    """The materialisations of a run: asset, partition, metadata."""
    found: list[tuple[str, str | None, Mapping[str, Any]]] = []
    for event in result.get_asset_materialization_events():
        entry = event.step_materialization_data.materialization
        found.append((entry.asset_key.to_user_string(), entry.partition, entry.metadata))
    return [Event(label, part, _plain(metadata)) for label, part, metadata in found]


def handled(result: dg.ExecuteInProcessResult) -> list[Event]:
    """The HANDLED_OUTPUT events of a run: step, no partition, metadata."""
    return [
        Event(event.step_key or "", None, _plain(event.event_specific_data.metadata))  # type: ignore[union-attr]
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.HANDLED_OUTPUT
    ]


def logged(instance: dg.DagsterInstance, run_id: str) -> str:
    """Every message that the run left in the instance's log."""
    return "\n".join(entry.user_message for entry in instance.all_logs(run_id))


_shared: list[dg.DagsterInstance] = []


@contextmanager
def shared_instance() -> Iterator[None]:
    """An instance for all runs that need none of their own: making one is most of a small run."""
    with dg.DagsterInstance.ephemeral() as instance:
        _shared.append(instance)
        yield
        _shared.clear()


def run(assets: Iterable[Any], manager: Any, **options: Any) -> dg.ExecuteInProcessResult:
    """``dg.materialize`` with our manager; errors come out as they were raised."""
    resources = {"io_manager": manager, **options.pop("resources", {})}
    options = {"instance": _shared[0], **options}
    return dg.materialize(list(assets), resources=resources, **options)


def ranged(start: str, end: str) -> dict[str, str]:
    """The tags of a run over a range of partitions."""
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
    }


@dataclass
class Calls:
    """The requests that a store got, in order: ``("get", key)`` and so on."""

    made: list[tuple[str, str]] = field(default_factory=list)

    def take(self) -> list[tuple[str, str]]:
        made, self.made[:] = list(self.made), []
        return made


class CountingStore:
    """A memory store that writes down what is asked of it."""

    def __init__(self, name: str, prefix: str | None, calls: Calls) -> None:
        self._inner = MemoryStore(name, prefix)
        self._calls = calls

    def put(
        self,
        key: str,
        body: Body,
        *,
        header: Header | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        self._calls.made.append(("put", key))
        return self._inner.put(key, body, header=header, if_absent=if_absent, if_match=if_match)

    def get(self, key: str) -> Payload:
        self._calls.made.append(("get", key))
        return self._inner.get(key)

    def peek(self, key: str, size: int) -> Payload:
        self._calls.made.append(("peek", key))
        return self._inner.peek(key, size)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        self._calls.made.append(("read_range", version.key))
        return self._inner.read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None) -> Any:
        self._calls.made.append(("open", key))
        return self._inner.open(key, version)

    def head(self, key: str) -> ObjectInfo:
        self._calls.made.append(("head", key))
        return self._inner.head(key)

    def exists(self, key: str) -> bool:
        self._calls.made.append(("exists", key))
        return self._inner.exists(key)

    def scan(self, prefix: str = "") -> Any:
        self._calls.made.append(("scan", prefix))
        return self._inner.scan(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        self._calls.made.append(("delete", ",".join(keys)))

    def uri(self, key: str) -> str:
        return self._inner.uri(key)


#: Dagster works on copies of a manager: what they have in common is found by its name.
_CALLS: dict[str, Calls] = {}


class CountingIOManager(MemoryIOManager):
    """A memory manager whose requests can be counted."""

    _counted: Any = PrivateAttr(default=None)

    @property
    def calls(self) -> Calls:
        return _CALLS.setdefault(self.name, Calls())

    def make_store(self) -> Any:
        return CountingStore(self.name, self.prefix, self.calls)
