"""Hand-over: what an engine is told of a stored table, and what nobody else is."""

from __future__ import annotations

import json
import logging
import pickle
import secrets
from pathlib import Path
from pprint import pformat
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketsError,
    ConfigurationError,
    DecodeError,
    HiveLayout,
    MemoryIOManager,
    MemoryStore,
    ObjectRef,
    PartitionError,
    TableRef,
    UnsupportedTypeError,
    ValueStore,
)
from dagster_buckets.dialects import (
    arrow_files,
    duckdb_secret,
    fsspec_options,
    hadoop_properties,
    object_store_options,
)
from dagster_buckets.formats import object_schemas
from dagster_buckets.handover import (
    for_arrow,
    for_daft,
    for_duckdb,
    for_fsspec,
    for_polars,
    for_spark,
)
from dagster_buckets.objects import Body
from dagster_buckets.stores.access import Access, FileAccess, GoogleAccess, S3Access
from dagster_buckets_gcs import GCSStore
from dagster_buckets_local import LocalIOManager, LocalStore
from dagster_buckets_s3 import S3Store

from tests.lazy_store import ReadingStore

CANARY = "canary7f3a9SECRET'0123456789"
TOKEN = "canarySESSIONtoken0123456789"
KEY = json.dumps({"type": "service_account", "private_key": CANARY})
AMAZON = S3Access("lake", "eu-west-1", "AKIA", CANARY, TOKEN, request_payer=True)
OTHER = S3Access("lake", "us-east-1", "AKIA", CANARY, endpoint_url="http://127.0.0.1:9000")
SCHEMA = pa.schema([("n", pa.int64()), ("at", pa.timestamp("us"))])


def rows(start: int, count: int = 300) -> pa.Table:
    return pa.table({"n": range(start, start + count), "at": range(start, start + count)}).cast(
        SCHEMA
    )


@pytest.fixture
def lake(tmp_path: Path) -> LocalIOManager:
    """``t`` in three partitions of 300 rows: one object, three parts, and three parts."""
    manager = LocalIOManager(root=str(tmp_path / "a b é"))
    for number, day in enumerate(("001", "a/b", "x y")):
        values = manager.values.having({"part_size": 1600}) if number else manager.values
        values.write(AssetAddress.of(["t"], day), rows(number * 300))
    return manager


def test_a_table_tells_what_an_engine_needs(lake: LocalIOManager) -> None:
    table = lake.table_for("t", ["001", "a/b", "x y"])
    assert table.format == "parquet"
    assert table.schema == pa.schema([*SCHEMA, pa.field("partition", pa.string())])
    assert table.rows == 900
    assert len(table.uris) == 7
    assert table.size == sum(Path(uri.removeprefix("file://")).stat().st_size for uri in table.uris)
    assert [ref.rows for ref in table.objects] == [300, *[100] * 6]
    assert table.partition == {}
    parts = table.by_partition()
    assert [part.partition["partition"] for part in parts] == ["001", "a/b", "x y"]
    assert [len(part.uris) for part in parts] == [1, 3, 3]
    # In the order of the rows, and of the partitions that were asked for.
    found = [pl.read_parquet(uri.removeprefix("file://")) for uri in table.uris]
    assert pl.concat(found)["n"].to_list() == list(range(900))
    assert lake.table_for("t", ["x y", "001"]).by_partition()[0].partition == {"partition": "x y"}
    again = pickle.loads(pickle.dumps(table))  # noqa: S301 - our own bytes
    assert again == table
    assert again.by_partition()[1].partition == {"partition": "a/b"}


def test_a_table_of_arrow_files(tmp_path: Path) -> None:
    manager = LocalIOManager(root=str(tmp_path), format="arrow")
    manager.values.write(AssetAddress.of(["t"]), rows(0), format_name="arrow")
    table = manager.table_for("t")
    assert (table.format, table.rows, table.schema, table.partition) == ("arrow", None, SCHEMA, {})


