from __future__ import annotations

import dataclasses

import pytest
from dagster_buckets.address import DEFAULT_DIMENSION, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.testing.strategies import asset_addresses
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
