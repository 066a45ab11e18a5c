from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import (
    ConfigurationError,
    DecodeError,
    EncodeError,
    ObjectNotFoundError,
    UnsupportedTypeError,
)
from dagster_buckets.fetching import NONE
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.objects import Body
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.values import ValueStore

A = AssetAddress.of(["shop", "orders"])
MARK = NONE


class Recorder(MemoryStore):
    """A memory store that notes its requests and can set the time of an object."""

    def __init__(self) -> None:
        super().__init__(secrets.token_hex(4))
        self.requests: list[str] = []

    def put(self, key: str, body: Body, **options: Any) -> Any:
        self.requests.append(f"put {key}")
        return super().put(key, body, **options)

    def get(self, key: str) -> Any:
        self.requests.append(f"get {key}")
        return super().get(key)

    def peek(self, key: str, size: int) -> Any:
        self.requests.append(f"peek {key}")
        return super().peek(key, size)

    def scan(self, prefix: str = "") -> Any:
        self.requests.append(f"scan {prefix}")
        return super().scan(prefix)

    def age(self, key: str, moment: datetime) -> None:
        data, info = self._space.objects[key]
        self._space.objects[key] = (data, replace(info, modified=moment))


@pytest.fixture
def store() -> Recorder:
    return Recorder()


@pytest.fixture
def values(store: Recorder) -> ValueStore:
    return ValueStore(store, HiveLayout())


@pytest.mark.parametrize(
    ("value", "annotation", "name"),
    [
        ({"a": 1}, None, "json"),
        ("x", None, "text"),
        (b"x", None, "bytes"),
        (pd.DataFrame({"a": [1]}), None, "parquet"),
        (1, int | None, "json"),
        ("x", str | None, "text"),
        ("x", Any, "text"),
        ("x", int | str, "text"),
        (None, pl.DataFrame, "parquet"),
        (None, str | None, "text"),
        (None, None, "json"),
        ({"a": 1}, dict[str, int], "json"),
        (1, object, "json"),
    ],
    ids=str,
)
def test_auto_takes_the_annotation_and_then_the_value(
    values: ValueStore, value: Any, annotation: Any, name: str
) -> None:
    assert values.write(A, value, annotation=annotation).format == name


def test_a_write_is_one_request_and_so_is_a_load_that_is_told(
    values: ValueStore, store: Recorder
) -> None:
    values.write(A, {"a": 1})
    assert store.requests == ["put shop/orders/data.json"]
    store.requests.clear()
    values.read(A, format_name="json")
    values.read(A, annotation=dict[str, int])
    assert store.requests == ["get shop/orders/data.json"] * 2


def test_a_load_that_is_not_told_is_one_listing_more(values: ValueStore, store: Recorder) -> None:
    values.write(A, {"a": 1})
    store.requests.clear()
    assert values.read(A) == {"a": 1}
    assert store.requests == ["scan shop/orders/data.", "get shop/orders/data.json"]


def test_many_partitions_are_one_listing(values: ValueStore, store: Recorder) -> None:
    addresses = [AssetAddress.of(["a"], str(n)) for n in range(20)]
    for address in addresses:
        values.write(address, "x")
    values.write(AssetAddress.of(["a", "nested"], "1"), 1)
    store.requests.clear()
    located = values.locate([*addresses, AssetAddress.of(["a"], "absent")])
    # The second listing is for the absent one.
    assert store.requests == ["scan a/partition="] * 2
    assert [place and place.format.name for place in located] == ["text"] * 20 + [None]
    store.requests.clear()
    assert all(values.locate(addresses))
    assert store.requests == ["scan a/partition="]


