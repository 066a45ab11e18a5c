"""What a GCS store is told to write beside its objects, and how long it tries: in every request."""

from __future__ import annotations

import json
import math
import pickle
import secrets
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
from dagster_buckets.errors import (
    AccessDeniedError,
    ConfigurationError,
    StoreUnavailableError,
)
from dagster_buckets.objects import Body, Header
from dagster_buckets.testing.stores import MIB
from dagster_buckets_gcs import GCSIOManager, GCSStore
from dagster_buckets_gcs.settings import Settings

from tests.servers import Answer, Request, Stub, stub_server

KEY = "projects/example.com:shop/locations/eu/keyRings/lake/cryptoKeys/values"
PASSED: Any = {
    "kms_key_name": KEY,
    "storage_class": "NEARLINE",
    "metadata": {"team": "shop", "Cost-Centre": "a 1"},
    "user_project": "shop-prod",
}
SESSION = "/upload/session-7"


def google(request: Request) -> Answer:
    """An answer that suits each request well enough."""
    path = urlsplit(request.path)
    if path.path.startswith("/upload/storage") and "resumable" in path.query:
        return 200, {"location": f"http://{request.headers['host']}{SESSION}"}, b""
    span = request.headers.get("content-range", "")
    if span.endswith("/*"):
        return 308, {"range": f"bytes=0-{span.removeprefix('bytes ').split('-')[1][:-2]}"}, b""
    stored = {"name": "p/x", "size": "1", "generation": "7", "updated": "2026-01-01T00:00:00Z"}
    if request.method == "POST":
        size = int(span.rpartition("/")[2]) if span else len(parts(request)[1])
        stored["size"] = str(size)
        return 200, {}, json.dumps(stored).encode()
    if path.path.startswith("/storage/"):
        return 200, {}, json.dumps(stored | {"items": []}).encode()
    return 200, {"x-goog-generation": "7"}, b"1"


def parts(request: Request) -> tuple[dict[str, Any], bytes]:
    """The description and the bytes of an upload in one request."""
    _, head, data, _ = request.body.split(
        b"--" + request.headers["content-type"].partition('boundary="')[2][:-1].encode()
    )
    return json.loads(head.partition(b"\r\n\r\n")[2]), data.partition(b"\r\n\r\n")[2][:-2]


def query(request: Request) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(request.path).query).items()}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        stub.answer = google
        yield stub


@contextmanager
def opened(stub: Stub, **options: Any) -> Iterator[GCSStore]:
    store = GCSStore("lake", "p", **{"endpoint_url": stub.endpoint, **options})
    try:
        yield store
    finally:
        store.close()


# -- what is written beside an object --------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 33 * MIB], ids=["at once", "session"])
def test_every_upload_has_them(stub: Stub, size: int) -> None:
    with opened(stub, **PASSED) as store:
        store.put("x", Body(iter([bytes(size)])), header=Header(format="bytes"), if_absent=True)
    first = stub.requests[0]
    resource = parts(first)[0] if size == 1 else json.loads(first.body)
    known = query(first)
    assert known["kmsKeyName"] == KEY
    assert known["ifGenerationMatch"] == "0"
    assert resource["storageClass"] == "NEARLINE"
    assert resource["metadata"].items() >= {"team": "shop", "Cost-Centre": "a 1"}.items()
    assert resource["metadata"]["dagster-buckets-format"] == "bytes"
    assert len(stub.requests) == (1 if size == 1 else 4)


@pytest.mark.parametrize("size", [1, 17 * MIB], ids=["at once", "session"])
def test_without_them_the_bucket_decides(stub: Stub, size: int) -> None:
    with opened(stub) as store:
        store.put("x", Body(iter([bytes(size)])))
    first = stub.requests[0]
    resource = parts(first)[0] if size == 1 else json.loads(first.body)
    assert set(resource["metadata"]) == {"dagster-buckets-write-id"} | (
        {"dagster-buckets-size", "dagster-buckets-digest"} & set(resource["metadata"])
    )
    assert "storageClass" not in resource
    assert "kmsKeyName" not in query(first)
    assert all("userProject" not in request.path for request in stub.requests)
    assert all("x-goog-user-project" not in request.headers for request in stub.requests)


