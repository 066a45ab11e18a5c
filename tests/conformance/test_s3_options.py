"""What ``S3Store`` can be told about encryption, classes, tags, metadata, payment and limits."""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterResourceFunctionError
from dagster_buckets import BucketIOManager
from dagster_buckets.errors import ConfigurationError, StoreUnavailableError
from dagster_buckets.objects import Body, Header, digest_of
from dagster_buckets.testing.stores import MIB
from dagster_buckets_s3 import S3IOManager
from dagster_buckets_s3.settings import Options
from dagster_buckets_s3.store import S3Store
from pydantic import ValidationError

from tests.conformance.test_s3_store import (  # noqa: F401 - fixtures among them
    DESCRIBED,
    KEYS,
    VERSION,
    bucket,
    client,
)
from tests.servers import Answer, Request, Stub

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")
over_both_wires = pytest.mark.usefixtures("wire")

OPTIONS: dict[str, Any] = {
    "server_side_encryption": "aws:kms",
    "sse_kms_key_id": "alias/lake",
    "bucket_key_enabled": True,
    "storage_class": "STANDARD_IA",
    "tags": {"team": "a + b", "x:y/z@1": "a=1"},
    "metadata": {"owner": "team a", "cost-center": "42"},
    "request_payer": True,
    "expected_bucket_owner": "123456789012",
}

#: Of every request.
ALWAYS = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "123456789012"}
BUCKET_KEY = "x-amz-server-side-encryption-bucket-key-enabled"
#: Of those that make an object, and of no other.
CREATED = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "alias/lake",
    BUCKET_KEY: "true",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-meta-owner": "team a",
    "x-amz-meta-cost-center": "42",
}


# -- on every request ------------------------------------------------------------------------------


def s3(request: Request) -> Answer:  # noqa: PLR0911 - one for each kind of request
    """What S3 would answer about an object of ten bytes."""
    described = DESCRIBED | {"content-range": "bytes 0-9/10"}
    if request.method == "POST" and "delete" in request.path:
        return 200, {}, b"<DeleteResult><Deleted><Key>p/x</Key></Deleted></DeleteResult>"
    if request.method == "POST" and "uploads" in request.path:
        name = b"InitiateMultipartUploadResult"
        return 200, {}, b"<%b><UploadId>u</UploadId></%b>" % (name, name)
    if request.method == "POST":
        name = b"CompleteMultipartUploadResult"
        return 200, {}, b'<%b><ETag>"e1"</ETag></%b>' % (name, name)
    if request.method == "GET" and "list-type" in request.path:
        name = b"ListBucketResult"
        return 200, {}, b"<%b><IsTruncated>false</IsTruncated></%b>" % (name, name)
    if request.method == "GET" and "%5C." in request.path:
        return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
    if request.method == "GET":
        return 206, described, b"0123456789"
    if request.method == "HEAD" and "large" in request.path:
        return 404, {}, b""
    checksums = {k: v for k, v in request.headers.items() if k.startswith("x-amz-checksum-")}
    return 200, DESCRIBED | checksums, b""


def broken() -> Iterator[bytes]:
    yield bytes(17 * MIB)
    raise KeyError


@pytest.fixture
def told(stub: Stub) -> Iterator[S3Store]:
    stub.answer = s3
    store = S3Store("lake", "p", endpoint_url=stub.endpoint, max_attempts=1, **KEYS, **OPTIONS)
    yield store
    store.close()


CALLS: dict[str, Callable[[S3Store], object]] = {
    "put": lambda s: s.put("x", Body.of(b"1")),
    "create": lambda s: s.put("x", Body.of(b"1"), if_absent=True),
    "swap": lambda s: s.put("x", Body.of(b"1"), if_match='"e"'),
    "parts": lambda s: s.put("x", Body.of(bytes(17 * MIB))),
    "stream": lambda s: s.put("x", Body(iter([bytes(17 * MIB)] * 2))),
    "parts-swap": lambda s: s.put("x", Body.of(bytes(17 * MIB)), if_match='"e1"'),
    "broken": lambda s: s.put("x", Body(broken())),
    "broken-swap": lambda s: s.put("x", Body(broken()), if_match='"e1"'),
    "get": lambda s: s.get("x"),
    "peek": lambda s: s.peek("x", 10),
    "head": lambda s: s.head("x"),
    "open": lambda s: s.open("x").read(),
    "range": lambda s: s.read_range(VERSION, 0, 10),
    "scan": lambda s: list(s.scan()),
    "delete": lambda s: s.delete(["x"]),
    "backslash": lambda s: s.get("a\\b"),
}