def test_nothing_of_the_objects_is_read_but_their_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    # As of an object of many megabytes, of which the end is kept for a scan.
    monkeypatch.setattr(object_schemas, "WHOLE_SIZE", 1000)
    store = ReadingStore()
    values = ValueStore(store, HiveLayout())
    values.write(AssetAddress.of(["t"]), rows(0, 500_000), format_name="parquet")
    store.gets.clear()
    table = values.read(AssetAddress.of(["t"]), TableRef, format_name="parquet")
    assert table.rows == 500_000
    assert store.gets == ["t/data.parquet"]
    assert store.opens == []
    assert table.size > 1_000_000
    # What was fetched to learn the columns does not travel on.
    assert table.objects[0].tail == b""


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ([("partition", "=", "a/b")], [1, 2, 3]),
        ([("partition", "in", ["001", "x y"])], [0, 4, 5, 6]),
        ([("n", "<", 400)], [0, 1]),
        ([("n", "<", 400), ("partition", "=", "a/b")], [1]),
        ([[("n", "=", 301)], [("partition", "=", "001")]], [0, 1]),
        (ds.field("n") > 850, [0, 6]),
        ((pl.col("n") > 850) & pl.col("partition").is_in(["x y"]), [6]),
        (pl.col("n").is_in([301, 302]), [0, 1]),
        ([("n", "<", 0), ("partition", "!=", "001")], None),
    ],
    ids=str,
)  # fmt: skip
def test_objects_without_such_rows_are_left_out(
    lake: LocalIOManager, filters: Any, left: list[int] | None
) -> None:
    # Of the first nothing is known but its partition: it is not in parts.
    table = lake.table_for("t", ["001", "a/b", "x y"])
    found = table.where(filters)
    if left is None:
        assert found is None
    else:
        assert found is not None
        assert found.uris == [table.uris[at] for at in left]


def test_filters_that_are_none(lake: LocalIOManager) -> None:
    table = lake.table_for("t", ["001"])
    with pytest.raises(ConfigurationError):
        table.where([("n", "~", 3)])
    with pytest.raises(DecodeError):
        table.where([("n", "=", "text")])
    with pytest.raises(DecodeError):
        table.where([("other", "=", 3)])


def test_a_dimension_that_is_a_column_of_the_data_is_added_to_none(tmp_path: Path) -> None:
    manager = LocalIOManager(root=str(tmp_path))
    for day in ("1", "2"):
        address = AssetAddress.of(["t"], {"n": day, "place": "x"})
        manager.values.write(address, rows(int(day)))
    days = [{"n": day, "place": "x"} for day in ("1", "2")]
    table = manager.table_for("t", days)
    assert table.schema == pa.schema([*SCHEMA, pa.field("place", pa.string())])
    assert [ref.partition for ref in table.objects] == [{"place": "x"}] * 2
    assert table.partition == {"place": "x"}
    # The column is the data's own, and its numbers are none of the keys.
    found = table.where([("n", ">", 250)])
    assert found is not None
    assert len(found.uris) == 2


def test_what_has_no_table(tmp_path: Path) -> None:
    manager = LocalIOManager(root=str(tmp_path))
    values = manager.values
    values.write(AssetAddress.of(["text"]), rows(0).select(["n"]), format_name="csv")
    values.write(AssetAddress.of(["number"]), 3)
    values.write(AssetAddress.of(["none"]), None, format_name="parquet")
    values.write(AssetAddress.of(["t"]), rows(0))
    with pytest.raises(UnsupportedTypeError, match="columns are known only when all of it is read"):
        manager.table_for("text")
    with pytest.raises(BucketsError, match="TableRef"):
        manager.table_for("number")
    with pytest.raises(UnsupportedTypeError, match="'none' holds None"):
        manager.table_for("none")
    with pytest.raises(FileNotFoundError):
        manager.table_for("nothing")
    with pytest.raises(PartitionError, match="no partitions"):
        manager.table_for("t", [])
    for option in ({"columns": ["n"]}, {"filters": [("n", "<", 3)]}):
        with pytest.raises(UnsupportedTypeError, match="whatever columns and filters say"):
            values.having(option).read(AssetAddress.of(["t"]), TableRef)


def test_references_are_handed_over_too(lake: LocalIOManager) -> None:
    refs = list(lake.table_for("t", ["a/b"]).objects)
    assert for_polars(refs).uris == [ref.uri.removeprefix("file://") for ref in refs]
    assert for_spark(refs[0]).uris == [refs[0].uri]
    with pytest.raises(ConfigurationError, match="nothing to hand over"):
        for_polars([])


def test_a_store_of_this_process_is_handed_to_nobody() -> None:
    manager = MemoryIOManager(name=secrets.token_hex(4))
    manager.values.write(AssetAddress.of(["t"]), rows(0))
    with pytest.raises(UnsupportedTypeError, match="can be read by this process only"):
        for_polars(manager.table_for("t"))


class Reachable(MemoryStore):
    """A memory store that says it can be read from elsewhere."""

    def __init__(self, name: str, access: Access) -> None:
        super().__init__(name)
        self._access = access

    def access(self) -> Access:
        return self._access

    def uri(self, key: str) -> str:
        scheme = "gs" if isinstance(self._access, GoogleAccess) else "s3"
        return f"{scheme}://lake/{key}"


