"""A secret that every credential field is given is then looked for everywhere, and not found."""

from __future__ import annotations

import json
import os
import pickle
import traceback
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

import boto3
import dagster as dg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_buckets import (
    BucketIOManager,
    LiteralSecretWarning,
    MemoryIOManager,
    MemoryStore,
    secret_field,
)
from dagster_buckets.objects import Body
from dagster_buckets.redaction import redacting
from dagster_buckets_gcs import GCSIOManager, GCSStore
from dagster_buckets_local import LocalIOManager
from dagster_buckets_s3 import S3IOManager
from pydantic import ValidationError

from tests.gcs_server import fake_gcs_server
from tests.servers import Stub, stub_server

CANARY = "canary7f3a9SECRET0123456789abcdef"
ACCESS_KEY = "AKIACANARY7F3A9"
PRIVATE_KEY = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
PEM = PRIVATE_KEY.decode()
#: A line from the middle of it.
PEM_LINE = PEM.splitlines()[5]
VARIABLE = "FAULTS_SECRET"

Make = Callable[..., BucketIOManager]


def account(token_uri: str, key: str = PEM) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "robot@shop.iam.gserviceaccount.com",
            "private_key_id": "7",
            "private_key": key,
            "token_uri": token_uri,
        }
    )


def s3(endpoint: str = "http://127.0.0.1:1", **fields: Any) -> S3IOManager:
    known = {"region_name": "us-east-1", "aws_access_key_id": ACCESS_KEY}
    if "aws_secret_access_key" not in fields:
        known["aws_secret_access_key"] = dg.EnvVar("FAULTS_OTHER")
    return S3IOManager(bucket="lake", endpoint_url=endpoint, **{**known, **fields})


def gcs(endpoint: str = "http://127.0.0.1:1", **fields: Any) -> GCSIOManager:
    return GCSIOManager(bucket="lake", endpoint_url=endpoint, **{"token": "anon", **fields})


@dataclass(frozen=True)
class Case:
    """One field that holds a secret."""

    make: Make
    field: str
    value: str = CANARY
    canary: str = CANARY

    def __str__(self) -> str:
        return f"{self.make.__name__}-{self.field}"


FIELDS = [
    Case(s3, "aws_secret_access_key"),
    Case(s3, "aws_session_token"),
    Case(gcs, "token"),
    Case(gcs, "token", account("http://127.0.0.1:1"), PEM_LINE),
    Case(MemoryIOManager, "pickle_key", f"one:{CANARY}"),
    Case(LocalIOManager, "pickle_key", f"one:{CANARY}"),
    Case(s3, "pickle_key", f"one:{CANARY}"),
    Case(gcs, "pickle_key", f"one:{CANARY}"),
]
EVERY_FIELD = pytest.mark.parametrize("case", FIELDS, ids=str)