@over_both_wires
@pytest.mark.parametrize("name", CALLS)
def test_every_request_says_it(stub: Stub, told: S3Store, name: str) -> None:
    with suppress(KeyError):
        CALLS[name](told)
    assert stub.requests
    for request in stub.requests:
        makes = (request.method == "PUT" and "partNumber" not in request.path) or (
            request.method == "POST" and "?uploads" in request.path
        )
        expected = ALWAYS | (CREATED if makes else {})
        ours = {name: value for name, value in request.headers.items() if name in ALWAYS | CREATED}
        if key := ours.get(BUCKET_KEY):
            # Older versions of boto3 spell it as Python does.
            ours[BUCKET_KEY] = key.lower()
        assert ours == expected, request
        tags = request.headers.get("x-amz-tagging", "")
        assert set(tags.split("&")) == (
            {"team=a+%2B+b", "x%3Ay%2Fz%401=a%3D1"} if makes else {""}
        ), request
        # AWS refuses what is not signed.
        signed = re.search(r"SignedHeaders=([^,]*)", request.headers["authorization"])
        assert signed is not None
        sent = {name for name in request.headers if name.startswith("x-amz-")}
        assert sent - set(signed[1].split(";")) <= {"x-amz-content-sha256"}
    made = [request.method for request in stub.requests]
    if "broken" in name:
        assert made[-1] == "DELETE"


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "SHA256", None])
@pytest.mark.parametrize("name", ["put", "parts", "parts-swap"])
def test_how_uploads_are_checked(
    stub: Stub, wire: str, algorithm: Any, name: str
) -> None:  # fmt: skip
    stub.answer = s3
    store = S3Store("lake", "p", endpoint_url=stub.endpoint, checksum_algorithm=algorithm, **KEYS)
    CALLS[name](store)
    store.close()
    # boto3 has no CRC-64/NVME without awscrt.
    boto3 = wire == "boto3" or name == "parts-swap"
    header = {"CRC64NVME": "crc32" if boto3 else "crc64nvme", "SHA256": "sha256", None: ""}
    for request in stub.requests:
        if request.method == "PUT":
            found = [n for n in request.headers if n.startswith("x-amz-checksum-")]
            wanted = header[algorithm]
            assert found == ([f"x-amz-checksum-{wanted}"] if wanted else [])
            if not wanted:
                assert re.fullmatch("[0-9a-f]{64}", request.headers["x-amz-content-sha256"])
        if request.method == "POST" and "uploadId" in request.path and boto3:
            # S3 wants to hear those of the parts again.
            again = f"<Checksum{header[algorithm].upper()}>".encode()
            assert (again in request.body) is (algorithm is not None)


@over_both_wires
def test_nothing_is_said_by_default(stub: Stub) -> None:
    stub.answer = s3
    store = S3Store("lake", "p", endpoint_url=stub.endpoint, **KEYS)
    for name, call in CALLS.items():
        with suppress(KeyError):
            call(store)
        for request in stub.requests:
            assert not {*ALWAYS, *CREATED, "x-amz-tagging"} & set(request.headers), name
    store.close()


# -- on a server -----------------------------------------------------------------------------------

BODIES: dict[str, Callable[[], Body]] = {
    "whole": lambda: Body.of(b"0123456789"),
    "parts": lambda: Body.of(b"0" * 17 * MIB),
    "stream": lambda: Body(iter([b"0" * 9 * MIB] * 2)),
}


