from __future__ import annotations

import multiprocessing
import pickle
import re
import secrets
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from dagster_buckets.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from dagster_buckets.objects import Body, Header, ObjectInfo, digest_of
from dagster_buckets.testing.stores import MIB, RawObjects, StoreConformance
from dagster_buckets_s3.seaweedfs import is_seaweedfs
from dagster_buckets_s3.store import S3Store

from tests.servers import Answer, Request, Stub, stub_server

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

CANARY = "canary7f3a9SECRET"
KEYS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": CANARY,
}


DESCRIBED = {"ETag": '"e1"', "last-modified": "Tue, 24 Nov 2026 12:35:10 GMT"}
VERSION = ObjectInfo("x", "s3://lake/p/x", 10, '"e1"', datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def client(moto_endpoint: str) -> Iterator[Any]:
    import boto3

    client = boto3.client("s3", endpoint_url=moto_endpoint, **KEYS)
    yield client
    client.close()


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"test-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def store(moto_endpoint: str, bucket: str, wire: str) -> Iterator[S3Store]:
    store = S3Store(bucket, "base/prefix", endpoint_url=moto_endpoint, **KEYS)
    yield store
    store.close()


@pytest.fixture
def stubbed(stub: Stub, wire: str) -> Iterator[S3Store]:
    store = S3Store("lake", "p", endpoint_url=stub.endpoint, max_attempts=2, deadline=10, **KEYS)
    yield store
    store.close()


@dataclass
class RawS3(RawObjects):
    client: Any
    bucket: str

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def damage(self, key: str, data: bytes) -> None:
        kept = self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"]
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, Metadata=kept)


class TestS3Store(StoreConformance):
    @pytest.fixture
    def store(self, moto_endpoint: str, bucket: str) -> Iterator[S3Store]:
        store = S3Store(bucket, "base/prefix", endpoint_url=moto_endpoint, **KEYS)
        yield store
        store.close()

    @pytest.fixture
    def raw(self, client: Any, bucket: str) -> RawS3:
        return RawS3(client, bucket)


@pytest.mark.long
@pytest.mark.parametrize("wire", ["boto3"], indirect=True)
@pytest.mark.usefixtures("wire")
class TestS3StoreWithoutObstore(TestS3Store):
    pass


# -- construction ----------------------------------------------------------------------------------