def test_a_listing_that_lacks_something_is_repeated(
    values: ValueStore, store: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    values.write(A, 1)
    scan, times = store.scan, []

    def late(prefix: str = "") -> Any:
        times.append(prefix)
        return scan(prefix) if len(times) > 1 else iter(())

    monkeypatch.setattr(store, "scan", late)
    assert values.read(A) == 1
    assert len(times) == 2


def test_a_known_format_can_be_listed(values: ValueStore, store: Recorder) -> None:
    there, absent = AssetAddress.of(["a"], "1"), AssetAddress.of(["a"], "2")
    values.write(there, "x")
    values.write(absent, {"other": "format"})
    found = values.locate([there, absent], format_name="text", listed=True)
    assert [place and place.key for place in found] == ["a/partition=1/data.txt", None]


def test_addresses_of_several_assets_and_ops(values: ValueStore, store: Recorder) -> None:
    addresses: list[Address] = [
        AssetAddress.of(["a"], "1"),
        AssetAddress.of(["a", "b"]),
        AssetAddress.of(["c"]),
        OpAddress("r", "s", "o"),
        OpAddress("r", "s", "p"),
    ]
    for address in addresses:
        values.write(address, "x")
    store.requests.clear()
    located = values.locate(addresses)
    assert [place and place.address for place in located] == addresses
    assert sorted(store.requests) == [
        "scan .runs/r/s/o/data.", "scan .runs/r/s/p/data.", "scan a/b/data.",
        "scan a/partition=1/data.", "scan c/data.",
    ]  # fmt: skip
    assert values.locate([]) == []


def test_the_newest_wins(values: ValueStore, store: Recorder) -> None:
    values.write(A, "old")
    values.write(A, {"new": 1})
    now = datetime.now(UTC)
    store.age("shop/orders/data.txt", now - timedelta(seconds=1))
    store.age("shop/orders/data.json", now)
    assert values.read(A) == {"new": 1}
    store.age("shop/orders/data.txt", now + timedelta(seconds=1))
    assert values.read(A) == "old"


def test_two_that_are_equally_new_are_an_error_that_names_both(
    values: ValueStore, store: Recorder
) -> None:
    values.write(A, "one")
    values.write(A, {"two": 1})
    now = datetime.now(UTC)
    for key in ("shop/orders/data.txt", "shop/orders/data.json"):
        store.age(key, now)
    with pytest.raises(ConfigurationError) as caught:
        values.read(A)
    for key in ("shop/orders/data.txt", "shop/orders/data.json"):
        assert store.uri(key) in str(caught.value)
    assert "dagster_buckets/format" in str(caught.value)
    assert str(A) in str(caught.value)
    assert values.read(A, format_name="text") == "one"


def test_an_unknown_extension_is_not_passed_over(values: ValueStore, store: Recorder) -> None:
    values.write(A, "old")
    store.put("shop/orders/data.zarr", Body.of(b"x"))
    store.age("shop/orders/data.txt", datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match="no installed format") as caught:
        values.read(A)
    assert store.uri("shop/orders/data.zarr") in str(caught.value)
    assert "parquet" in str(caught.value)


def test_other_objects_of_the_folder_are_not_values(values: ValueStore, store: Recorder) -> None:
    values.write(A, "x")
    for key in ("shop/orders/data", "shop/orders/other.json", "shop/orders/data.d/x.json"):
        store.put(key, Body.of(b"1"))
    assert values.read(A) == "x"


@pytest.mark.parametrize("name", ["parquet", "arrow", "text", "bytes"])
def test_none_is_a_mark_where_the_format_has_none(
    values: ValueStore, store: Recorder, name: str
) -> None:
    stored = values.write(A, None, format_name=name)
    assert bytes(store.get(stored.info.key).data) == MARK
    assert stored.description.rows is None
    assert stored.compression is None
    assert values.read(A) is None
    assert values.read(A, pd.DataFrame, format_name=name) is None


@pytest.mark.parametrize("name", ["json", "pickle"])
def test_none_is_a_value_where_the_format_has_one(
    values: ValueStore, store: Recorder, name: str
) -> None:
    stored = values.write(A, None, format_name=name)
    assert bytes(store.get(stored.info.key).data) != MARK
    assert values.read(A, format_name=name) is None


@pytest.mark.parametrize("value", [MARK, bytearray(MARK), MARK.decode()], ids=["b", "ba", "s"])
def test_bytes_like_the_mark_are_refused(values: ValueStore, store: Recorder, value: Any) -> None:
    values.write(A, value[:-1])
    before = store.requests.copy()
    with pytest.raises(EncodeError, match="come back as None") as caught:
        values.write(A, value)
    assert store.requests == before
    assert str(A) in str(caught.value)
    assert values.read(A) == value[:-1]


def test_a_value_that_nothing_claims(values: ValueStore, store: Recorder) -> None:
    with pytest.raises(UnsupportedTypeError, match=r"builtins\.set") as caught:
        values.write(A, {1})
    assert str(A) in str(caught.value)
    assert store.requests == []


def test_a_refused_value_is_not_written(values: ValueStore, store: Recorder) -> None:
    values.write(A, {"a": 1})
    with pytest.raises(EncodeError) as caught:
        values.write(A, {"a": object()})
    assert caught.value.uri == store.uri("shop/orders/data.json")
    assert caught.value.subject == str(A)
    assert values.read(A) == {"a": 1}


def test_nothing_stored(values: ValueStore, store: Recorder) -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        values.read(A)
    assert f"nothing is stored for {A}" in str(caught.value)
    assert store.uri("shop/orders/data.x")[:-1] + "*" in str(caught.value)
    with pytest.raises(ObjectNotFoundError) as caught:
        values.read(A, format_name="parquet")
    assert store.uri("shop/orders/data.parquet") in str(caught.value)
    assert caught.value.hint


def test_nothing_stored_in_this_format_names_the_sibling(
    values: ValueStore, store: Recorder
) -> None:
    values.write(A, {"a": 1})
    with pytest.raises(ObjectNotFoundError) as caught:
        values.read(A, format_name="parquet")
    assert "in format 'parquet'" in str(caught.value)
    assert f"there is {store.uri('shop/orders/data.json')}" in str(caught.value)


def test_damage_names_asset_and_uri(values: ValueStore, store: Recorder) -> None:
    store.put("shop/orders/data.parquet", Body.of(b"no table"))
    with pytest.raises(DecodeError) as caught:
        values.read(A)
    assert caught.value.subject == str(A)
    assert caught.value.uri == store.uri("shop/orders/data.parquet")


def test_description(values: ValueStore) -> None:
    description = values.write(A, pa.table({"n": [1, 2]})).description
    assert description.rows == 2
    assert [(c.name, c.type) for c in description.columns or ()] == [("n", "int64")]
    assert values.write(A, {"a": 1}).description.rows is None


def test_header_says_the_format(values: ValueStore, store: Recorder) -> None:
    stored = values.write(A, pa.table({"n": [1]}), format_name="arrow")
    header = store.head(stored.info.key).header
    assert header is not None
    assert header.format == stored.format == "arrow"
    assert header.digest