ACTIONS: dict[str, Callable[[GCSStore], Any]] = {
    "get": lambda s: s.get("x"),
    "peek": lambda s: s.peek("x", 9),
    "range": lambda s: s.read_range(s.head("x"), 0, 1),
    "head": lambda s: s.head("x"),
    "put": lambda s: s.put("x", Body.of(b"1")),
    "session": lambda s: s.put("x", Body.of(bytes(17 * MIB))),
    "scan": lambda s: list(s.scan()),
    "delete": lambda s: s.delete(["x", "y"]),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_every_request_names_who_pays(stub: Stub, action: str) -> None:
    with opened(stub, user_project="shop-prod") as store:
        ACTIONS[action](store)
    assert stub.requests
    for request in stub.requests:
        assert request.headers["x-goog-user-project"] == "shop-prod"
        # Of Google's XML interface and of a session, whose URL Google made, the header is enough.
        json_interface = "/storage/v1/" in request.path
        assert query(request).get("userProject") == ("shop-prod" if json_interface else None)


def test_reads_without_the_xml_interface_name_who_pays(stub: Stub) -> None:
    def respond(request: Request) -> Answer:
        if not request.path.startswith(("/storage/", "/upload/", "/download/")):
            return 404, {}, b"404 page not found"
        return google(request)

    stub.answer = respond
    with opened(stub, user_project="shop-prod") as store:
        store.get("x")
    assert query(stub.requests[1]) == {"alt": "media", "userProject": "shop-prod"}


def test_it_beats_the_project_of_the_credentials(stub: Stub) -> None:
    from google.oauth2.credentials import Credentials

    token = Credentials("ya29.x", quota_project_id="of-the-login")  # type: ignore[no-untyped-call]
    with opened(stub, token=token, user_project="shop-prod") as store:
        store.get("x")
        store.head("x")
    assert {r.headers["x-goog-user-project"] for r in stub.requests} == {"shop-prod"}
    with opened(stub, token=token) as store:
        store.get("x")
    assert stub.requests[-1].headers["x-goog-user-project"] == "of-the-login"


@pytest.mark.parametrize("kept", ["metadata", "class"])
def test_they_are_stored(gcs_endpoint: str, kept: str, request: pytest.FixtureRequest) -> None:
    if kept == "class":
        reason = "fake-gcs-server stores everything as STANDARD"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    bucket = f"bucket-{secrets.token_hex(8)}"
    url = f"{gcs_endpoint}/storage/v1/b?project=test"
    body = json.dumps({"name": bucket}).encode()
    media = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, body, media), timeout=10).close()  # noqa: S310
    with closing(GCSStore(bucket, endpoint_url=gcs_endpoint, **PASSED)) as store:
        for key, size in (("small", 1), ("large", 17 * MIB)):
            written = store.put(key, Body.of(bytes(size)), header=Header(format="bytes"))
            path = f"{gcs_endpoint}/storage/v1/b/{bucket}/o/{key}"
            with urllib.request.urlopen(path, timeout=10) as answer:  # noqa: S310
                found = json.loads(answer.read())
            if kept == "class":
                assert found["storageClass"] == "NEARLINE"
            assert found["metadata"]["team"] == "shop"
            info = store.get(key).info
            assert info.header == written.header == store.head(key).header
            assert info.header is not None
            assert info.header.format == "bytes"


def test_a_pickle_keeps_all_settings(stub: Stub) -> None:
    with opened(stub, **PASSED, max_attempts=2, deadline=7.5) as store:
        again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
        assert again._bucket.client.settings == store._bucket.client.settings
        again.put("x", Body.of(b"1"))
        again.close()
    assert query(stub.requests[0])["kmsKeyName"] == KEY