@pytest.fixture(autouse=True)
def _variables(
    no_settings_of_this_machine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAULTS_OTHER", "another-secret")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


@dg.asset
def number() -> int:
    return 1


@dg.asset
def after(number: int) -> int:
    return number + 1


@dg.asset
def opaque() -> set[int]:
    return {1}


def chain(error: BaseException | None, seen: dict[int, BaseException]) -> list[BaseException]:
    """An exception with its causes, contexts and members, shown or not."""
    if error is not None and id(error) not in seen:
        seen[id(error)] = error
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            chain(other, seen)
    return list(seen.values())


def texts_of(error: BaseException) -> str:
    found = ["".join(traceback.format_exception(error))]
    for each in chain(error, {}):
        found += [str(each), repr(each), repr(each.args), repr(vars(each))]
    return "\n".join(found)


@dataclass(frozen=True)
class Looked:
    """All that a run left behind, as text."""

    success: bool
    text: str


@pytest.fixture
def look(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Looked]:
    def run(manager: BucketIOManager, *assets: Any, selection: Any = None) -> Looked:
        # boto3 and urllib3 log what they send and get at DEBUG: the how-to says so.
        caplog.set_level("INFO")
        for name in ("dagster", "dagster_buckets", "asyncio", "gcsfs", "google", "obstore"):
            caplog.set_level("DEBUG", logger=name)
        texts = [repr(manager), str(manager)]
        with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
            # A literal one is warned of when it is given, and never again in a run.
            warnings.simplefilter("error", LiteralSecretWarning)
            for raising in (False, True):
                try:
                    result = dg.materialize(
                        [*assets],
                        selection=selection,
                        resources={"io_manager": manager},
                        instance=instance,
                        raise_on_error=raising,
                    )
                except Exception as error:  # noqa: BLE001 - looked at, whatever it is
                    texts.append(texts_of(error))
                    success = False
                else:
                    success = result.success
            for record in instance.get_run_records():
                texts.append(dg.serialize_value(record.dagster_run))
                texts += [
                    dg.serialize_value(log) for log in instance.all_logs(record.dagster_run.run_id)
                ]
        texts += [caplog.text, *capfd.readouterr()]
        return Looked(success, "\n".join(texts))

    return run


# -- what is shown of a manager --------------------------------------------------------------------


def all_managers() -> set[type[BucketIOManager]]:
    found: set[type[BucketIOManager]] = set()
    waiting: list[Any] = [BucketIOManager]
    while waiting:
        waiting += (now := waiting.pop()).__subclasses__()
        if now.__module__.startswith("dagster_buckets"):
            found.add(now)
    return found


def test_every_field_that_sounds_secret_is_one_and_has_its_canary() -> None:
    tested = {case.field for case in FIELDS}
    managers = all_managers()
    assert {kind.__name__ for kind in managers} >= {"S3IOManager", "GCSIOManager", "LocalIOManager"}
    for kind in managers:
        for name, declared in kind.model_fields.items():
            extra = declared.json_schema_extra
            secret = isinstance(extra, dict) and bool(extra.get("dagster__is_secret"))
            sounds = any(word in name for word in ("secret", "token", "password", "pickle_key"))
            assert secret == sounds, (kind, name)
            if secret:
                assert not declared.repr, (kind, name)
                assert name in tested


def root(case: Case) -> dict[str, str]:
    return {"root": "objects"} if case.make is LocalIOManager else {}


def snapshot(manager: BucketIOManager) -> str:
    """What the webserver gets of the code location."""
    defs = dg.Definitions(assets=[number, after], resources={"io_manager": manager})
    return dg.serialize_value(RepositorySnap.from_def(defs.get_repository_def()))


@EVERY_FIELD
def test_the_webserver_gets_the_name_of_a_variable(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, case.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager = case.make(**root(case), **{case.field: dg.EnvVar(VARIABLE)})
        shown = snapshot(manager)
    assert VARIABLE in shown
    assert case.canary not in shown + repr(manager) + str(manager)


@EVERY_FIELD
def test_a_literal_draws_one_warning(case: Case) -> None:
    with pytest.warns(LiteralSecretWarning) as caught:
        manager = case.make(**root(case), **{case.field: case.value})
    (warning,) = caught
    said = str(warning.message)
    assert type(manager).__name__ in said
    assert f'{case.field}=dg.EnvVar("' in said
    assert case.canary not in said
    assert case.canary not in repr(manager) + str(manager)
    # Why: the webserver gets it.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert case.canary in snapshot(manager)


def test_the_warning_points_to_the_code_that_gives_the_secret() -> None:
    class Own(S3IOManager):
        def __init__(self, **fields: Any) -> None:
            super().__init__(bucket="lake", aws_access_key_id=ACCESS_KEY, **fields)

    with pytest.warns(LiteralSecretWarning, match="^Own was given aws_secret_access_key") as caught:
        Own(aws_secret_access_key=CANARY)
    assert caught[0].filename == __file__
    fields = {"bucket": "lake", "token": CANARY}
    with pytest.warns(LiteralSecretWarning) as caught:
        GCSIOManager.model_validate(fields)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "token", [None, "google_default", "anon", "cloud", "cache", "browser", "key", "absent.json"]
)
def test_a_token_that_is_no_secret_draws_no_warning(token: str | None) -> None:
    Path("key").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GCSIOManager(bucket="lake", token=token)


class Vault(MemoryIOManager):
    """The manager of somebody else."""

    password: Optional[str] = secret_field("Of the vault.")  # noqa: UP045

    def make_store(self) -> MemoryStore:
        msg = f"the vault does not take {self.password}"
        raise RuntimeError(msg)


def test_a_field_of_another_distribution(
    look: Callable[..., Looked], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(LiteralSecretWarning, match="^Vault was given password as text"):
        literal = Vault(password=CANARY)
    assert CANARY not in repr(literal)
    monkeypatch.setenv(VARIABLE, CANARY)
    for manager in (literal, Vault(password=dg.EnvVar(VARIABLE))):
        seen = look(manager, number)
        assert not seen.success
        assert "the vault does not take ***" in seen.text
        assert CANARY not in seen.text


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["message", "element", "page"])
@pytest.mark.parametrize("asset", [number, after], ids=["write", "load"])
@pytest.mark.parametrize("case", FIELDS[:3], ids=str)
def test_a_server_that_quotes_the_secret(  # noqa: PLR0913, PLR0917 - parameters and fixtures
    case: Case,
    asset: dg.AssetsDefinition,
    kind: str,
    stub: Stub,
    look: Callable[..., Looked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quoted = {
        "message": f"<Error><Code>AccessDenied</Code><Message>not {CANARY}</Message></Error>",
        "element": f"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>"
        f"<AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId><Sent>{CANARY}</Sent></Error>",
        "page": f"the proxy refuses {CANARY}",
    }[kind]
    stub.answer = lambda _: (403, {"content-type": "text/xml"}, quoted.encode())
    monkeypatch.setenv(VARIABLE, CANARY)
    manager = case.make(stub.endpoint, **{case.field: dg.EnvVar(VARIABLE)})
    seen = look(manager, number, after, selection=[asset])
    assert not seen.success
    assert stub.requests
    assert "AccessDeniedError" in seen.text
    assert CANARY not in seen.text
    if kind == "element":
        assert ACCESS_KEY not in seen.text


@pytest.mark.parametrize(
    ("token", "canary"),
    [
        (f'{{"private_key": "{CANARY}', CANARY),
        (json.dumps({"private_key": CANARY}), CANARY),
        (account("http://127.0.0.1:1", CANARY), CANARY),
        (account("{endpoint}"), PEM_LINE),
    ],
    ids=["no JSON", "half a key", "no PEM", "refused"],
)
def test_a_key_that_cannot_be_used(
    token: str,
    canary: str,
    stub: Stub,
    look: Callable[..., Looked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {"error": "invalid_grant", "error_description": f"the key {PEM}"}
    stub.answer = lambda _: (400, {"content-type": "application/json"}, json.dumps(said).encode())
    monkeypatch.setenv(VARIABLE, token.replace("{endpoint}", stub.endpoint))
    seen = look(gcs(stub.endpoint, token=dg.EnvVar(VARIABLE)), number)
    assert not seen.success
    assert "AccessDeniedError" in seen.text
    assert canary not in seen.text
    # Also without a manager, which would take it out.
    store = GCSStore("lake", endpoint_url=stub.endpoint, token=token)
    if "{endpoint}" not in token:
        with pytest.raises(Exception, match="token=") as caught:
            store.put("x", Body.of(b""))
        assert canary not in texts_of(caught.value)


@pytest.mark.parametrize("make", [MemoryIOManager, s3, gcs], ids=lambda make: make.__name__)
def test_a_broken_pickle_key(
    make: Make, look: Callable[..., Looked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{CANARY} {CANARY}")
    seen = look(make(pickle_key=dg.EnvVar(VARIABLE)), number)
    assert not seen.success
    assert "id:secret" in seen.text
    assert CANARY not in seen.text
    with pytest.raises(Exception, match="id:secret") as caught:
        make(pickle_key=CANARY)
    assert CANARY not in texts_of(caught.value)


def test_a_wrong_setting_beside_a_secret() -> None:
    with pytest.raises(ValidationError, match="on_missing") as caught:
        S3IOManager(aws_secret_access_key=CANARY, on_missing="never")  # type: ignore[arg-type, call-arg]
    assert "bucket" in str(caught.value)
    assert CANARY not in texts_of(caught.value)
    with pytest.raises(ValidationError) as caught:
        S3IOManager(bucket="lake", aws_session_token=[CANARY])  # type: ignore[arg-type]
    assert CANARY not in texts_of(caught.value)
    with pytest.raises(Exception, match="password") as raised:
        GCSIOManager(bucket="lake", endpoint_url=f"http://me:{CANARY}@host")
    assert CANARY not in texts_of(raised.value)


def test_redacting_reaches_members_and_leaves_words_alone() -> None:
    def secrets() -> list[str]:
        return [CANARY, "demo", "new:0123456789abcdef,old:fedcba9876543210"]

    members = KeyError(f"a demo of {CANARY}", CANARY.encode(), "fedcba9876543210")
    error = ExceptionGroup("all", [members])
    error.__context__ = ValueError(CANARY)
    error.add_note(CANARY)
    details = {"plain": ["a demo"]}
    error.__dict__["details"] = details
    with pytest.raises(ExceptionGroup) as caught, redacting(secrets):
        raise error
    assert caught.value.details is details  # type: ignore[attr-defined]
    assert members.args == ("a demo of ***", b"***", "***")
    assert CANARY not in texts_of(caught.value)


@pytest.mark.parametrize("said", [PEM, json.dumps({"sent": PEM}), f"the line {account('x')}"])
def test_redacting_finds_a_key_inside_the_content_of_its_file(said: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*") as caught:  # noqa: SIM117
        with redacting(lambda: [account("http://127.0.0.1:1")]):
            raise ValueError(said)
    assert PEM_LINE not in texts_of(caught.value)


# -- runs that succeed, and pickles ----------------------------------------------------------------


@pytest.mark.parametrize("case", [FIELDS[0], FIELDS[1], *FIELDS[4:]], ids=str)
def test_a_run_shows_nothing(
    case: Case,
    request: pytest.FixtureRequest,
    look: Callable[..., Looked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, case.value)
    fields: dict[str, Any] = {case.field: dg.EnvVar(VARIABLE), "allow_pickle": True, **root(case)}
    if case.make is s3:
        fields["endpoint"] = request.getfixturevalue("moto_endpoint")
        make_bucket(fields["endpoint"])
    elif case.make is gcs:
        fields["endpoint"] = request.getfixturevalue("gcs_endpoint")
    seen = look(case.make(**fields), number, after, opaque)
    assert seen.success
    assert "dagster_buckets/format" in seen.text or "dagster/uri" in seen.text
    assert case.canary not in seen.text
    assert ACCESS_KEY not in seen.text


def make_bucket(endpoint: str) -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)  # type: ignore[call-overload]
    client.create_bucket(Bucket="lake")
    client.close()


@pytest.fixture(scope="module")
def gcs_endpoint() -> Iterator[str]:
    with fake_gcs_server() as endpoint:
        create = urllib.request.Request(  # noqa: S310
            f"{endpoint}/storage/v1/b?project=test",
            b'{"name": "lake"}',
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(create, timeout=10).close()  # noqa: S310
        yield endpoint


def test_a_pickle_of_a_store_holds_only_what_was_given(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("key.json").absolute()
    file.write_text(account(stub.endpoint))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "default")
    granted = {"access_token": CANARY, "expires_in": 3600, "token_type": "Bearer"}
    stub.answer = lambda _: (
        200, {"content-type": "application/json"}, json.dumps(granted).encode()
    )  # fmt: skip
    for options in ({}, {"token": str(file)}):
        store = GCSStore("lake", **options)  # type: ignore[arg-type]
        store._bucket.client._filesystem().credentials.maybe_refresh()
        assert stub.requests
        assert CANARY in store._bucket.client._filesystem()._get_headers({})["authorization"]
        pickled = pickle.dumps(store)
        assert PEM_LINE.encode() not in pickled
        assert CANARY.encode() not in pickled
        assert CANARY not in repr(store)
        store.close()
        stub.requests.clear()
    # What was given is found nowhere else: the pickle has to hold it.
    assert CANARY.encode() in pickle.dumps(GCSStore("lake", token=CANARY))