def reachable(access: Access, key: str = "t/day=a%2Fb/data.parquet") -> ObjectRef:
    store = Reachable(secrets.token_hex(4), access)
    return ObjectRef(store.put(key, Body.of(b"x")), store)


def test_objects_of_different_settings_are_not_handed_over_together() -> None:
    with pytest.raises(ConfigurationError, match="different settings") as caught:
        for_polars([reachable(AMAZON), reachable(OTHER)])
    assert CANARY not in str(caught.value)
    assert len(for_polars([reachable(AMAZON), reachable(AMAZON)]).uris) == 2


def test_uris_are_spelled_for_each_engine() -> None:
    ref = reachable(OTHER)
    assert for_polars(ref).uris == for_fsspec(ref).uris == for_duckdb(ref).uris == [ref.uri]
    assert for_spark(ref).uris == ["s3a://lake/t/day=a%2Fb/data.parquet"]
    assert for_arrow(ref).uris == ["lake/t/day=a%2Fb/data.parquet"]


@pytest.mark.parametrize("mark", "*?[{\\")
def test_a_name_that_an_engine_takes_for_a_pattern_is_refused(mark: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / f"a{mark}b")
    ref = ObjectRef(store.put("data.parquet", Body.of(b"x")), store)
    with pytest.raises(ConfigurationError, match="for a pattern"):
        for_spark(ref)
    with pytest.raises(ConfigurationError, match="for a pattern"):
        for_daft(ref)
    if mark in "*?[":
        with pytest.raises(ConfigurationError, match="for a pattern"):
            for_duckdb(ref)
    assert for_polars(ref).uris == for_arrow(ref).uris == [f"{tmp_path}/a{mark}b/data.parquet"]


def test_words_for_object_store() -> None:
    assert object_store_options(FileAccess()) == {}
    assert object_store_options(AMAZON) == {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": CANARY,
        "aws_session_token": TOKEN,
        "aws_region": "eu-west-1",
        "aws_request_payer": "true",
    }
    assert object_store_options(OTHER) == {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": CANARY,
        "aws_region": "us-east-1",
        "aws_endpoint_url": "http://127.0.0.1:9000",
        "aws_allow_http": "true",
    }
    assert object_store_options(GoogleAccess("lake")) == {}
    assert object_store_options(GoogleAccess("lake", key=KEY)) == {
        "google_service_account_key": KEY
    }
    with pytest.raises(ConfigurationError, match="no option for access_token") as caught:
        object_store_options(GoogleAccess("lake", access_token=TOKEN))
    assert TOKEN not in str(caught.value)


def test_words_for_fsspec() -> None:
    assert fsspec_options(FileAccess()) == {}
    assert fsspec_options(AMAZON) == {
        "key": "AKIA",
        "secret": CANARY,
        "token": TOKEN,
        "client_kwargs": {"region_name": "eu-west-1", "verify": True},
        "requester_pays": True,
    }
    assert fsspec_options(OTHER)["endpoint_url"] == "http://127.0.0.1:9000"
    assert fsspec_options(GoogleAccess("lake")) == {}
    assert fsspec_options(GoogleAccess("lake", anonymous=True)) == {"token": "anon"}
    assert fsspec_options(GoogleAccess("lake", key=KEY))["token"] == json.loads(KEY)
    assert fsspec_options(
        GoogleAccess("lake", key_file="/k.json", user_project="p", project="q")
    ) == {
        "token": "/k.json",
        "requester_pays": "p",
        "project": "q",
    }


def test_words_for_duckdb() -> None:
    """DuckDB's parser takes them; what would run them is an extension, which is not here."""
    assert duckdb_secret(OTHER) == (
        "CREATE OR REPLACE SECRET \"dagster_buckets_lake\" (TYPE s3, KEY_ID 'AKIA', "
        "SECRET 'canary7f3a9SECRET''0123456789', REGION 'us-east-1', ENDPOINT '127.0.0.1:9000', "
        "URL_STYLE 'path', USE_SSL 'false', SCOPE 's3://lake');"
    )
    assert duckdb_secret(AMAZON).endswith(
        f"SESSION_TOKEN '{TOKEN}', REGION 'eu-west-1', SCOPE 's3://lake');"
    )
    for access in (OTHER, AMAZON):
        (statement,) = duckdb.extract_statements(duckdb_secret(access))
        assert statement.type == duckdb.StatementType.CREATE
    with duckdb.connect() as connection:
        connection.execute(duckdb_secret(FileAccess()))
    with pytest.raises(UnsupportedTypeError, match="no options for DuckDB's own client"):
        duckdb_secret(GoogleAccess("lake"))


