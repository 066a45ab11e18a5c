from __future__ import annotations

import dataclasses
import json
import re

import pytest
from dagster_buckets.address import (
    DEFAULT_DIMENSION,
    Address,
    AssetAddress,
    OpAddress,
    label_of,
)
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.testing.strategies import addresses, asset_addresses
from hypothesis import given
from hypothesis import strategies as st


def test_of() -> None:
    assert AssetAddress.of(["a", "b"]) == AssetAddress(("a", "b"))
    assert AssetAddress.of(["a"], "x") == AssetAddress(("a",), ((DEFAULT_DIMENSION, "x"),))
    assert AssetAddress.of(["a"], {}) == AssetAddress(("a",))


def test_the_empty_partition_is_a_partition() -> None:
    assert AssetAddress.of(["a"], "") != AssetAddress.of(["a"])


@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_order_of_dimensions_does_not_matter(partition: dict[str, str]) -> None:
    turned = dict(reversed(partition.items()))
    one, other = AssetAddress.of(["a"], partition), AssetAddress.of(["a"], turned)
    assert one == other
    assert hash(one) == hash(other)
    assert dict(one.partition) == partition


@pytest.mark.parametrize(
    "partition", [(("b", "1"), ("a", "2")), (("a", "1"), ("a", "2"))], ids=["order", "twice"]
)
def test_dimensions_must_be_sorted_and_unique(partition: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ConfigurationError, match="unique and in alphabetical order") as caught:
        AssetAddress(("a",), partition)
    assert caught.value.hint


def test_a_path_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="at least one key part"):
        AssetAddress.of([])


@given(asset_addresses())
def test_addresses_are_values(address: AssetAddress) -> None:
    assert address == AssetAddress(address.path, address.partition)
    with pytest.raises(dataclasses.FrozenInstanceError):
        address.path = ("x",)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (AssetAddress.of(["a", "b"]), "asset 'a/b'"),
        (AssetAddress.of(["a"], "x y"), "asset 'a', partition 'x y'"),
        (AssetAddress.of(["a"], ""), "asset 'a', partition ''"),
        (AssetAddress.of(["a"], {"z": "1", "b": "2"}), "asset 'a', partition (b='2', z='1')"),
        (OpAddress("r", "s[m]", "o"), "output 'o' of step 's[m]', run r"),
        (OpAddress("r", "s", "o", "m"), "output 'o'[m] of step 's', run r"),
    ],
    ids=str,
)
def test_str_is_for_people(address: AssetAddress | OpAddress, text: str) -> None:
    assert str(address) == text


def test_an_empty_mapping_key_is_a_mapping_key() -> None:
    assert OpAddress("r", "s", "o", "") != OpAddress("r", "s", "o")


def test_labels_say_what_the_address_is() -> None:
    assert label_of(AssetAddress.of(["a", "b"])) == '{"asset":["a","b"]}'
    assert label_of(AssetAddress.of(["a"], "x y")) == (
        r'{"asset":["a"],"partition":{"partition":"x\u0020y"}}'
    )
    assert label_of(OpAddress("r", "s", "o")) == '{"run":"r","step":"s","output":"o"}'
    assert json.loads(label_of(OpAddress("r", "s", "o", "")))["mapping_key"] == ""


def test_labels_are_digests_where_they_are_long() -> None:
    longest = AssetAddress.of(["x" * (1000 - len('{"asset":[""]}'))])
    assert json.loads(label_of(longest)) == {"asset": list(longest.path)}
    assert re.fullmatch("sha256:[0-9a-f]{64}", label_of(AssetAddress.of([longest.path[0] + "x"])))


@given(addresses(), addresses())
def test_labels_differ_where_addresses_differ(one: Address, other: Address) -> None:
    label = label_of(one)
    assert (label == label_of(other)) == (one == other)
    # What a header can carry, through every server and every signature.
    assert re.fullmatch("[!-~]{1,1000}", label)
