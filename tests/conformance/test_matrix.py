"""Every format on every store that needs no server, for every kind of partition."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import ObjectNotFoundError
from dagster_buckets.layouts import Layout
from dagster_buckets.plugins import get_layout, get_store_class, names
from dagster_buckets.testing.formats import assert_same
from dagster_buckets.values import ValueStore

from tests.conformance.test_formats import SAMPLES
from tests.conformance.test_layouts import ALL_SPECS

ADDRESSES: dict[str, list[Address]] = {
    "unpartitioned": [AssetAddress.of(["shop", "orders"])],
    "one partition": [AssetAddress.of(["shop", "orders"], "2024-01-01-00:00")],
    "many partitions": [
        AssetAddress.of(["shop", "orders"], key)
        for key in ("", ".", "..", "a/b", "a", "é=%", "x" * 300, "x" * 300 + "y")
    ],
    "several dimensions": [
        AssetAddress.of(["shop", "orders"], {"region": region, "date": date})
        for region in ("eu", "us/west")
        for date in ("2024-01-01", "2024-01-02")
    ],
    "op outputs": [
        OpAddress("run", "step", "result"),
        OpAddress("run", "step[one]", "result", "two"),
    ],
}

#: Partition keys that a layout refuses, or that lie in one another in the folders that it makes.
OTHERS: dict[str, dict[str, list[Address]]] = {
    "legacy": {
        "many partitions": [
            AssetAddress.of(["shop", "orders"], key)
            for key in ("a/b", "b", "1.5", ".hidden", "é=%", "x y", "x" * 200, "x" * 199 + "y")
        ],
        "several dimensions": [
            AssetAddress.of(["shop", "orders"], {"region": region, "date": date})
            for region in ("eu", "us west")
            for date in ("2024-01-01", "2024-01-02")
        ],
    },
}

PLACES: dict[str, Callable[[Path], str]] = {
    "memory": lambda _: f"memory://{secrets.token_hex(8)}/prefix",
    "file": lambda folder: f"file://{folder}/root",
}


@pytest.fixture(params=sorted(PLACES))
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return PLACES[request.param](tmp_path)


@pytest.fixture(params=ALL_SPECS)
def layout(request: pytest.FixtureRequest) -> Layout:
    return get_layout(request.param)


@pytest.fixture
def values(uri: str, layout: Layout) -> ValueStore:
    store_class = get_store_class(uri.partition(":")[0])
    return ValueStore(
        store_class.from_uri(uri),  # type: ignore[attr-defined]
        layout,
        formats=Formats(allow_pickle=True),
    )


@pytest.mark.parametrize("kind", ADDRESSES)
@pytest.mark.parametrize("name", names("formats"))
def test_every_value_comes_back(values: ValueStore, name: str, kind: str) -> None:
    samples = SAMPLES[name].values
    addresses = OTHERS.get(values.layout.name, {}).get(kind, ADDRESSES[kind])
    written = {address: samples[number % len(samples)] for number, address in enumerate(addresses)}
    for address in addresses:
        with pytest.raises(ObjectNotFoundError):
            values.read(address)
    stored = {
        address: values.write(address, value, format_name=name)
        for address, value in written.items()
    }
    assert {s.format for s in stored.values()} == {name}
    assert len({s.info.uri for s in stored.values()}) == len(addresses)
    for address, value in written.items():
        assert_same(values.read(address, format_name=name), value)
        assert_same(values.read(address), value)
    found = values.locate(addresses)
    assert [place and place.address for place in found] == addresses
    assert [place and place.format.name for place in found] == [name] * len(addresses)
    assert {info.uri for info in values.store.scan()} == {s.info.uri for s in stored.values()}


@pytest.mark.parametrize("name", names("formats"))
def test_none_comes_back_in_every_format(values: ValueStore, name: str) -> None:
    address = AssetAddress.of(["nothing"], "x")
    values.write(address, None, format_name=name)
    assert values.read(address) is None
    assert values.read(address, format_name=name) is None


@pytest.mark.parametrize("name", names("formats"))
def test_every_sample_comes_back_as_its_class(values: ValueStore, name: str) -> None:
    address = AssetAddress.of(["samples"])
    for value in SAMPLES[name].values:
        values.write(address, value, format_name=name)
        as_type = None if value is None else type(value)
        assert_same(values.read(address, as_type, format_name=name), value)