# -- settings that cannot work ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "values", "said"),
    [
        ("kms_key_name", ["values", f"{KEY}/cryptoKeyVersions/1", f"/{KEY}", f"{KEY} "], "full name"),
        ("storage_class", ["nearline", "", "GLACIER"], "STANDARD, NEARLINE"),
        ("user_project", ["", "a b", "projects/7"], "cannot be a project"),
        ("max_attempts", [0, -1], "would send nothing"),
        ("connect_timeout", [0, -1.0, math.inf, math.nan], "no time to wait"),
        ("read_timeout", [0, -1.0, math.inf, math.nan], "no time to wait"),
        ("deadline", [0, -1.0, math.inf, math.nan], "no time to wait"),
        ("metadata", [{"a b": "x"}, {"": "x"}, {"ä": "x"}, {"a:": "x"}], "cannot be a name"),
        ("metadata", [{"team": "x", "TEAM": "y"}], "cannot be a name"),
        ("metadata", [{"dagster-buckets-format": "x"}, {"Dagster-Buckets-X": "y"}], "of ours"),
        ("metadata", [{"a": "ü"}, {"a": " x"}, {"a": "x\n"}, {"a": ""}], "cannot be kept"),
        ("metadata", [{"a": "x" * 7000}], "no more than 6144"),
        ("endpoint_url", ["http://me:pass@host", "https://me@host"], "user name or password"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_at_once(option: str, values: list[Any], said: str) -> None:
    for value in values:
        with pytest.raises(ConfigurationError, match=said):
            GCSStore("lake", **{option: value})
        with pytest.raises(ConfigurationError, match=said):
            GCSIOManager(bucket="lake", **{option: value})


def test_the_manager_has_the_defaults_of_the_store() -> None:
    made = GCSIOManager(bucket="lake").make_store()
    assert made._bucket.client.settings == Settings() == GCSStore("lake")._bucket.client.settings
    options = {**PASSED, "max_attempts": 3, "connect_timeout": 1, "read_timeout": 2, "deadline": 4}
    store = GCSIOManager(bucket="lake", **options).make_store()
    assert store._bucket.client.settings == Settings(**options)


def test_variables_are_checked_when_the_store_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = GCSIOManager(
        bucket="lake",
        max_attempts=dg.EnvVar.int("ATTEMPTS"),
        storage_class=dg.EnvVar("CLASS"),
        metadata={"team": dg.EnvVar("TEAM")},
    )
    monkeypatch.setenv("ATTEMPTS", "3")
    monkeypatch.setenv("CLASS", "ARCHIVE")
    monkeypatch.setenv("TEAM", "shop")
    with manager.process_config_and_initialize_cm() as ready:
        made = ready.make_store()._bucket.client.settings
    assert (made.max_attempts, made.storage_class, made.metadata) == (
        3,
        "ARCHIVE",
        {"team": "shop"},
    )
    monkeypatch.setenv("ATTEMPTS", "0")
    with (
        pytest.raises(ConfigurationError, match="would send nothing"),
        manager.process_config_and_initialize_cm(),
    ):
        pass


# -- how long it tries -----------------------------------------------------------------------------


def test_attempts_and_deadline_of_the_manager(stub: Stub) -> None:
    stub.answer = lambda _: (503, {}, b"busy")
    store = GCSIOManager(bucket="lake", endpoint_url=stub.endpoint, max_attempts=2).make_store()
    with pytest.raises(StoreUnavailableError):
        store.head("x")
    assert len(stub.requests) == 2
    store.close()
    begin = time.monotonic()
    store = GCSIOManager(bucket="lake", endpoint_url=stub.endpoint, deadline=0.5).make_store()
    with pytest.raises(StoreUnavailableError):
        store.head("x")
    assert time.monotonic() - begin < 2
    store.close()


# -- tokens ----------------------------------------------------------------------------------------


def test_a_long_access_token_is_no_file(stub: Stub) -> None:
    token = "ya29." + "x" * 3000
    with opened(stub, token=token) as store:
        store.head("x")
    assert stub.requests[0].headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize("action", ["get", "put", "scan", "delete"])
def test_a_proxy_that_quotes_a_token_of_any_kind(stub: Stub, action: str) -> None:
    token = "canary7f3a9-opaque"
    stub.answer = lambda r: (403, {}, f"refused {r.headers['authorization'][7:]}".encode())
    with opened(stub, token=token) as store, pytest.raises(AccessDeniedError) as caught:
        ACTIONS[action](store)
    assert "refused ***" in str(caught.value)
    assert token not in "".join(traceback.format_exception(caught.value))
