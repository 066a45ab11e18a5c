"""The policy of S3 executed, on a server that enforces IAM: no action too few, none too many.

What the server does not enforce is checked on the document: here where the store is asked, too, and
in `test_policy_documents.py`.
"""

from __future__ import annotations

import fnmatch
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster_buckets.errors import AccessDeniedError, StoreError
from dagster_buckets.objects import Body
from dagster_buckets_s3 import S3IOManager, obstore_wire
from dagster_buckets_s3.store import S3Store

import tests.conformance.test_s3_store as suite
from tests.infra.assets import months, orders, report, revenue
from tests.infra.enforcing import Account
from tests.infra.policies import (
    BUCKET,
    DOCUMENT_ONLY,
    PREFIX,
    VARIANTS,
    Document,
    actions,
    statement,
    without,
)

MIB = 1024 * 1024
LARGE = 17 * MIB


class BrokenError(Exception):
    """What the body of a write raises."""


@pytest.fixture
def client(account: Account) -> Iterator[Any]:
    """The administrator's, with an empty bucket."""
    client = account.client("s3")
    with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    yield client
    for key in keys_of(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    client.close()


@pytest.fixture(autouse=True)
def _one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are deleted by a request for each: moto asks the wrong ARN of a bulk delete."""
    config = obstore_wire._config
    monkeypatch.setattr(
        obstore_wire, "_config", lambda *args: {**config(*args), "disable_bulk_delete": True}
    )


def keys_of(client: Any) -> list[str]:
    """Every key of the bucket."""
    return suite.RawS3(client, BUCKET).keys()


@dataclass
class As:
    """Stores of a user."""

    account: Account

    def store(
        self, document: Document, prefix: str = PREFIX, *, name: str = "dagster", **options: Any
    ) -> S3Store:
        keys = self.account.user(name, document)
        return S3Store(
            BUCKET, prefix, endpoint_url=self.account.endpoint, max_attempts=2, **keys, **options
        )


@pytest.fixture
def under(account: Account, client: Any) -> As:
    return As(account)


# -- what each action is for -----------------------------------------------------------------------


def broken(size: int) -> Iterator[bytes]:
    yield secrets.token_bytes(size)
    raise BrokenError


def break_off(store: S3Store, client: Any) -> None:
    with pytest.raises(BrokenError):
        store.put("broken", Body(broken(LARGE)))
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET)


def sweep(store: S3Store, client: Any) -> None:
    # Everything is old enough: moto says of each upload that it began in 2010.
    place = {"Bucket": BUCKET, "Key": f"{store.prefix}/left"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"1")
    assert store.sweep(timedelta(seconds=-60)) == 1


def delete(store: S3Store, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key=f"{store.prefix}/old", Body=b"1")
    store.delete(["old"])
    assert f"{store.prefix}/old" not in keys_of(client)


def read_range(store: S3Store, _: Any) -> None:
    with store.open("there") as file:
        assert file.read(3) == b"the"


def revalidate(store: S3Store, client: Any) -> None:
    found = client.head_object(Bucket=BUCKET, Key=f"{store.prefix}/there")
    info = replace(suite.VERSION, key="there", etag=found["ETag"])
    assert store.get_if_changed("there", info) is None


Call = Callable[[S3Store, Any], object]
READS: dict[str, Call] = {
    "get": lambda store, _: store.get("there"),
    "head": lambda store, _: store.head("there"),
    "peek": lambda store, _: store.peek("there", 3),
    "read a range": read_range,
    "read if changed": revalidate,
    "read in parts": lambda store, _: store.get("large"),
}
LISTS: dict[str, Call] = {
    "scan": lambda store, _: list(store.scan()),
    "exists": lambda store, _: store.exists("there"),
}
WRITES: dict[str, Call] = {
    "put": lambda store, _: store.put("small", Body.of(b"1")),
    "overwrite": lambda store, _: store.put("there", Body.of(b"there again")),
    "put in parts": lambda store, _: store.put("parts", Body(iter([bytes(LARGE)]))),
    "create in parts": lambda store, _: store.put(
        f"new-{secrets.token_hex(4)}", Body(iter([bytes(LARGE)])), if_absent=True
    ),
}
CALLS: dict[str, Call] = {
    **READS,
    **LISTS,
    **WRITES,
    "break off": break_off,
    "delete": delete,
    "sweep": sweep,
}
#: What fails without it.
NEEDED: dict[str, set[str]] = {
    "s3:GetObject": {*READS},
    "s3:ListBucket": {*LISTS},
    "s3:PutObject": {*WRITES, "break off"},
    "s3:AbortMultipartUpload": {"break off", "sweep"},
    "s3:DeleteObject": {"delete"},
    "s3:ListBucketMultipartUploads": {"sweep"},
    "s3:ListMultipartUploadParts": {"sweep"},
}
#: By the grants of a variant, what it can do.
ABILITIES: dict[str, set[str]] = {
    "reader": {*READS, *LISTS},
    "writer": {*READS, *LISTS, *WRITES, "break off"},
    "deleter": {*READS, *LISTS, *WRITES, "break off", "delete"},
    "everything": {*CALLS},
}


def plant(client: Any, prefix: str) -> None:
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/there", Body=b"there")
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/large", Body=bytes(LARGE))


def failing(store: S3Store, client: Any) -> set[str]:
    """The calls that are refused."""
    plant(client, store.prefix)
    failed = set()
    for name, call in CALLS.items():
        try:
            call(store, client)
        except AccessDeniedError:
            failed.add(name)
        except (AssertionError, pytest.fail.Exception):
            failed.add(name)
    store.close()
    return failed


@pytest.mark.parametrize("variant", ABILITIES)
def test_each_variant_can_do_what_it_is_for_and_nothing_else(
    documents: dict[str, Document], under: As, client: Any, variant: str
) -> None:
    assert failing(under.store(documents[variant]), client) == {*CALLS} - ABILITIES[variant]


@pytest.mark.parametrize(
    ("variant", "action"),
    [
        *(("everything", action) for action in NEEDED),
        *(
            ("writer", action)
            for action in (
                "s3:GetObject",
                "s3:ListBucket",
                "s3:PutObject",
                "s3:AbortMultipartUpload",
            )
        ),
        ("reader", "s3:GetObject"),
        ("reader", "s3:ListBucket"),
    ],
)
def test_without_any_one_action_something_fails(
    documents: dict[str, Document], under: As, client: Any, variant: str, action: str
) -> None:
    document = documents[variant]
    assert action in actions(document)
    failed = failing(under.store(without(document, action)), client) & ABILITIES[variant]
    assert failed == NEEDED[action] & ABILITIES[variant]
    assert failed


def test_the_table_of_needs_is_complete(documents: dict[str, Document]) -> None:
    granted = set().union(*(actions(document) for document in documents.values()))
    assert granted == {*NEEDED, *DOCUMENT_ONLY}


# -- where ------------------------------------------------------------------------------------------

SIBLINGS = ["base/prefix2", "base", "base/other/prefix", "Base/prefix", "other"]


@pytest.mark.parametrize("prefix", SIBLINGS)
def test_objects_outside_of_the_prefix_are_refused(
    documents: dict[str, Document], under: As, client: Any, prefix: str
) -> None:
    store = under.store(documents["everything"], prefix)
    # moto does not enforce the condition of ListBucket: see the document below.
    assert failing(store, client) >= {*CALLS} - {*LISTS}
    keys = {f"{prefix}/there", f"{prefix}/large", f"{prefix}/old"}
    assert set(keys_of(client)) == keys
    assert suite.RawS3(client, BUCKET).read(f"{prefix}/there") == b"there"


def test_read_only_leaves_everything_as_it_is(
    documents: dict[str, Document], under: As, client: Any
) -> None:
    plant(client, PREFIX)
    raw = suite.RawS3(client, BUCKET)
    before = {key: raw.read(key) for key in keys_of(client)}
    store = under.store(documents["reader"])
    for call in (*WRITES.values(), break_off):
        with pytest.raises(AccessDeniedError):
            call(store, client)
    with pytest.raises(StoreError):
        store.delete(["there", "large"])
    store.close()
    assert {key: raw.read(key) for key in keys_of(client)} == before


def test_without_allow_delete_nothing_can_be_deleted(
    documents: dict[str, Document], under: As, client: Any
) -> None:
    plant(client, PREFIX)
    store = under.store(documents["writer"])
    with pytest.raises(AccessDeniedError):
        store.delete(["there"])
    store.close()
    assert suite.RawS3(client, BUCKET).read(f"{PREFIX}/there") == b"there"
    for variant in VARIANTS:
        allowed = {action for action in actions(documents[variant]) if "Delete" in action}
        assert allowed == ({"s3:DeleteObject"} if VARIANTS[variant].get("allow_delete") else set())


# -- the documents, for what the server does not enforce -------------------------------------------


def matched(pattern: str, value: str) -> bool:
    """Whether IAM's `StringLike` takes a value: `*` and `?` are its only patterns."""
    return fnmatch.fnmatchcase(value.replace("[", "(").replace("]", ")"), pattern)


def test_listing_is_bound_to_the_prefix_document_only(
    documents: dict[str, Document], account: Account, under: As, client: Any
) -> None:
    asked: list[str] = []
    store = under.store(documents["everything"])
    events = store._clients.get().control.meta.events
    events.register("before-parameter-build.s3", lambda params, **_: asked.append(params["Prefix"]))
    for part in ("", "shop", "shop/orders/"):
        list(store.scan(part))
    store.exists("shop/orders/data.json")
    store.sweep()
    store.close()
    condition = statement(documents["everything"], "s3:ListBucket")["Condition"]
    assert [*condition] == ["StringLike"]
    patterns = condition["StringLike"]["s3:prefix"]
    assert len(asked) == 5
    for prefix in asked:
        assert any(matched(pattern, prefix) for pattern in patterns), prefix
    for prefix in ("", "base", "base/", "base/prefix2/", "other/", "base/prefi"):
        assert not any(matched(pattern, prefix) for pattern in patterns), prefix
    assert "Condition" not in statement(documents["whole bucket"], "s3:ListBucket")
    assert "Condition" not in statement(documents["lister"], "s3:ListBucket")


# -- the store and Dagster, as the writer -----------------------------------------------------------


class TestS3StoreUnderThePolicy(suite.TestS3Store):
    """Every promise of the store, as a user who has the policy and nothing else."""

    @pytest.fixture
    def bucket(self, client: Any) -> str:
        return BUCKET

    @pytest.fixture
    def store(self, documents: dict[str, Document], under: As, bucket: str) -> Iterator[S3Store]:
        store = under.store(documents["everything"])
        yield store
        store.close()


def test_dagster_runs_write_with_the_policy_of_the_writer_and_read_with_that_of_the_reader(
    documents: dict[str, Document], account: Account, client: Any
) -> None:
    def manager(variant: str) -> S3IOManager:
        keys = account.user(variant, documents[variant])
        return S3IOManager(bucket=BUCKET, prefix=PREFIX, endpoint_url=account.endpoint, **keys)

    writer = {"io_manager": manager("writer")}
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):  # the second time everything is overwritten
            for month in months.get_partition_keys():
                dg.materialize([orders], partition_key=month, resources=writer, instance=instance)
            dg.materialize(
                [orders, revenue, report],
                selection=[revenue, report],
                resources=writer,
                instance=instance,
            )
    assert keys_of(client) == [
        f"{PREFIX}/orders/partition=2026-01/data.json",
        f"{PREFIX}/orders/partition=2026-02/data.json",
        f"{PREFIX}/report/data.txt",
        f"{PREFIX}/revenue/data.json",
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        reader = {"io_manager": manager("reader")}
        assets = [orders, revenue, report]
        defs = dg.Definitions(assets=assets, resources=reader)
        assert defs.load_asset_value("report", instance=instance) == "2026-01, 2026-02"
        with pytest.raises(AccessDeniedError):
            dg.materialize(assets, selection=[report], resources=reader, instance=instance)
