"""What every layout must do: subclass :class:`LayoutConformance` and give it a layout."""

from __future__ import annotations

import contextlib
import functools
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st

from dagster_buckets.address import Address, AssetAddress, OpAddress, label_of
from dagster_buckets.errors import ConfigurationError, InvalidKeyError
from dagster_buckets.layouts.base import Layout
from dagster_buckets.stores.base import KEY_LIMIT, check_key
from dagster_buckets.testing.strategies import (
    addresses,
    asset_addresses,
    extensions,
    hostile_text,
)

__all__ = ["LayoutConformance"]


class _RefusedError(Exception):
    """The layout refused an address, which it may."""


def _property(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A test over what is drawn, except for addresses that the layout refuses."""
    configured = settings(
        max_examples=100,
        deadline=None,
        print_blob=True,
        # The fixture has no state, so that all examples may share it.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )

    def decorate(test: Callable[..., None]) -> Any:
        @functools.wraps(test)
        def where_accepted(*args: Any, **kwargs: Any) -> None:
            # Not by assume(), for which Hypothesis draws ten times as often.
            with contextlib.suppress(_RefusedError):
                test(*args, **kwargs)

        return configured(given(*strategies)(where_accepted))

    return decorate


#: Pairs that share a key, or lie in one another, in some scheme that is in use.
_CONFUSABLE: tuple[tuple[Address, Address], ...] = (
    (AssetAddress.of(["a", "b"]), AssetAddress.of(["a"], "b")),
    (AssetAddress.of(["a", "b"]), AssetAddress.of(["a/b"])),
    (AssetAddress.of(["a"], "x/y"), AssetAddress.of(["a"], "x")),
    (AssetAddress.of(["a"], "x//y"), AssetAddress.of(["a"], "x/./y")),
    (AssetAddress.of(["a"], "x/y"), AssetAddress.of(["a"], "x/y/")),
    (AssetAddress.of(["a"], "/etc"), AssetAddress.of(["a"], "%2Fetc")),
    (AssetAddress.of(["a"], ""), AssetAddress.of(["a"])),
    (AssetAddress.of(["a"], "."), AssetAddress.of(["a"])),
    (AssetAddress.of(["a"], ".."), AssetAddress.of([""])),
    (AssetAddress.of(["a"], "%"), AssetAddress.of(["a"], "")),
    (AssetAddress.of(["a"], {"d": "x", "e": "y"}), AssetAddress.of(["a"], {"d": "x/e=y"})),
    (
        AssetAddress.of(["a"], {"d": "b", "e": "c/d"}),
        AssetAddress.of(["a"], {"d": "b/c", "e": "d"}),
    ),
    (AssetAddress.of(["a"], {"d=x": "y"}), AssetAddress.of(["a"], {"d": "x=y"})),
    (AssetAddress.of(["a", "partition=x"]), AssetAddress.of(["a"], "x")),
    (AssetAddress.of(["a", "data.parquet"]), AssetAddress.of(["a"])),
    (AssetAddress.of(["a"], "data.parquet"), AssetAddress.of(["a"])),
    (AssetAddress.of([".runs", "r", "s", "o"]), OpAddress("r", "s", "o")),
    (OpAddress("r", "s", "o", "m"), OpAddress("r", "s", "o")),
    (OpAddress("r", "s", "o", ""), OpAddress("r", "s", "o")),
    (OpAddress("r", "s[m]", "o"), OpAddress("r", "s--m", "o")),
    (OpAddress("r", "s", "o/m"), OpAddress("r", "s", "o", "m")),
    (AssetAddress.of(["é"]), AssetAddress.of(["e\u0301"])),
    (AssetAddress.of(["x" * 1000]), AssetAddress.of(["x" * 999 + "y"])),
    (AssetAddress.of(["a"], "x" * 1000), AssetAddress.of(["a"], "x" * 999 + "y")),
)


class LayoutConformance:
    """The promises of :class:`~dagster_buckets.layouts.base.Layout`, each a test.

    Give the fixture ``layout``. A layout may refuse an address with ``InvalidKeyError``; what it
    does not refuse keeps every promise. Of a layout that is not exclusive, the tests about several
    addresses ask for what holds instead: what their keys do not tell apart, their headers do.
    """

    #: What a key holds if, and only if, a component was shortened so that it cannot be inverted.
    hashed_mark = "~"

    @pytest.fixture
    def layout(self) -> Layout:
        """The layout under test."""
        raise NotImplementedError

    def test_is_a_layout(self, layout: Layout) -> None:
        assert isinstance(layout, Layout)
        assert layout.name

    @pytest.mark.parametrize("pair", _CONFUSABLE, ids=lambda pair: f"{pair[0]} | {pair[1]}"[:60])
    def test_confusable_addresses(self, layout: Layout, pair: tuple[Address, Address]) -> None:
        try:
            stems = [layout.stem(address) for address in pair]
        except InvalidKeyError:
            return
        if layout.exclusive:
            _assert_apart(stems[0] + "parquet", stems[1] + "parquet")
            _assert_apart(stems[0] + "parquet", stems[1] + "json")
        else:
            assert label_of(pair[0]) != label_of(pair[1])
            assert all(check_key(stem[:KEY_LIMIT]) for stem in stems)

    @_property(st.lists(addresses(), min_size=2, max_size=8, unique=True), extensions())
    def test_two_addresses_never_share_a_key(
        self, layout: Layout, several: list[Address], extension: str
    ) -> None:
        accepted = _accepted(layout, several)
        keys = {layout.key(address, extension) for address in accepted}
        labels = {label_of(address) for address in accepted}
        assert len(labels) == len(accepted)
        assert len(keys) == len(accepted) or not layout.exclusive

    @_property(
        st.lists(addresses(), min_size=1, max_size=6, unique=True), extensions(), extensions()
    )
    def test_no_key_is_a_folder_of_another(
        self, layout: Layout, several: list[Address], extension: str, other: str
    ) -> None:
        accepted = _accepted(layout, several)
        # Where addresses can share a key, at least the formats of one of them do not lie so.
        groups = [accepted] if layout.exclusive else [[address] for address in accepted]
        for group in groups:
            keys = {layout.key(a, e) for a in group for e in (extension, other)}
            for key in keys:
                assert not any(longer.startswith(f"{key}/") for longer in keys), key

    @_property(addresses(), addresses(), extensions())
    def test_a_stem_is_of_one_address(
        self, layout: Layout, one: Address, other: Address, extension: str
    ) -> None:
        assume(one != other)
        begins = _key(layout, other, extension).startswith(_stem(layout, one))
        assert not begins or (not layout.exclusive and label_of(one) != label_of(other))

    @_property(addresses(), extensions())
    def test_no_key_leaves_its_prefix(
        self, layout: Layout, address: Address, extension: str
    ) -> None:
        key = _key(layout, address, extension)
        assert not {"", ".", ".."} & set(key.split("/")), key
        if len(key.encode()) <= KEY_LIMIT:
            assert check_key(key) == key

    @_property(addresses(), extensions())
    def test_key_is_stem_and_extension(
        self, layout: Layout, address: Address, extension: str
    ) -> None:
        key = _key(layout, address, extension)
        stem = layout.stem(address)
        ways = layout.split(key)
        assert key.startswith(stem)
        # An empty extension is one that the key does not tell.
        assert (stem, extension) in ways or ((stem, "") in ways and key == stem)
        assert len(ways) == 1 or not layout.exclusive

    @_property(addresses(), extensions())
    def test_parse_is_the_inverse(self, layout: Layout, address: Address, extension: str) -> None:
        key = _key(layout, address, extension)
        try:
            found = layout.parse(key)
        except ConfigurationError:
            if layout.exclusive:
                raise
            return
        told = extension if (layout.stem(address), extension) in layout.split(key) else ""
        assert found == (None if self.hashed_mark in key else (address, told))

    @_property(asset_addresses(), extensions())
    def test_the_keys_of_an_asset_begin_with_its_prefix(
        self, layout: Layout, address: AssetAddress, extension: str
    ) -> None:
        assert _key(layout, address, extension).startswith(layout.prefix(address.path))

    @_property(
        hostile_text(),
        st.dictionaries(hostile_text(), hostile_text(), min_size=2, max_size=4),
        st.randoms(use_true_random=False),
    )
    def test_order_of_dimensions_does_not_matter(
        self, layout: Layout, name: str, partition: dict[str, str], order: random.Random
    ) -> None:
        items = list(partition.items())
        order.shuffle(items)
        one = _stem(layout, AssetAddress.of([name], partition))
        assert one == layout.stem(AssetAddress.of([name], dict(items)))

    @_property(addresses(), extensions())
    def test_keys_do_not_depend_on_the_moment(
        self, layout: Layout, address: Address, extension: str
    ) -> None:
        again = pickle.loads(pickle.dumps(layout))  # noqa: S301 - our own bytes
        assert _key(layout, address, extension) == _key(again, address, extension)

    @_property(st.text(st.characters()) | hostile_text())
    @example("")
    @example("/")
    @example("data.parquet")
    @example(".runs/data.parquet")
    @example("=x/data.parquet")
    @example("%FF/data.parquet")
    @example("a/\ud800/data.parquet")
    @example("\ud800%/data.parquet")
    def test_foreign_keys_are_not_parsed(self, layout: Layout, key: str) -> None:
        _assert_honest(layout, key)

    @_property(addresses(), extensions(), st.data())
    def test_altered_keys_are_not_parsed_wrongly(
        self, layout: Layout, address: Address, extension: str, data: st.DataObject
    ) -> None:
        key = _key(layout, address, extension)
        start = data.draw(st.integers(0, len(key)))
        end = data.draw(st.integers(start, min(len(key), start + 4)))
        inserted = data.draw(st.text("aA/.=%~2fF\ud800", max_size=4))
        altered = key[:start] + inserted + key[end:]
        note(f"altered key: {altered!r}")
        _assert_honest(layout, altered)


def _accepted(layout: Layout, several: list[Address]) -> list[Address]:
    accepted = []
    for address in several:
        with contextlib.suppress(_RefusedError):
            _stem(layout, address)
            accepted.append(address)
    return accepted


def _stem(layout: Layout, address: Address) -> str:
    try:
        return layout.stem(address)
    except InvalidKeyError as error:
        raise _RefusedError from error


def _key(layout: Layout, address: Address, extension: str) -> str:
    _stem(layout, address)
    return layout.key(address, extension)


def _assert_apart(one: str, other: str) -> None:
    assert one != other
    assert not one.startswith(f"{other}/")
    assert not other.startswith(f"{one}/")


def _assert_honest(layout: Layout, key: str) -> None:
    # Nearly always None; what is parsed all the same must be the only name of its address.
    try:
        found = layout.parse(key)
    except ConfigurationError:
        if layout.exclusive:
            raise
        return
    if found is not None:
        address, extension = found
        # Where the key does not tell the extension, it is the same with any.
        assert layout.key(address, extension or "x") == key
