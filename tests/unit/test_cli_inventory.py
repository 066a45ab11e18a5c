"""Which value each object of a bucket holds."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from dagster_buckets import (
    AssetAddress,
    Body,
    ConfigurationError,
    Header,
    HiveLayout,
    LegacyLayout,
    MemoryStore,
    OpAddress,
    ValueStore,
)
from dagster_buckets.address import address_of_label, label_of
from dagster_buckets.cli.inventory import Entry, inventory, name_of, partition_of
from dagster_buckets.cli.listing import rows_of, usage_of
from dagster_buckets.cli.source import KnownAsset, Source
from dagster_buckets.testing.strategies import addresses
from hypothesis import given

OP = OpAddress("7f3a", "double[two]", "result", "two")


def source_of(layout: Any, assets: Mapping[Any, KnownAsset] | None = None) -> Source:
    return Source(ValueStore(MemoryStore(secrets.token_hex(8), "p"), layout), assets)


def known(path: tuple[str, ...], *keys: str, layout: str | None = None) -> KnownAsset:
    return KnownAsset(
        path, layout, lambda key: AssetAddress.of(path, key), lambda: list(keys) if keys else None
    )


def told(entries: list[Entry]) -> set[tuple[str | None, str | None, str | None]]:
    return {(name_of(e.address), partition_of(e.address), e.format) for e in entries}


@given(addresses())
def test_labels_can_be_read_back(address: Any) -> None:
    label = label_of(address)
    assert address_of_label(label) == (None if label.startswith("sha256:") else address)


@pytest.mark.parametrize(
    "label",
    [
        "", "x", "[]", "{}", '{"asset":"ab"}', '{"asset":[]}', '{"asset":[1]}', "null",
        '{"asset":["a"],"partition":{"day":1}}', '{"asset":["a"],"more":1}',
        '{"run":"r","step":"s"}', '{"asset": ["a"]}', '{"asset":["a"],"partition":[["d","k"]]}',
    ],
)  # fmt: skip
def test_labels_that_nobody_makes_are_none(label: str) -> None:
    assert address_of_label(label) is None


def test_every_object_has_its_value() -> None:
    source = source_of(HiveLayout())
    values = source.values
    values.write(AssetAddress.of(["sales", "orders"], {"c": "fr", "day": "1/2"}), [1])
    values.write(AssetAddress.of(["total"]), "x")
    values.write(OP, {"n": 1})
    values.store.put("README.md", Body.of(b"hello"))
    assert told(inventory(source)) == {
        ("sales/orders", "fr|1/2", "json"),
        ("total", None, "text"),
        ("7f3a/double[two]/result/two", None, "json"),
        (None, None, None),
    }


def test_names_that_became_a_hash_are_known_from_the_header() -> None:
    source = source_of(HiveLayout())
    long = AssetAddress.of(["orders"], "k" * 300)
    source.values.write(long, [1])
    assert [entry.address for entry in inventory(source)] == [long]


def test_without_a_header_the_definitions_know_such_names() -> None:
    source = source_of(HiveLayout(), {("orders",): known(("orders",), "k" * 300)})
    address = AssetAddress.of(["orders"], "k" * 300)
    source.values.store.put(HiveLayout().key(address, "json"), Body.of(b"1"))
    assert [entry.address for entry in inventory(source)] == [address]


def test_keys_that_tell_nothing_are_known_from_the_header() -> None:
    source = source_of(LegacyLayout("s3"))
    address = AssetAddress.of(["a", "b"], "c")
    source.values.write(address, [1], format_name="pickle")
    source.values.store.put("a/x", Body.of(b"of a stock manager"))
    assert [e.address for e in inventory(source)] == [address, None]
    assert inventory(source)[0].format == "pickle"


def test_a_copy_under_another_key_is_not_the_value() -> None:
    source = source_of(LegacyLayout("s3"))
    header = Header(format="json", address=label_of(AssetAddress.of(["a"])))
    source.values.store.put("b.json", Body.of(b"1"), header=header)
    assert [e.address for e in inventory(source)] == [None]


def test_what_stock_managers_wrote_is_known_from_the_definitions() -> None:
    source = source_of(LegacyLayout("s3"), {("a",): known(("a",), "x", "y")})
    source.values.store.put("a/x", Body.of(b"of a stock manager"))
    assert [e.address for e in inventory(source)] == [AssetAddress.of(["a"], "x")]


def test_an_asset_with_a_layout_of_its_own() -> None:
    template = "template:shop/{asset}/{partition}.{ext}"
    asset = known(("orders",), "d1", layout=template)
    source = source_of(HiveLayout(), {("orders",): asset})
    address = AssetAddress.of(["orders"], "d1")
    key = source.of(("orders",)).layout.key(address, "json")
    source.values.store.put(key, Body.of(b"1"))
    assert [e.address for e in inventory(source)] == [address]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("a/b", {"x", "y@z", None}),
        ("a/b@x", {"x"}),
        ("a/b@y@z", {"y@z"}),
        ("a/b@partition=x", {"x"}),
        ("a@b", {"k"}),
        ("m@fr|1", {"fr|1"}),
        ("m@c=fr,d=1", {"fr|1"}),
    ],
)
def test_targets(target: str, wanted: set[str | None]) -> None:
    source = source_of(HiveLayout())
    for path, key in (
        (["a", "b"], "x"), (["a", "b"], "y@z"), (["a", "b"], None), (["a", "b", "c"], None),
        (["a@b"], "k"), (["m"], {"c": "fr", "d": "1"}), (["m"], {"c": "de", "d": "1"}),
    ):  # fmt: skip
        source.values.write(AssetAddress.of(path, key), [1])
    assert {partition_of(e.address) for e in inventory(source, [target])} == wanted


@pytest.mark.parametrize("target", ["a", "a/b@q", "", "/", "a//b", "@x", "b"])
def test_a_target_that_is_not_there_is_an_error(target: str) -> None:
    source = source_of(HiveLayout())
    source.values.write(AssetAddress.of(["a", "b"], "x"), [1])
    with pytest.raises(ConfigurationError, match="nothing is stored for"):
        inventory(source, [target])


def test_states() -> None:
    assets = {("o",): known(("o",), "1", "2", "3", "4"), ("t",): known(("t",))}
    source = source_of(HiveLayout(), assets)
    for path, key in ((["o"], "1"), (["o"], "2"), (["gone"], None)):
        source.values.write(AssetAddress.of(path, key), [1])
    past = {("o",): {"1", "3", None}, ("t",): {None}}
    entries = inventory(source)

    def states(**options: Any) -> list[tuple[str | None, str | None, str | None]]:
        rows = rows_of(source, entries, history=past.__getitem__, **options)  # type: ignore[arg-type]
        return [(row.name, row.partition, row.state) for row in rows]

    there = [("gone", None, "undefined"), ("o", "1", "stored"), ("o", "2", "unmaterialized")]
    assert states() == [*there, ("o", "3", "missing"), ("t", None, "missing")]
    assert ("o", "4", "absent") in states(absent=True)
    assert states(targets=["o@3"]) == [("o", "3", "missing")]
    with pytest.raises(ConfigurationError, match="neither stored nor materialized"):
        states(targets=["o@4"])
    assert [row.state for row in rows_of(source, entries)] == ["undefined", "stored", "stored"]


def test_keys_that_tell_their_value_cost_no_request_more(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(HiveLayout())
    source.values.write(AssetAddress.of(["a"], "1"), [1])
    monkeypatch.delattr(MemoryStore, "head")
    assert [entry.address for entry in inventory(source)] == [AssetAddress.of(["a"], "1")]


def test_usage_is_by_asset_the_largest_first() -> None:
    source = source_of(HiveLayout())
    source.values.write(AssetAddress.of(["a"], "1"), b"12", format_name="bytes")
    source.values.write(AssetAddress.of(["a"], "2"), b"3", format_name="bytes")
    source.values.write(AssetAddress.of(["b"]), b"12345", format_name="bytes")
    source.values.write(OP, b"1", format_name="bytes")
    source.values.store.put("x/y", Body.of(b"12"))
    found = [(u.kind, u.name, u.objects, u.size) for u in usage_of(inventory(source))]
    assert found == [
        ("asset", "b", 1, 5), ("asset", "a", 2, 3), ("other", None, 1, 2), ("op", None, 1, 1),
    ]  # fmt: skip
