"""Many pairs of addresses that are easily taken for each other, none of which may share a key.

``DAGSTER_BUCKETS_PAIRS`` says how many; ``nox -s keys`` asks for millions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from dagster_buckets.address import Address
from dagster_buckets.errors import InvalidKeyError
from dagster_buckets.layouts import Layout
from dagster_buckets.plugins import get_layout
from dagster_buckets.stores.base import KEY_LIMIT, check_key
from dagster_buckets.testing.strategies import addresses, extensions, neighbours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PAIRS = int(os.environ.get("DAGSTER_BUCKETS_PAIRS", "200000"))
LAYOUTS = [
    "hive",
    "template:{asset}[/p={partition}][/a={dim.a}][/date={dim.date}/region={dim.region}]/data.{ext}",
]


def _key(layout: Layout, address: Address, extension: str) -> str | None:
    try:
        return layout.key(address, extension)
    except InvalidKeyError:
        return None


@pytest.mark.timeout(0 if PAIRS > 1_000_000 else 300)  # 0: no limit
@pytest.mark.parametrize("name", LAYOUTS, ids=lambda name: name.partition(":")[0])
def test_no_pair_shares_a_key(name: str, record_property: Callable[[str, object], None]) -> None:
    layout = get_layout(name)
    checked = 0

    @settings(
        max_examples=100,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(addresses(), min_size=2, max_size=4, unique=True), extensions())
    def check(several: list[Address], extension: str) -> None:
        nonlocal checked
        everyone = set(several).union(*map(neighbours, several))
        owners: dict[str, Address] = {}
        for address in everyone:
            key = _key(layout, address, extension)
            if key is None:
                continue
            assert owners.setdefault(key, address) == address, key
            assert not {"", ".", ".."} & set(key.split("/")), key
            assert len(key.encode()) > KEY_LIMIT or check_key(key) == key
            assert layout.parse(key) == (None if "~" in key else (address, extension))
        for key in owners:
            assert not any(key[:i] in owners for i, sign in enumerate(key) if sign == "/"), key
        checked += len(owners) * (len(owners) - 1) // 2

    while checked < PAIRS:
        check()
    record_property("pairs", checked)
    sys.stderr.write(f"{name}: {checked:,} pairs\n")