def test_construction_imports_and_asks_nothing() -> None:
    code = (
        "import sys; from dagster_buckets_s3.store import S3Store; import pickle;"
        "s = S3Store('lake', endpoint_url='http://127.0.0.1:1'); pickle.loads(pickle.dumps(s)); repr(s); s.uri('x');"
        "assert not {'boto3', 'botocore', 'obstore', 'dagster'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_construction_makes_no_request(stub: Stub, stubbed: S3Store) -> None:
    assert stubbed.uri("x") == "s3://lake/p/x"
    stubbed._clients.get()
    assert stub.requests == []


@pytest.mark.parametrize(
    "arguments",
    [{"bucket": ""}, {"bucket": "a/b"}, {"bucket": "s3://a"}, {"bucket": "lake", "endpoint_url": "localhost:9000"},
     {"bucket": "lake", "endpoint_url": f"http://user:{CANARY}@host"}],
)  # fmt: skip
def test_settings_that_cannot_work(arguments: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        S3Store(**arguments)
    assert CANARY not in str(caught.value)


def test_from_uri() -> None:
    store = S3Store.from_uri("s3://lake/a/b/", region_name="eu-west-1")
    assert (store.bucket, store.prefix, store.settings.region_name) == ("lake", "a/b", "eu-west-1")
    assert S3Store.from_uri("s3://lake").prefix == ""


# -- requests --------------------------------------------------------------------------------------


def test_one_request_per_put_and_per_get(stub: Stub, stubbed: S3Store, wire: str) -> None:
    stored: dict[str, Any] = {}

    def answer(request: Request) -> Answer:
        if request.method == "PUT":
            stored.update(body=request.body, headers=request.headers)
            return 200, {"ETag": '"e1"'}, b""
        meta = {k: v for k, v in stored["headers"].items() if k.startswith("x-amz-meta-")}
        size = len(stored["body"])
        more = {
            "ETag": '"e1"',
            "content-range": f"bytes 0-{size - 1}/{size}",
            "last-modified": "Tue, 24 Nov 2026 12:35:10 GMT",
        }
        return 206, meta | more, stored["body"]

    stub.answer = answer
    put = stubbed.put("x", Body.of(b"0123", b"456789"), header=Header(format="bytes"))
    assert [r.method for r in stub.requests] == ["PUT"]
    assert stub.requests[0].path == "/lake/p/x"
    checksum = "crc64nvme" if wire == "obstore" else "crc32"
    assert f"x-amz-checksum-{checksum}" in stub.requests[0].headers
    got = stubbed.get("x")
    assert [r.method for r in stub.requests] == ["PUT", "GET"]
    assert stub.requests[1].headers["range"] == f"bytes=0-{16 * MIB - 1}"
    assert got.info.header == put.header
    stub.requests.clear()
    # A stream that ends within a part is sent like a buffer, with its digest.
    header = stubbed.put("x", Body(iter([b"a", b"b"]))).header
    assert header is not None
    assert header.digest == digest_of([b"ab"])
    assert [r.method for r in stub.requests] == ["PUT"]
    for kind in ({"if_absent": True}, {"if_match": '"e1"'}):
        stub.requests.clear()
        stubbed.put("x", Body.of(b"x"), **kind)
        (request,) = stub.requests
        assert (request.headers.get("if-none-match"), request.headers.get("if-match")) == (
            "*" if "if_absent" in kind else None, kind.get("if_match"),
        )  # fmt: skip


def test_requests_of_peek(stub: Stub, stubbed: S3Store) -> None:
    data = b"0123456789"

    def answer(request: Request) -> Answer:
        part = data[-int(request.headers["range"].rpartition("-")[2]) :]
        span = f"{len(data) - len(part)}-{len(data) - 1}"
        return 206, DESCRIBED | {"content-range": f"bytes {span}/{len(data)}"}, part

    stub.answer = answer
    for size in (4, 10, 16 * MIB):
        assert bytes(stubbed.peek("x", size).data) == data[-size:]
        (request,) = stub.requests
        assert (request.method, request.headers["range"]) == ("GET", f"bytes=-{size}")
        stub.requests.clear()


@pytest.mark.parametrize("etag", ['"e1"', ""])
def test_requests_of_a_reader_of_a_known_version(stub: Stub, stubbed: S3Store, etag: str) -> None:
    stub.answer = lambda _: (206, DESCRIBED | {"content-range": "bytes 0-9/10"}, b"0123456789")
    with stubbed.open("x", replace(VERSION, etag=etag)) as file:
        file.seek(4)
        file.seek(0)
        assert stub.requests == []
        assert file.read() == b"0123456789"
    (request,) = stub.requests
    assert (request.method, request.path) == ("GET", "/lake/p/x")
    assert request.headers.get("if-match") == (etag or None)


def test_environment_does_not_override(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_server() as other:
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
            monkeypatch.setenv(name, other.endpoint)
        monkeypatch.setenv("AWS_SESSION_TOKEN", "foreign-token")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        monkeypatch.setenv("AWS_REGION", "eu-north-1")
        monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
        stub.answer = lambda _: (200, {"ETag": '"e"'}, b"")
        store = S3Store("lake", endpoint_url=stub.endpoint, **KEYS)
        store.put("x", Body.of(b"1"))
        store.close()
        assert other.requests == []
    (request,) = stub.requests
    assert request.path == "/lake/x"
    assert "AKIDEXAMPLE" in request.headers["authorization"]
    assert "/us-east-1/" in request.headers["authorization"]
    assert "x-amz-security-token" not in request.headers


def test_endpoint_of_the_environment_is_found_as_boto3_finds_it(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", stub.endpoint)
    stub.answer = lambda _: (200, {"ETag": '"e"'}, b"")
    store = S3Store("lake", **KEYS)
    store.put("x", Body.of(b"1"))
    store.close()
    assert stub.requests[0].path == "/lake/x"


@pytest.mark.parametrize(
    ("bucket", "region", "expected"),
    [
        ("lake", "eu-west-1", ("https://lake.s3.eu-west-1.amazonaws.com", True)),
        ("lake", "cn-north-1", ("https://lake.s3.cn-north-1.amazonaws.com.cn", True)),
        ("lake", None, ("https://lake.s3.amazonaws.com", True)),
        ("dotted.lake", "eu-west-1", ("https://s3.eu-west-1.amazonaws.com", False)),
    ],
)
def test_address_at_aws(bucket: str, region: str | None, expected: tuple[str, bool]) -> None:
    from dagster_buckets_s3.control import address

    store = S3Store(bucket, **(KEYS | {"region_name": region}))
    connections = store._clients.get()
    assert address(store.settings, connections.control.meta.endpoint_url) == expected
    store.close()


# -- missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.get("x"), lambda s: s.peek("x", 9), lambda s: s.head("x"), lambda s: s.open("x"), lambda s: list(s.scan()),
        lambda s: s.delete(["x"]), lambda s: s.put("x", Body.of(b"1")),
        lambda s: s.put("x", Body.of(b"1"), if_absent=True), lambda s: s.put("x", Body.of(b"1"), if_match='"e"'),
        lambda s: s.put("x", Body.of(bytes(17 * MIB))), lambda s: s.put("x", Body.of(bytes(17 * MIB)), if_absent=True),
    ],
    ids=["get", "peek", "head", "open", "scan", "delete", "put", "create", "swap", "large", "large-create"],
)  # fmt: skip
def test_missing_bucket(moto_endpoint: str, call: Any) -> None:
    store = S3Store("no-such-bucket", endpoint_url=moto_endpoint, **KEYS)
    with pytest.raises(BucketNotFoundError, match="the bucket does not exist") as caught:
        call(store)
    assert not isinstance(caught.value, FileNotFoundError)
    assert "s3://no-such-bucket" in str(caught.value)
    store.close()


# -- refusals --------------------------------------------------------------------------------------

REFUSALS = [
    (403, "AccessDenied", AccessDeniedError, "s3:ListBucket"),
    (403, "InvalidAccessKeyId", AccessDeniedError, "profile"),
    (403, "SignatureDoesNotMatch", AccessDeniedError, "aws_secret_access_key"),
    (400, "ExpiredToken", AccessDeniedError, "sso login"),
    (400, "InvalidToken", AccessDeniedError, "aws_session_token"),
    (403, "RequestTimeTooSkewed", AccessDeniedError, "NTP"),
    (403, "KMS.Something", AccessDeniedError, "kms:Decrypt"),
    (401, "Unknown", AccessDeniedError, "profile"),
    (404, "NoSuchBucket", BucketNotFoundError, "endpoint"),
    (400, "InvalidBucketName", ConfigurationError, "name"),
    (503, "SlowDown", StoreUnavailableError, "max_concurrency"),
    (500, "InternalError", StoreUnavailableError, "max_attempts"),
]


@pytest.mark.parametrize(("status", "code", "kind", "hint"), REFUSALS, ids=[r[1] for r in REFUSALS])
def test_refusals(  # noqa: PLR0913, PLR0917 - one table
    stub: Stub,
    stubbed: S3Store,
    wire: str,
    status: int,
    code: str,
    kind: type[Exception],
    hint: str,
) -> None:
    # What S3 quotes in such answers must not reach a log.
    stub.refuse(status, code, **{"Token-0": CANARY, "StringToSign": CANARY})
    calls: list[Callable[[], object]] = [
        lambda: stubbed.get("x"), lambda: stubbed.head("x"), lambda: stubbed.put("x", Body.of(b"1")),
        lambda: stubbed.put("x", Body.of(b"1"), if_absent=True), lambda: list(stubbed.scan()),
        lambda: stubbed.delete(["x"]), lambda: stubbed.put("x", Body.of(bytes(17 * MIB))),
        lambda: stubbed.peek("x", 9), lambda: stubbed.open("x", VERSION).read(),
    ]  # fmt: skip
    for call in calls:
        stub.requests.clear()
        with pytest.raises(kind) as caught:
            call()
        error = caught.value
        assert "s3://lake/p" in str(error)
        if not (status >= 500 and stub.requests[0].method == "HEAD"):
            assert hint in str(error)
        assert error.__cause__ is not None
        assert CANARY not in "".join(traceback.format_exception(error))
        assert CANARY not in repr(error.__cause__) + repr(vars(error.__cause__))
        if kind is AccessDeniedError:
            head = stub.requests[0].method == "HEAD"
            # To a 400 without a body boto3 asks for the bucket's region.
            region = head and status == 400 and wire == "boto3"
            # A listing may tell that an object is missing.
            listed = [request for request in stub.requests[1:] if "list-type=2" in request.path]
            assert len(listed) <= (code == "AccessDenied")
            assert len(stub.requests) == 1 + head + region + len(listed)


LISTING = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lake</Name>'
    "<IsTruncated>false</IsTruncated>{}</ListBucketResult>"
)
SHOWN = (
    "<Contents><Key>p/{}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
    '<ETag>"1"</ETag><Size>1</Size></Contents>'
)


@pytest.mark.parametrize(
    ("listing", "kind"),
    [
        (LISTING.format(""), ObjectNotFoundError),
        (LISTING.format(SHOWN.format("xy")), ObjectNotFoundError),
        (LISTING.format(SHOWN.format("x")), AccessDeniedError),
        (None, AccessDeniedError),
    ],
    ids=["nothing", "another", "it", "refused"],
)
def test_a_listing_tells_missing_from_forbidden(
    stub: Stub, stubbed: S3Store, listing: str | None, kind: type[Exception]
) -> None:
    # So S3 answers to a policy whose s3:ListBucket is bound to a prefix.
    refused = b"<Error><Code>AccessDenied</Code></Error>"
    plain = {"content-type": "application/xml"}

    def answer(request: Request) -> Answer:
        if "list-type=2" in request.path and listing is not None:
            return 200, plain, listing.encode()
        return 403, plain, b"" if request.method == "HEAD" else refused

    stub.answer = answer
    for call in (
        lambda: stubbed.get("x"),
        lambda: stubbed.peek("x", 9),
        lambda: stubbed.head("x"),
        lambda: stubbed.open("x").read(),
    ):
        with pytest.raises(kind, match="s3://lake/p/x") as caught:
            call()
        assert isinstance(caught.value, FileNotFoundError) == (kind is ObjectNotFoundError)


@pytest.mark.parametrize(
    "said",
    [
        "<Error><Code>AccessDenied</Code><Message>sent {0}</Message></Error>",
        "<Error><Code>InternalOops</Code><Message>{0}</Message></Error>",
        "the proxy does not like {0}",
    ],
)
@pytest.mark.parametrize("field", ["aws_secret_access_key", "aws_session_token"])
def test_no_answer_makes_an_error_show_the_credentials(stub: Stub, said: str, field: str) -> None:
    known: Any = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "of-no-account"}
    known |= {"region_name": "us-east-1", field: CANARY}
    store = S3Store("lake", "p", endpoint_url=stub.endpoint, max_attempts=1, **known)
    stub.answer = lambda _: (403, {"content-type": "application/xml"}, said.format(CANARY).encode())
    for call in (
        lambda: store.get("x"), lambda: store.put("x", Body.of(b"1")), lambda: store.head("x"),
        lambda: list(store.scan()), lambda: store.put("x", Body.of(bytes(17 * MIB)), if_absent=True),
        lambda: store.delete(["x"]),
    ):  # fmt: skip
        with pytest.raises(StoreError) as caught:
            call()
        assert CANARY not in "".join(traceback.format_exception(caught.value))
        assert CANARY not in repr(caught.value.__cause__)
    store.close()


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b""),
        (404, {}, b"<html>not here</html>"),
        (200, {}, b"<html>please sign in</html>"),
    ],
    ids=["empty", "page", "login"],
)
def test_another_server_is_never_an_empty_bucket(stub: Stub, stubbed: S3Store, answer: Any) -> None:
    stub.answer = lambda _: answer
    calls: list[Callable[[], object]] = [
        lambda: stubbed.get("x"), lambda: stubbed.peek("x", 9), lambda: stubbed.head("x"),
        lambda: list(stubbed.scan()),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises((StoreError, ConfigurationError)) as caught:
            call()
        assert not isinstance(caught.value, FileNotFoundError)


def test_refused_deletion(stub: Stub, stubbed: S3Store) -> None:
    error = b"<Error><Key>p/x</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    stub.answer = lambda _: (200, {}, b"<DeleteResult>" + error + b"</DeleteResult>")
    with pytest.raises(AccessDeniedError):
        stubbed.delete(["x"])


def test_broken_download_goes_on_where_it_broke(stub: Stub, stubbed: S3Store) -> None:
    meta = {"ETag": '"e"', "last-modified": "Tue, 24 Nov 2026 12:35:10 GMT"}

    def answer(request: Request) -> Answer:
        if len(stub.requests) == 1:
            return (
                206,
                meta
                | {"content-range": "bytes 0-9/10", "content-length": "10", "connection": "close"},
                b"01234",
            )
        return 206, meta | {"content-range": "bytes 5-9/10"}, b"56789"

    stub.answer = answer
    assert bytes(stubbed.get("x").data) == b"0123456789"
    assert stub.requests[1].headers["range"] == "bytes=5-9"


def test_download_that_breaks_while_the_object_changes(
    stub: Stub, stubbed: S3Store, wire: str
) -> None:
    # Of the same size, and without a header that would tell.
    new = {"ETag": '"e2"', "last-modified": DESCRIBED["last-modified"]}

    def answer(request: Request) -> Answer:
        if len(stub.requests) == 1:
            cut = {"content-range": "bytes 0-9/10", "content-length": "10", "connection": "close"}
            return 206, DESCRIBED | cut, b"01234"
        if request.headers.get("if-match", '"e2"') != '"e2"':
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        start = int(request.headers["range"].removeprefix("bytes=").partition("-")[0])
        return 206, new | {"content-range": f"bytes {start}-9/10"}, b"abcdefghij"[start:]

    stub.answer = answer
    if wire == "obstore":
        # It compares the ETags, and then speaks of a broken connection.
        with pytest.raises(StoreUnavailableError):
            stubbed.get("x")
    payload = stubbed.get("x")
    assert (bytes(payload.data), payload.info.etag) == (b"abcdefghij", '"e2"')


def test_bucket_of_another_region(stub: Stub, stubbed: S3Store) -> None:
    def answer(request: Request) -> Answer:
        return (
            301,
            {"x-amz-bucket-region": "eu-west-3"},
            b"<Error><Code>PermanentRedirect</Code></Error>",
        )

    stub.answer = answer
    for call in (
        lambda: stubbed.get("x"),
        lambda: stubbed.put("x", Body.of(b"1")),
        lambda: list(stubbed.scan()),
        lambda: stubbed.peek("x", 9),
        lambda: stubbed.open("x", VERSION).read(),
    ):
        with pytest.raises(ConfigurationError, match="another region, eu-west-3") as caught:
            call()
        assert "region_name='eu-west-3'" in str(caught.value)


def test_no_credentials(stub: Stub) -> None:
    store = S3Store("lake", endpoint_url=stub.endpoint, region_name="us-east-1")
    began = time.monotonic()
    for call in (
        lambda: store.get("x"),
        lambda: store.put("x", Body.of(b"1")),
        lambda: list(store.scan()),
        lambda: store.peek("x", 9),
        lambda: store.open("x", VERSION).read(),
    ):
        with pytest.raises(AccessDeniedError, match="no AWS credentials found for s3://lake"):
            call()
    assert time.monotonic() - began < 10
    assert stub.requests == []
    store.close()


def test_unknown_profile() -> None:
    with pytest.raises(ConfigurationError, match="no such AWS profile"):
        S3Store("lake", profile_name="nobody").get("x")


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="half of the credentials"):
        S3Store("lake", aws_access_key_id="AKIDEXAMPLE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    with pytest.raises(AccessDeniedError, match="half of the AWS credentials"):
        S3Store("lake", region_name="us-east-1").get("x")


def test_credentials_expire_when_they_say(stub: Stub, stubbed: S3Store) -> None:
    from botocore.credentials import RefreshableCredentials
    from dagster_buckets_s3.credentials import CredentialProvider

    until = datetime.now(UTC) + timedelta(hours=1)
    found = {
        "access_key": "A",
        "secret_key": CANARY,
        "token": "t",
        "expiry_time": until.isoformat(),
    }
    renewable = RefreshableCredentials.create_from_metadata(found, lambda: found, "test")
    provider = CredentialProvider(renewable, "s3://lake")
    assert provider()["expires_at"] == until
    assert CANARY not in repr(provider)
    with pytest.raises(TypeError):
        pickle.dumps(provider)

    def fails() -> Any:
        msg = f"refused {CANARY}"
        raise ConnectionError(msg)

    connections = stubbed._clients.get()
    connections.credentials._credentials.get_frozen_credentials = fails
    with pytest.raises(StoreError) as caught:
        stubbed.get("x")
    assert CANARY not in str(caught.value)


# -- servers that fail -----------------------------------------------------------------------------


@pytest.mark.usefixtures("wire")
def test_dead_endpoint() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = S3Store("lake", endpoint_url=f"http://127.0.0.1:{port}", max_attempts=3, **KEYS)
    calls: list[Callable[[], object]] = [
        lambda: store.get("x"),
        lambda: store.put("x", Body.of(b"1")),
        lambda: store.put("x", Body.of(b"1"), if_absent=True),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="could not be reached"):
            call()
        assert time.monotonic() - began < 20
    store.close()


def test_transient_failures_are_tried_again(stub: Stub, stubbed: S3Store) -> None:
    answers = [(503, {}, b""), (200, {"ETag": '"e"'}, b"")]
    stub.answer = lambda _: answers.pop(0)
    assert stubbed.put("x", Body.of(b"1")).etag == '"e"'


@pytest.mark.parametrize("lost", ["503", "cut"])
@pytest.mark.parametrize(
    "condition", [{"if_absent": True}, {"if_match": '"old"'}], ids=["create", "swap"]
)
def test_own_write_with_a_lost_answer_is_success(
    stub: Stub, stubbed: S3Store, lost: str, condition: dict[str, Any]
) -> None:
    stored: dict[str, str] = {}

    def answer(request: Request) -> Answer | None:
        if request.method == "PUT" and not stored:
            stored.update({k: v for k, v in request.headers.items() if k.startswith("x-amz-meta-")})
            return (503, {}, b"") if lost == "503" else None
        if request.method == "PUT":
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        more = {
            "ETag": '"new"',
            "content-length": "1",
            "last-modified": "Tue, 24 Nov 2026 12:35:10 GMT",
        }
        return 200, stored | more, b""

    stub.answer = answer
    assert stubbed.put("x", Body.of(b"1"), **condition).etag == '"new"'
    with pytest.raises(ObjectExistsError):
        stubbed.put("x", Body.of(b"1"), **condition)


def test_conflict_that_means_try_again(stub: Stub, stubbed: S3Store) -> None:
    answers = [
        (409, {}, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
        (200, {"ETag": '"e"'}, b""),
    ]
    stub.answer = lambda _: answers.pop(0)
    stubbed.put("x", Body.of(b"1"), if_absent=True)


def test_damaged_upload_is_sent_again(stub: Stub, stubbed: S3Store) -> None:
    answers = [(400, {}, b"<Error><Code>BadDigest</Code></Error>"), (200, {"ETag": '"e"'}, b"")]
    stub.answer = lambda _: answers.pop(0)
    stubbed.put("x", Body.of(b"1"))
    stub.refuse(400, "BadDigest")
    with pytest.raises(IntegrityError):
        stubbed.put("x", Body.of(b"1"))


def test_damaged_download_is_read_again(stub: Stub, stubbed: S3Store) -> None:
    header = {
        f"x-amz-meta-{k}": v for k, v in Body.of(b"0123456789").seal().to_attributes().items()
    }
    bodies = [b"0123456780", b"0123456789"]

    def answer(request: Request) -> Answer:
        more = {
            "ETag": '"e"',
            "content-range": "bytes 0-9/10",
            "last-modified": "Tue, 24 Nov 2026 12:35:10 GMT",
        }
        return 206, header | more, bodies.pop(0)

    stub.answer = answer
    assert bytes(stubbed.get("x").data) == b"0123456789"
    assert len(stub.requests) == 2
    bodies = [b"0123456780", b"0123456789"]
    assert bytes(stubbed.peek("x", 16 * MIB).data) == b"0123456789"
    assert len(stub.requests) == 4


def test_an_end_that_is_cut_is_refused(stub: Stub, stubbed: S3Store) -> None:
    stub.answer = lambda _: (206, DESCRIBED | {"content-range": "bytes 2-9/10"}, b"2345678")
    with pytest.raises(IntegrityError, match="7 bytes came instead of the last 8"):
        stubbed.peek("x", 8)


# -- large objects ---------------------------------------------------------------------------------


def uploads(client: Any, bucket: str) -> list[Any]:
    return list(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def test_failed_streams_leave_no_upload(store: S3Store, client: Any, bucket: str) -> None:
    class OwnError(FileNotFoundError):
        pass

    own = OwnError(2, "the caller's own")

    def breaks() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)
        raise own

    etag = store.put("x", Body.of(b"old")).etag
    conditions: list[dict[str, Any]] = [{}, {"if_match": etag}]
    for condition in conditions:
        with pytest.raises(OwnError) as caught:
            store.put("x", Body(breaks()), **condition)
        assert caught.value is own
        assert own.args == (2, "the caller's own")
        assert uploads(client, bucket) == []
    assert bytes(store.get("x").data) == b"old"


def test_stream_that_uses_one_buffer_again(store: S3Store) -> None:
    buffer = bytearray(MIB)

    def stream() -> Iterator[bytearray]:
        for number in range(40):
            buffer[:] = bytes([number]) * MIB
            yield buffer

    store.put("x", Body(stream()))
    data = bytes(store.get("x").data)
    assert [data[n * MIB] for n in range(40)] == list(range(40))
    assert [data[(n + 1) * MIB - 1] for n in range(40)] == list(range(40))


@pytest.mark.parametrize("kind", ["held", "streamed"])
def test_large_conditional_writes(store: S3Store, client: Any, bucket: str, kind: str) -> None:
    pieces = [secrets.token_bytes(3 * MIB) for _ in range(12)]

    def body() -> Body:
        return Body(iter(pieces)) if kind == "streamed" else Body.of(*pieces)

    first = store.put("x", body(), if_absent=True)
    assert store.head("x").etag == first.etag
    assert digest_of([store.get("x").data]) == digest_of(pieces)
    with pytest.raises(ObjectExistsError, match="exists"):
        store.put("x", body(), if_absent=True)
    store.put("x", body(), if_match=first.etag)
    store.put("x", Body.of(b"other"))
    with pytest.raises(ObjectExistsError, match="has another version"):
        store.put("x", body(), if_match=first.etag)
    with pytest.raises(ObjectExistsError, match="does not exist"):
        store.put("y", body(), if_match=first.etag)
    assert uploads(client, bucket) == []
    # Lost at the end of the upload rather than before it.
    store.put("z", Body.of(b"the winner"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dagster_buckets_s3.writer.Write._check", lambda _: None)
        with pytest.raises(ObjectExistsError, match="exists"):
            store.put("z", body(), if_absent=True)
    assert bytes(store.get("z").data) == b"the winner"
    assert uploads(client, bucket) == []


def test_reader_of_a_large_object(store: S3Store) -> None:
    data = secrets.token_bytes(40 * MIB)
    store.put("x", Body.of(data))
    with store.open("x") as file:
        file.seek(5)
        assert digest_of([file.read()]) == digest_of([data[5:]])
        file.seek(-3, 2)
        assert file.read(100) == data[-3:]


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a\ufffeb", "\uffff/x"])
def test_characters_that_no_deletion_can_hold_are_refused(store: S3Store, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(key, Body.of(b"x")), lambda: store.get(key), lambda: store.head(key),
        lambda: store.open(key), lambda: store.delete([key]), lambda: store.uri(key),
        lambda: store.peek(key, 9),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidKeyError, match="XML"):
            call()


@pytest.mark.parametrize(
    ("server", "status", "code", "expected"),
    [
        ("SeaweedFS 30GB 3.97", 404, "NoSuchKey", True),
        ("nginx", 400, "InvalidRequest", True),
        ("AmazonS3", 404, "NoSuchKey", False),
        ("AmazonS3", 403, "AccessDenied", False),
        ("AmazonS3", 400, "ExpiredToken", False),
    ],
)
def test_how_seaweedfs_is_known(server: str, status: int, code: str, *, expected: bool) -> None:
    answer: Any = {
        "Error": {"Code": code},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"server": server}},
    }
    client = Mock()
    client.get_object.side_effect = ClientError(answer, "GetObject")
    assert is_seaweedfs(client, "lake", "p/") is expected
    client.get_object.assert_called_once_with(Bucket="lake", Key="p/\\.")


@pytest.mark.parametrize("key", ["a\\b", ".uploads/x", "a/.uploads/b", "a.versions/b"])
def test_keys_that_seaweedfs_loses(stub: Stub, stubbed: S3Store, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: stubbed.put(key, Body.of(b"x")), lambda: stubbed.get(key), lambda: stubbed.head(key),
        lambda: stubbed.open(key), lambda: stubbed.delete(["x", key]), lambda: stubbed.peek(key, 9),
    ]  # fmt: skip
    # As long as nothing is known, nothing is done, and it is asked again.
    stub.refuse(503, "SlowDown")
    for call in calls:
        with pytest.raises(StoreUnavailableError):
            call()
    assert {request.path for request in stub.requests} == {"/lake/p/%5C."}
    stub.requests.clear()
    stub.refuse(400, "InvalidRequest")
    for call in calls:
        with pytest.raises(InvalidKeyError, match="on this server: SeaweedFS"):
            call()
    assert [(request.method, request.path) for request in stub.requests] == [
        ("GET", "/lake/p/%5C.")
    ]
    assert stubbed.uri(key) == f"s3://lake/p/{key}"


def test_other_servers_are_asked_once(stub: Stub, stubbed: S3Store) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "GET":
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        return 200, {"ETag": '"e"'}, b""

    stub.answer = answer
    for key in ("plain", "a\\b", "c\\d", ".uploads/x"):
        stubbed.put(key, Body.of(b"x"))
    assert [request.method for request in stub.requests] == ["PUT", "GET", "PUT", "PUT", "PUT"]
    assert stub.requests[2].path == "/lake/p/a%5Cb"


def test_what_is_neither_there_nor_can_be_created(stub: Stub, stubbed: S3Store) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "PUT":
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"

    stub.answer = answer
    with pytest.raises(ObjectExistsError, match="cannot be created"):
        stubbed.put("x", Body.of(b"1"), if_absent=True)
    with pytest.raises(ObjectExistsError, match="does not exist"):
        stubbed.put("x", Body.of(b"1"), if_match='"e"')


# -- listing ---------------------------------------------------------------------------------------


def test_scan_passes_over_what_is_no_key(store: S3Store, client: Any, bucket: str) -> None:
    for key in ("base/prefix/", "base/prefix/folder/", "base/prefix/a//b", "base/prefix/x"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    assert [info.key for info in store.scan()] == ["x"]


def test_scan_describes(store: S3Store) -> None:
    written = store.put("x", Body.of(b"123"))
    (info,) = store.scan()
    assert (info.etag, info.size) == (written.etag, 3)
    assert info.modified.tzinfo is not None


# -- secrets and processes -------------------------------------------------------------------------


def test_secrets_are_not_shown(store: S3Store) -> None:
    store.put("x", Body.of(b"1"))
    for text in (
        repr(store),
        str(store),
        repr(store.settings),
        repr(store._clients),
        repr(store._clients.get()),
    ):
        assert CANARY not in text


def test_pickle_holds_what_was_given_only(
    moto_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    store = S3Store(bucket, endpoint_url=moto_endpoint, region_name="us-east-1")
    store.put("x", Body.of(b"1"))
    pickled = pickle.dumps(store)
    assert CANARY.encode() not in pickled
    again = pickle.loads(pickled)  # noqa: S301 - our own bytes
    assert bytes(again.get("x").data) == b"1"
    store.close()
    again.close()


def _read_elsewhere(store: S3Store) -> bytes:
    return bytes(store.get("x").data)


def test_other_processes(store: S3Store) -> None:
    store.put("x", Body.of(b"1"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_read_elsewhere, (store,)) == b"1"
        pool.close()
        pool.join()


def test_user_visible_names_are_documented() -> None:
    from dagster_buckets_s3.settings import Options, Settings

    assert set(Options.__annotations__) == set(Settings.__dataclass_fields__) - {"bucket"}
    for name in Options.__annotations__:
        assert re.search(rf"^\s+{name}: ", Options.__doc__ or "", re.MULTILINE)
