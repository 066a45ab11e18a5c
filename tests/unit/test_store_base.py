from __future__ import annotations

import pytest
from dagster_buckets.errors import InvalidKeyError
from dagster_buckets.stores.base import KEY_LIMIT, check_key, check_prefix
from dagster_buckets.testing.stores import GOOD_KEYS, HOSTILE_KEYS
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_hostile_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidKeyError, match="cannot be an object key") as caught:
        check_key(key)
    assert caught.value.hint


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_good_keys_are_taken(key: str) -> None:
    assert check_key(key) == key
    assert check_key(key, prefix="p/q") == f"p/q/{key}"


@pytest.mark.parametrize(("key", "prefix"), [("x" * 1024, ""), ("é" * 512, ""), ("x" * 1022, "p")])
def test_the_limit_counts_bytes_and_the_prefix(key: str, prefix: str) -> None:
    assert len(check_key(key, prefix=prefix).encode()) == KEY_LIMIT
    with pytest.raises(InvalidKeyError, match="more than 1024 bytes with its prefix"):
        check_key(key + "x", prefix=prefix)


@given(st.text(st.characters()))
def test_a_key_never_leaves_its_prefix(key: str) -> None:
    try:
        full = check_key(key, prefix="p")
    except InvalidKeyError:
        return
    assert full == f"p/{key}"
    assert not {"", ".", ".."} & set(full.split("/"))
    full.encode()


@pytest.mark.parametrize("given_prefix", [None, ""])
def test_no_prefix(given_prefix: str | None) -> None:
    assert check_prefix(given_prefix) == ""


def test_prefix_loses_its_slash() -> None:
    assert check_prefix("a/b/") == check_prefix("a/b") == "a/b"


@pytest.mark.parametrize(
    "prefix", ["/a", "a//b", "a//", "..", "a/../b", ".", "./a", "a\n", "\ud800"]
)
def test_bad_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(InvalidKeyError, match="cannot be a prefix") as caught:
        check_prefix(prefix)
    assert caught.value.hint