@over_both_wires
@pytest.mark.parametrize("if_absent", [False, True], ids=["put", "create"])
@pytest.mark.parametrize("kind", BODIES)
def test_objects_have_what_was_said(
    moto_endpoint: str, client: Any, bucket: str, kind: str, *, if_absent: bool  # noqa: F811
) -> None:  # fmt: skip
    options = {k: v for k, v in OPTIONS.items() if k != "expected_bucket_owner"}
    store = S3Store(bucket, endpoint_url=moto_endpoint, **KEYS, **options)
    written = store.put("x", BODIES[kind](), header=Header(format="bytes"), if_absent=if_absent)
    found = client.head_object(Bucket=bucket, Key="x")
    assert found["ServerSideEncryption"] == "aws:kms"
    assert found["SSEKMSKeyId"].endswith("alias/lake")
    if kind == "whole":
        # moto forgets it where there are parts.
        assert found["BucketKeyEnabled"] is True
    assert found["StorageClass"] == "STANDARD_IA"
    assert written.header is not None
    assert found["Metadata"] == OPTIONS["metadata"] | written.header.to_attributes()
    tags = client.get_object_tagging(Bucket=bucket, Key="x")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == OPTIONS["tags"]
    got = store.get("x")
    assert digest_of([got.data]) == digest_of(list(BODIES[kind]()))
    for info in (got.info, store.head("x"), store.peek("x", 5).info):
        assert info.header == written.header
    store.close()


def test_metadata_that_leaves_no_room(stub: Stub) -> None:
    store = S3Store("lake", endpoint_url=stub.endpoint, metadata={"note": "x" * 1500}, **KEYS)
    header = Header(format="bytes", address="y" * 400)

    def never() -> Iterator[bytes]:
        pytest.fail("the stream was begun")
        yield b""  # type: ignore[unreachable]

    for body in (Body.of(b"1"), Body.of(bytes(17 * MIB))):
        with pytest.raises(ConfigurationError, match="bytes of metadata, 2048 is S3's limit"):
            store.put("x", body, header=header)
    assert stub.requests == []
    store.close()


