from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError, InvalidKeyError
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.testing.strategies import addresses, hostile_text
from hypothesis import given

HIVE = HiveLayout()
asset = AssetAddress.of


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (asset(["a"]), "a/data.x"),
        (asset(["a", "b"]), "a/b/data.x"),
        (asset(["a.b"]), "a%2Eb/data.x"),
        (asset(["a/b"]), "a%2Fb/data.x"),
        (asset([".."]), "%2E%2E/data.x"),
        (asset([""]), "%/data.x"),
        (asset(["%"]), "%25/data.x"),
        (asset(["~"]), "%7E/data.x"),
        (asset([".runs"]), "%2Eruns/data.x"),
        (asset(["data.x"]), "data%2Ex/data.x"),
        (asset(["é"]), "%C3%A9/data.x"),
        (asset(["partition=x"]), "partition%3Dx/data.x"),
        (asset(["A_b-9"]), "A_b-9/data.x"),
        (asset(["a"], "2024-01-01"), "a/partition=2024-01-01/data.x"),
        (asset(["a"], "2024-01-01-00:00"), "a/partition=2024-01-01-00%3A00/data.x"),
        (asset(["a"], "1.5"), "a/partition=1.5/data.x"),
        (asset(["a"], ""), "a/partition=/data.x"),
        (asset(["a"], ".."), "a/partition=../data.x"),
        (asset(["a"], "a/b"), "a/partition=a%2Fb/data.x"),
        (asset(["a"], "é=%"), "a/partition=%C3%A9%3D%25/data.x"),
        (asset(["a"], "x y"), "a/partition=x%20y/data.x"),
        (asset(["a"], {"z": "1", "b": "2"}), "a/b=2/z=1/data.x"),
        (asset(["a"], {"": "1"}), "a/%=1/data.x"),
        (asset(["a"], {"x=y": "1"}), "a/x%3Dy=1/data.x"),
        (asset(["a"], {"x.y": "1"}), "a/x%2Ey=1/data.x"),
        (OpAddress("run", "step", "result"), ".runs/run/step/result/data.x"),
        (OpAddress("run", "step[a]", "result"), ".runs/run/step%5Ba%5D/result/data.x"),
        (OpAddress("run", "step", "result", "two"), ".runs/run/step/result/two/data.x"),
        (OpAddress("run", "a.b", "result", ""), ".runs/run/a%2Eb/result/%/data.x"),
    ],
    ids=str,
)
def test_keys(address: Address, key: str) -> None:
    assert HIVE.key(address, "x") == key
    assert HIVE.parse(key) == (address, "x")


def test_prefix() -> None:
    assert HIVE.prefix(("a", "b.c", "")) == "a/b%2Ec/%/"


@pytest.mark.parametrize(
    "key",
    [
        "", "a", "data.x", "a/data.", "a/data", "a/other.x", "/data.x", "a//data.x", "a/data.x/",
        "a/%2e/data.x", "a/%61/data.x", "a b/data.x", "a.b/data.x", "../a/data.x", "=x/data.x",
        "a/b=1/c/data.x", "a/z=1/b=2/data.x", "a/b=1/b=2/data.x", "a/b=%/data.x", "a/%FF/data.x",
        ".runs/r/data.x", ".runs/r/s/data.x", ".runs/r/s/o/m/n/data.x", ".runs/r/s/o=1/data.x",
        "a/partition=__HIVE_DEFAULT_PARTITION__/data.x", "a/b~0123/data.x", "a/data.x y",
        "é/data.x", "a/data..x", "\ud800/data.x",
    ],
)  # fmt: skip
def test_foreign_keys(key: str) -> None:
    assert HIVE.parse(key) is None


