"""What `GCSStore` asks of Google, against what the roles of `gcs-access` hold.

No server here enforces Google's IAM: requests are recorded, and each is translated into the
permissions that Google documents for it. So is what the roles hold.
"""

from __future__ import annotations

import json
import re
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from dagster_buckets.objects import Body
from dagster_buckets_gcs.client import Client, Request
from dagster_buckets_gcs.store import GCSStore

from tests.gcs_server import fake_gcs_server
from tests.infra.terraform import INFRA

MIB = 1024 * 1024
#: The permissions for objects of Google's roles; those on buckets are listed apart.
ROLES = {
    "roles/storage.objectUser": {
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.get",
        "storage.objects.list",
        "storage.objects.restore",
        "storage.objects.update",
    },
    "roles/storage.objectViewer": {"storage.objects.get", "storage.objects.list"},
    "roles/storage.legacyBucketReader": {
        "storage.buckets.get",
        "storage.multipartUploads.list",
        "storage.objects.list",
    },
}
#: By verb and path, what Google documents that a request needs.
NEEDS = [
    (r"GET /storage/v1/b/[^/]+/o", {"storage.objects.list"}),
    (r"GET /storage/v1/b/[^/]+/o/[^/]+", {"storage.objects.get"}),
    (r"GET /download/storage/v1/b/[^/]+/o/[^/]+", {"storage.objects.get"}),
    (r"GET /(?!storage/|download/|upload/)[^/]+/.+", {"storage.objects.get"}),
    # Deleting, because an object may be there that is written over.
    (r"POST /upload/storage/v1/b/[^/]+/o", {"storage.objects.create", "storage.objects.delete"}),
    (
        r"(POST|DELETE) https?://[^/]+/upload/.*",
        {"storage.objects.create", "storage.objects.delete"},
    ),
    (r"DELETE /storage/v1/b/[^/]+/o/[^/]+", {"storage.objects.delete"}),
]


class BrokenError(Exception):
    """What the body of a write raises."""


def broken() -> Iterator[bytes]:
    yield bytes(17 * MIB)
    raise BrokenError


@pytest.fixture(scope="module")
def store() -> Iterator[GCSStore]:
    with fake_gcs_server() as endpoint:
        name = f"roles-{secrets.token_hex(6)}"
        create = urllib.request.Request(  # noqa: S310
            f"{endpoint}/storage/v1/b?project=test",
            json.dumps({"name": name}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(create, timeout=10):  # noqa: S310
            pass
        store = GCSStore(name, "prod", endpoint_url=endpoint)
        yield store
        store.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that are sent, as verb and path."""
    found: list[str] = []
    persist = Client._persist

    async def record(self: Client, files: Any, request: Request) -> object:
        found.append(f"{request.method} {request.path}")
        return await persist(self, files, request)

    monkeypatch.setattr(Client, "_persist", record)
    return found


def needed(asked: list[str]) -> set[str]:
    """The permissions for all of these requests."""
    found: set[str] = set()
    for request in asked:
        path = request.partition("?")[0]
        matching = [needs for pattern, needs in NEEDS if re.fullmatch(pattern, path)]
        assert len(matching) == 1, request
        found |= matching[0]
    return found


def read(store: GCSStore) -> None:
    info = store.head("there")
    store.get("there")
    store.peek("there", 2)
    store.get_if_changed("there", info)
    with store.open("there") as file:
        file.read(2)
    list(store.scan())
    assert store.exists("there")
    with suppress(FileNotFoundError):
        store.get("never-was")


def test_a_reader_needs_no_more_than_its_role_holds(store: GCSStore, asked: list[str]) -> None:
    store.put("there", Body.of(b"there"))
    asked.clear()
    read(store)
    assert needed(asked) == ROLES["roles/storage.objectViewer"]


def test_a_writer_needs_no_more_than_its_role_holds(store: GCSStore, asked: list[str]) -> None:
    store.put("there", Body.of(b"there"))
    store.put("there", Body.of(b"there again"))
    store.put("parts", Body(iter([bytes(17 * MIB)])))
    store.put(secrets.token_hex(4), Body.of(b"1"), if_absent=True)
    with pytest.raises(BrokenError):
        store.put("broken", Body(broken()))
    read(store)
    store.delete(["parts"])
    used = needed(asked)
    assert used <= ROLES["roles/storage.objectUser"]
    assert used == {f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list")}
    # A reader cannot do any of the rest.
    assert not ROLES["roles/storage.objectViewer"] & (
        used - {"storage.objects.get", "storage.objects.list"}
    )


def test_these_are_the_roles_that_the_module_gives() -> None:
    folder = INFRA / "modules" / "gcs-access"
    text = (folder / "main.tf").read_text("utf-8") + (folder / "variables.tf").read_text("utf-8")
    assert set(re.findall(r'"(roles/storage\.\w+)"', text)) == set(ROLES)
    assert "storage.objects.list" in ROLES["roles/storage.legacyBucketReader"]
