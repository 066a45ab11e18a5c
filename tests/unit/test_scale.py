"""The model of scale: it counts as the store does, and its page says what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from dagster_buckets import Body
from dagster_buckets_s3 import S3Store

from benchmarks.scale import model
from benchmarks.scale.model import GB, PB, TB, Place, Requests
from benchmarks.scale.points import POINTS
from benchmarks.scale.publish import PAGE, rendered
from benchmarks.scale.records import kept
from benchmarks.scale.tables import TABLES, expected
from benchmarks.servers.serving import Traffic
from benchmarks.servers.throttled import REFUSED, throttled

MIB = 1024 * 1024
#: Writes a second and prefix: slower than any machine sends them.
RATE = 5.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with throttled(0.0, 1e9, 1e9, 2) as running:
        yield running


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    store = _store(endpoint, monkeypatch)
    yield store
    store.close()


def _store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-no-account")
    return S3Store("bench", endpoint_url=endpoint, region_name="us-east-1")


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 16 * MIB + 1, 24 * MIB + 1, 45 * MIB])
def test_the_model_counts_as_the_store_does(store: S3Store, endpoint: str, size: int) -> None:
    Traffic.of(endpoint)
    store.put(f"counted/{size}/x", Body.of(bytes(size)))
    written = Traffic.of(endpoint).requests
    assert written.get("PUT", 0) + written.get("POST", 0) == model.put_requests(size)
    assert len(store.get(f"counted/{size}/x").data) == size
    # An empty object cannot answer for a range.
    assert Traffic.of(endpoint).requests["GET"] == model.get_requests(size) + (size == 0)


def test_listings_have_pages(store: S3Store, endpoint: str) -> None:
    for number in range(3):
        store.put(f"listed/{number}/x", Body.of(b"x"))
    Traffic.of(endpoint)
    assert len(list(store.scan("listed/"))) == 3
    assert Traffic.of(endpoint).requests == {"LIST": model.list_pages(3)}
    assert [model.list_pages(keys) for keys in (0, 1, 1000, 1001, 10**7)] == [1, 1, 1, 2, 10**4]


def test_what_comes_too_fast_is_refused_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with throttled(0.0, RATE, 1e9, 2) as slow:
        store = _store(slow, monkeypatch)
        for number in range(12):
            store.put(f"hot/asset/{number}", Body.of(b"x"))
        assert Traffic.of(slow).requests.get(REFUSED, 0) > 0
        for number in range(12):
            store.put(f"cold/{number:x}/x", Body.of(b"x"))
        assert Traffic.of(slow).requests == {"PUT": 12}
        assert len(list(store.scan("hot/"))) == len(list(store.scan("cold/"))) == 12
        store.close()


def test_dollars() -> None:
    assert Requests(1000, 1000, 1000).dollars == pytest.approx(0.0104)
    assert model.storage(GB) == pytest.approx(0.023)
    assert model.storage(60 * TB) == pytest.approx(50_000 * 0.023 + 10_000 * 0.022)
    assert model.storage(PB) == pytest.approx(50_000 * 0.023 + 450_000 * 0.022 + 500_000 * 0.021)


def test_each_limit_can_be_the_one() -> None:
    place = Place(cpu=0.001)
    assert model.times(10_000, 10, place, write=True).limit == "computing"
    assert model.times(10_000, 10, Place(), write=True).limit == "waiting"
    assert model.times(10_000, 100 * MIB, Place(), write=True).limit == "network"
    many = Place(runs=100)
    assert model.times(10**7, 10, many, write=True).seconds == pytest.approx(10**7 / 3500)
    assert model.times(10**7, 10, many, write=False).seconds == pytest.approx(10**7 / 5500)
    # A run has one partition at least.
    few = [model.times(10, GB, Place(runs=runs), write=True) for runs in (10, 100)]
    assert few[0] == few[1]
    spread = Place(runs=100, prefixes=256)
    assert model.times(10**7, 10, spread, write=True).limit == "waiting"


def test_what_was_measured_has_the_requests_of_the_model() -> None:
    records = kept()
    assert set(records) == set(POINTS)
    rows: list[dict[str, Any]] = [
        row for name in ("partitions", "many", "sizes") for row in records[name]["rows"]
    ]
    assert len(rows) > 20
    for row in rows:
        requests, _ = expected(records, row, row.get("size", 11))
        assert sum(row["requests"].values()) == requests, row


def test_the_page_has_the_tables_of_the_model_and_the_records() -> None:
    page = PAGE.read_text("utf-8")
    assert re.findall(r"<!-- table: (\w+) -->", page) != []
    assert set(re.findall(r"<!-- table: (\w+) -->", page)) == set(TABLES)
    assert rendered(page, kept()) == page, "python -m benchmarks.scale.publish"
    assert "(scale.svg)" in page
    assert PAGE.with_suffix(".svg").exists()