def test_words_for_hadoop() -> None:
    """As Hadoop's documentation of s3a spells them: there is no s3a here to try them with."""
    base = "fs.s3a.bucket.lake."
    assert hadoop_properties(FileAccess()) == {}
    assert hadoop_properties(AMAZON) == {
        f"{base}aws.credentials.provider": "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
        f"{base}access.key": "AKIA",
        f"{base}secret.key": CANARY,
        f"{base}session.token": TOKEN,
        f"{base}endpoint.region": "eu-west-1",
        f"{base}requester.pays.enabled": "true",
    }
    assert hadoop_properties(OTHER) == {
        f"{base}aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        f"{base}access.key": "AKIA",
        f"{base}secret.key": CANARY,
        f"{base}endpoint": "http://127.0.0.1:9000",
        f"{base}endpoint.region": "us-east-1",
        f"{base}path.style.access": "true",
        f"{base}connection.ssl.enabled": "false",
    }
    with pytest.raises(UnsupportedTypeError, match="no options for Spark"):
        hadoop_properties(GoogleAccess("lake"))


def test_words_for_arrow() -> None:
    assert arrow_files(FileAccess()).type_name == "local"
    assert arrow_files(OTHER).type_name == "s3"
    assert arrow_files(GoogleAccess("lake", anonymous=True)).type_name == "gcs"
    with pytest.raises(ConfigurationError, match="no option for request_payer"):
        arrow_files(AMAZON)
    with pytest.raises(ConfigurationError, match="no option for key "):
        arrow_files(GoogleAccess("lake", key=KEY))


@pytest.mark.parametrize(
    "access",
    [OTHER, AMAZON, GoogleAccess("lake", key=KEY), GoogleAccess("lake", access_token=TOKEN)],
    ids=["static", "temporary", "key", "token"],
)
def test_no_secret_is_shown(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ref = reachable(access)
    table = TableRef("parquet", SCHEMA, (ref,))
    shown = [repr(access), repr(table), str(table)]
    for hand_over in (for_polars, for_fsspec, for_duckdb, for_arrow, for_spark):
        try:
            handed: Any = hand_over(table)
        except BucketsError as error:
            shown.append(repr(error) + str(error))
            continue
        for each in (handed, handed.options, [handed.options], {"options": handed.options}):
            shown += [repr(each), pformat(each)]
            logging.getLogger("test").info("%s %r", [each], each)
        again = pickle.loads(pickle.dumps(handed))  # noqa: S301 - our own bytes
        assert again.options == handed.options
        shown.append(repr(again.options))
    for text in (*shown, caplog.text):
        assert "canary" not in text
    assert "***" in caplog.text


def test_what_stores_of_s3_say() -> None:
    """No request is made: of Amazon's own endpoint nothing has to be told."""
    keys: Any = {"aws_access_key_id": "AKIA", "aws_secret_access_key": CANARY}
    store = S3Store("lake", region_name="eu-west-1", request_payer=True, **keys)
    assert store.access() == S3Access("lake", "eu-west-1", "AKIA", CANARY, request_payer=True)
    other = S3Store(
        "lake", region_name="x", endpoint_url="http://127.0.0.1:9/", aws_session_token=TOKEN, **keys
    )
    assert other.access() == S3Access("lake", "x", "AKIA", CANARY, TOKEN, "http://127.0.0.1:9")


def test_what_stores_of_google_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    file = tmp_path / "key.json"
    file.write_text(KEY)
    for token, told in (
        (None, {}),
        ("google_default", {}),
        ("anon", {"anonymous": True}),
        (KEY, {"key": KEY}),
        (json.loads(KEY), {"key": KEY}),
        (str(file), {"key_file": str(file)}),
        (TOKEN, {"access_token": TOKEN}),
    ):
        expected: Any = {"project": "p", "user_project": "q-project", **told}
        store = GCSStore("lake", token=token, project="p", user_project="q-project")
        assert store.access() == GoogleAccess("lake", **expected)
    for token in ("browser", object()):
        with pytest.raises(ConfigurationError, match="of use to this process only"):
            GCSStore("lake", token=token).access()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    found = GCSStore("lake").access()
    assert found == GoogleAccess("lake", endpoint_url="http://127.0.0.1:9", anonymous=True)


def test_a_hidden_secret_is_the_text_that_it_is() -> None:
    secret = object_store_options(OTHER)["aws_secret_access_key"]
    assert f"{secret}" == secret == CANARY
    assert json.loads(json.dumps({"x": secret})) == {"x": CANARY}