# -- what cannot work ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_attempts": 0}, "max_attempts=0"), ({"max_attempts": 1.5}, "max_attempts=1.5"),
        ({"connect_timeout": 0}, "connect_timeout=0"),
        ({"read_timeout": -1}, "read_timeout=-1"), ({"deadline": float("inf")}, "deadline=inf"),
        ({"deadline": float("nan")}, "deadline=nan"), ({"checksum_algorithm": "MD5"}, "MD5"),
        ({"server_side_encryption": "sse-c"}, "sse-c"), ({"sse_kms_key_id": "k"}, "not encrypted by KMS"),
        ({"sse_kms_key_id": "k", "server_side_encryption": "AES256"}, "not encrypted by KMS"),
        ({"sse_kms_key_id": "", "server_side_encryption": "aws:kms"}, "empty"),
        ({"bucket_key_enabled": True}, "goes with"), ({"bucket_key_enabled": False}, "goes with"),
        ({"bucket_key_enabled": True, "server_side_encryption": "AES256"}, "goes with"),
        ({"bucket_key_enabled": True, "server_side_encryption": "aws:kms:dsse"}, "goes with"),
        ({"storage_class": "standard"}, "no storage class"), ({"storage_class": ""}, "no storage class"),
        ({"storage_class": "GLACIER"}, "restored"), ({"storage_class": "DEEP_ARCHIVE"}, "restored"),
        ({"tags": {str(n): "" for n in range(11)}}, "11 tags"), ({"tags": {"": "x"}}, "key of a tag"),
        ({"tags": {"k" * 129: "x"}}, "key of a tag"), ({"tags": {"aws:x": "x"}}, "key of a tag"),
        ({"tags": {"k": "v" * 257}}, "too long"),
        ({"tags": {"a&b": "x"}}, "refuses in tags"), ({"tags": {"k": "line\nbreak"}}, "refuses in tags"),
        ({"metadata": {"Owner": "x"}}, "name of user metadata"), ({"metadata": {"": "x"}}, "name of user metadata"),
        ({"metadata": {"é": "x"}}, "name of user metadata"), ({"metadata": {"a b": "x"}}, "name of user metadata"),
        ({"metadata": {"a": "é"}}, "cannot travel"), ({"metadata": {"a": ""}}, "cannot travel"),
        ({"metadata": {"a": "x\ny"}}, "cannot travel"), ({"metadata": {"a": " x"}}, "cannot travel"),
        ({"metadata": {"a": "x  y"}}, "cannot travel"), ({"metadata": {"a": "x\x7f"}}, "cannot travel"),
        ({"metadata": {"dagster-buckets-size": "1"}}, "taken"), ({"metadata": {"dagster-buckets-x": "1"}}, "taken"),
        ({"metadata": {"content-type": "text/plain"}}, "taken"), ({"metadata": {"a": "x" * 2048}}, "2049 bytes"),
        ({"expected_bucket_owner": "12345678901"}, "AWS account"), ({"expected_bucket_owner": "me"}, "AWS account"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(options: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        S3Store("lake", **options)
    with pytest.raises((ConfigurationError, ValidationError)):
        S3IOManager(bucket="lake", **options)


def test_settings_at_their_limits() -> None:
    limits: list[Any] = [
        {"tags": {f"{n:0128}": "é" * 256 for n in range(10)}},
        {"metadata": {"a.b_c-d": "x" * 1500}},
        {"server_side_encryption": "aws:kms:dsse", "sse_kms_key_id": "k"},
        {"server_side_encryption": "aws:kms"},
        {"max_attempts": 1, "connect_timeout": 0.1, "read_timeout": 1, "deadline": 1},
    ]
    for options in limits:
        S3Store("lake", **options)
        S3IOManager(bucket="lake", **options)


def test_the_manager_hands_all_settings_to_its_store() -> None:
    plain = S3IOManager(bucket="lake").make_store().settings
    assert plain == S3Store("lake").settings
    limits: dict[str, Any] = {
        "max_attempts": 2, "connect_timeout": 1.5, "read_timeout": 2.5, "deadline": 3.5,
        "checksum_algorithm": "SHA256",
    }  # fmt: skip
    for checked in ({"verify": False}, {"ca_bundle": "ca.pem"}):
        given: Any = limits | OPTIONS
        settings = S3IOManager(bucket="lake", **given, **checked).make_store().settings
        verify = checked.get("ca_bundle", False)
        assert settings == S3Store("lake", **given, verify=verify).settings
    none = S3IOManager(bucket="lake", checksum_algorithm=None).make_store().settings
    assert none.checksum_algorithm is None
    with pytest.raises(ConfigurationError, match="ca_bundle"):
        S3IOManager(bucket="lake", ca_bundle="ca.pem", verify=False)


def test_what_comes_from_the_environment_is_checked_when_the_store_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, Any] = {
        "bucket": dg.EnvVar("BUCKET"),
        "endpoint_url": dg.EnvVar("URL"),
        "expected_bucket_owner": dg.EnvVar("OWNER"),
        "tags": {"team": dg.EnvVar("TEAM & MORE")},
    }
    manager = S3IOManager(**settings)
    for name, value in {"BUCKET": "lake", "URL": "http://s3", "OWNER": "me"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TEAM & MORE", "sales")
    with (
        pytest.raises(DagsterResourceFunctionError) as caught,
        dg.build_resources({"manager": manager}) as resources,
    ):
        resources.manager.make_store()
    assert "expected_bucket_owner='me'" in str(caught.value.__cause__)
    monkeypatch.setenv("OWNER", "123456789012")
    with dg.build_resources({"manager": manager}) as resources:
        made = resources.manager.make_store().settings
    assert (made.bucket, made.endpoint_url) == ("lake", "http://s3")
    assert (made.expected_bucket_owner, made.tags) == ("123456789012", {"team": "sales"})


def test_every_setting_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "s3.md").read_text("utf-8")
    fields = set(S3IOManager.model_fields) - set(BucketIOManager.model_fields)
    assert [name for name in sorted(fields) if f"`{name}`" not in page] == []
    assert fields == {"bucket", "ca_bundle", *Options.__annotations__}


def test_what_was_given_is_copied() -> None:
    tags = {"a": "b"}
    store = S3Store("lake", tags=tags)
    tags["a"] = "c"
    assert store.settings.tags == {"a": "b"}


# -- limits ----------------------------------------------------------------------------------------


@over_both_wires
def test_deadline_ends_the_tries(stub: Stub) -> None:
    stub.refuse(503, "SlowDown")
    store = S3Store("lake", endpoint_url=stub.endpoint, max_attempts=100, deadline=0.5, **KEYS)
    for name in ("put", "get", "scan", "delete"):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            CALLS[name](store)
        assert time.monotonic() - began < 15
    store.close()


@over_both_wires
def test_max_attempts_ends_the_tries(stub: Stub) -> None:
    stub.refuse(503, "SlowDown")
    store = S3Store("lake", endpoint_url=stub.endpoint, max_attempts=3, **KEYS)
    for name in ("put", "get", "scan", "delete"):
        stub.requests.clear()
        with pytest.raises(StoreUnavailableError):
            CALLS[name](store)
        assert len(stub.requests) == 3
    store.close()


@over_both_wires
def test_download_that_breaks_again_and_again(stub: Stub) -> None:
    cut = {"content-range": "bytes 0-9/10", "content-length": "10", "connection": "close"}
    stub.answer = lambda _: (206, DESCRIBED | cut, b"")
    store = S3Store("lake", endpoint_url=stub.endpoint, max_attempts=3, **KEYS)
    with pytest.raises(StoreUnavailableError):
        store.get("x")
    assert len(stub.requests) == 3
    store.close()


@over_both_wires
def test_streams_are_not_read_ahead(stub: Stub) -> None:
    counts = {"read": 0, "sent": 0, "ahead": 0}

    def answer(request: Request) -> Answer:
        if "partNumber" in request.path:
            time.sleep(0.05)
            counts["sent"] += 1
            stub.requests.clear()
        return s3(request)

    def parts() -> Iterator[bytes]:
        for _ in range(30):
            counts["read"] += 1
            counts["ahead"] = max(counts["ahead"], counts["read"] - counts["sent"])
            yield bytes(16 * MIB)

    stub.answer = answer
    store = S3Store("lake", endpoint_url=stub.endpoint, **KEYS)
    store.put("x", Body(parts()))
    assert counts["sent"] == 30
    assert counts["ahead"] <= 12 + 3
    store.close()


@contextmanager
def slow_server(rate: int) -> Iterator[str]:
    """A server that takes, or gives, so many bytes a second and answers with success."""

    class Slow(BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            head = b""
            with suppress(OSError):
                while b"\r\n\r\n" not in head:
                    if not (byte := self.request.recv(1)):
                        return
                    head += byte
                if head.startswith(b"GET"):
                    self.give()
                    return
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
                if b"100-continue" in head.lower():
                    self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while length > 0 and (data := self.request.recv(min(length, rate // 20))):
                    length -= len(data)
                    time.sleep(len(data) / rate)
                self.request.sendall(
                    b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
                )

        def give(self) -> None:
            size = 15 * MIB
            described = "".join(f"{name}: {value}\r\n" for name, value in DESCRIBED.items())
            span = f"Content-Range: bytes 0-{size - 1}/{size}\r\nContent-Length: {size}\r\n"
            self.request.sendall(f"HTTP/1.1 206 OK\r\n{described}{span}\r\n".encode())
            for _ in range(0, size, rate // 20):
                self.request.sendall(bytes(rate // 20))
                time.sleep(1 / 20)

    class Server(ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@over_both_wires
def test_a_slow_upload_is_no_slow_connection() -> None:
    with slow_server(8 * MIB) as endpoint:
        store = S3Store("lake", endpoint_url=endpoint, max_attempts=1, connect_timeout=0.5, **KEYS)
        began = time.monotonic()
        assert store.put("x", Body.of(secrets.token_bytes(15 * MIB))).etag == '"e1"'
        assert time.monotonic() - began > 1
        store.close()


@over_both_wires
def test_deadline_ends_a_slow_download() -> None:
    with slow_server(2 * MIB) as endpoint:
        store = S3Store("lake", endpoint_url=endpoint, max_attempts=3, deadline=1, **KEYS)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.get("x")
        assert time.monotonic() - began < 5
        store.close()


@over_both_wires
def test_deadline_ends_a_slow_upload() -> None:
    with slow_server(2 * MIB) as endpoint:
        store = S3Store("lake", endpoint_url=endpoint, max_attempts=3, deadline=1, **KEYS)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.put("x", Body.of(secrets.token_bytes(15 * MIB)))
        assert time.monotonic() - began < 5
        store.close()