@pytest.mark.parametrize("extension", ["", ".x", "x.", "a/b", "a=b", "x y", "../x", "é", "a..b"])
def test_extensions_are_checked(extension: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an extension"):
        HIVE.key(asset(["a"]), extension)


def test_only_lone_surrogates_are_refused() -> None:
    for address in (asset(["\ud800"]), asset(["a"], "\udcff"), OpAddress("r", "s", "\ud800")):
        with pytest.raises(InvalidKeyError, match="lone surrogate") as caught:
            HIVE.key(address, "x")
        assert caught.value.hint


@given(addresses())
def test_everything_else_is_accepted_in_short_components(address: Address) -> None:
    key = HIVE.key(address, "x")
    assert key.isascii()
    assert all(len(component) <= 200 for component in key.split("/"))
    for component in key.split("/"):
        assert re.fullmatch(r"([A-Za-z0-9_.=~-]|%[0-9A-F]{2})*|%(=.*)?", component), component


@pytest.mark.parametrize("character", ["x", "é", "~"])
def test_components_are_hashed_above_200_bytes_once_encoded(character: str) -> None:
    width = len(HIVE.stem(asset([character]))) - len("/data.")
    fits, too_long = character * (200 // width), character * (200 // width + 1)
    assert "~" not in HIVE.key(asset([fits]), "x")
    assert HIVE.parse(HIVE.key(asset([fits]), "x")) == (asset([fits]), "x")
    key = HIVE.key(asset([too_long]), "x")
    assert re.fullmatch(r"[^~]+~[0-9a-f]{32}/data\.x", key)
    assert HIVE.parse(key) is None


def test_partition_folders_are_hashed_above_200_bytes() -> None:
    room = 200 - len("partition=")
    assert "~" not in HIVE.key(asset(["a"], "x" * room), "x")
    key = HIVE.key(asset(["a"], "x" * (room + 1)), "x")
    assert re.fullmatch(r"a/partition=x+~[0-9a-f]{32}/data\.x", key)
    assert len(key.split("/")[1]) == 200


def test_the_null_of_hive_is_hashed() -> None:
    key = HIVE.key(asset(["a"], "__HIVE_DEFAULT_PARTITION__"), "x")
    assert key.startswith("a/partition=__HIVE_DEFAULT_PARTITION__~")
    # A part of an asset key is no partition, so nothing reads it as NULL.
    assert "~" not in HIVE.key(asset(["__HIVE_DEFAULT_PARTITION__"]), "x")


def test_hashes_never_change() -> None:
    assert HIVE.key(asset(["x" * 201]), "x") == (
        "x" * 167 + "~" + "84a0678c90937f5dcf9994d5866668da" + "/data.x"
    )


@pytest.mark.parametrize("offset", range(6))
def test_the_cut_is_not_inside_an_escape(offset: int) -> None:
    for address in (asset(["x" * offset + "é" * 100]), asset(["a"], "x" * offset + "é" * 100)):
        component = HIVE.key(address, "x").split("/")[-2]
        head = component.partition("~")[0]
        assert len(component) > 195
        assert not re.search(r"%[0-9A-F]?$", head)
        assert re.fullmatch(r"(partition=)?x*(%[0-9A-F]{2})+", head)


def test_long_dimension_names_keep_the_equals_sign() -> None:
    for value in ("v", "v" * 300):
        component = HIVE.key(asset(["a"], {"d" * 300: value}), "x").split("/")[1]
        assert component.count("=") == 1
        assert len(component) <= 200
        assert component.partition("=")[2].startswith("v")
    one = HIVE.key(asset(["a"], {"d" * 300: "v"}), "x")
    assert one != HIVE.key(asset(["a"], {"d" * 301: "v"}), "x")


def test_long_values_that_differ_at_the_end() -> None:
    one, other = asset(["a"], "x" * 1000), asset(["a"], "x" * 999 + "y")
    assert HIVE.key(one, "x") != HIVE.key(other, "x")


@given(hostile_text())
def test_readers_of_hive_tables_decode_the_value(value: str) -> None:
    component = HIVE.key(asset(["a"], value), "x").split("/")[1]
    if "~" not in component:
        assert unquote(component.partition("=")[2]) == value
