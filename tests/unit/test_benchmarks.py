"""The benchmarks' own server and report: what measures has to be right, too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from dagster_buckets import Body, ObjectExistsError, ObjectNotFoundError
from dagster_buckets_s3 import S3Store

from benchmarks.meter import Meter
from benchmarks.report import bounds_table, table
from benchmarks.results import CASES, case_of, kept
from benchmarks.running import ROOT, Bound, Record, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import Traffic, forget

MIB = 1024 * 1024
SECONDS, RATE = 0.05, 50e6


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with cloud(SECONDS, RATE) as running:
        yield running


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-no-account")
    store = S3Store("bench", endpoint_url=endpoint, region_name="us-east-1")
    yield store
    store.close()
    forget(endpoint)


def test_the_cloud_keeps_what_it_is_given(store: S3Store, endpoint: str) -> None:
    small, large = os.urandom(1000), os.urandom(40 * MIB)
    Traffic.of(endpoint)
    info = store.put("a/small", Body.of(small))
    store.put("a/large", Body.of(large))
    assert bytes(store.get("a/small").data) == small
    assert bytes(store.get("a/large").data) == large
    seen = Traffic.of(endpoint)
    assert seen.requests == {"PUT": 6, "POST": 2, "GET": 5}
    # Answers of the uploads are some bytes, too.
    assert 0 <= seen.sent - len(small) - len(large) < 2000
    assert 0 <= seen.received - len(small) - len(large) < 2000
    assert sorted(found.key for found in store.scan("a/")) == ["a/large", "a/small"]
    assert bytes(store.read_range(info, 10, 20)) == small[10:20]
    with pytest.raises(ObjectExistsError):
        store.put("a/small", Body.of(b"x"), if_absent=True)
    store.delete(["a/small"])
    with pytest.raises(ObjectNotFoundError):
        store.get("a/small")


def test_the_cloud_is_as_far_and_as_slow_as_it_says(store: S3Store) -> None:
    store.put("x", Body.of(os.urandom(15 * MIB)))
    store.head("x")
    begun = time.perf_counter()
    store.head("x")
    assert time.perf_counter() - begun >= SECONDS
    begun = time.perf_counter()
    store.get("x")
    assert time.perf_counter() - begun >= SECONDS + 0.9 * 15 * MIB / RATE
    begun = time.perf_counter()
    store.put("x", Body.of(os.urandom(15 * MIB)))
    assert time.perf_counter() - begun >= SECONDS + 0.8 * 15 * MIB / RATE


def test_a_meter_sees_memory_and_time() -> None:
    with Meter() as meter:
        used = bytearray(os.urandom(30 * MIB))
        time.sleep(0.1)
    assert len(used) == 30 * MIB
    assert 30 * MIB <= meter.memory < 90 * MIB
    assert meter.seconds >= 0.1
    with Meter() as again:
        pass
    assert again.memory < MIB


@pytest.mark.parametrize("name", CASES)
def test_every_case_can_be_reported(name: str) -> None:
    case = case_of(name)
    figures = {
        "seconds": 2.0,
        "cpu": 1.0,
        "memory": 3 * MIB,
        "up": 10,
        "down": 20,
        "whole": 3 * MIB,
        "requests": {"GET": 4},
    }
    assert len({way.name for way in case.ways}) == len(case.ways)
    results = {way.name: Record(way, [figures] * way.rounds) for way in case.ways}
    for way in case.ways:
        assert not way.beside or way.beside in results
    assert table(case, results).count("\n") >= len(case.ways) + 2
    assert bounds_table(case.bounds(results)).count("\n") >= len(case.bounds(results)) + 2


def test_bounds_and_ratios() -> None:
    assert Bound("x", 1.0, 1.0).holds
    assert not Bound("x", 1.1, 1.0).holds
    assert Bound("x", 1.0, 1.0, least=True).holds
    assert not Bound("x", 0.9, 1.0, least=True).holds
    way = Way("x", "call")
    own = Record(way, [{"seconds": s} for s in (1.0, 8.0, 3.0)])
    other = Record(way, [{"seconds": s} for s in (1.0, 4.0, 1.0)])
    assert own.over(other) == pytest.approx(2.0)


def test_the_report_has_every_case_that_was_measured() -> None:
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text("utf-8")
    measured = [name for name in CASES if kept(name)]
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles == ["What must hold", *(case_of(name).title for name in measured)]
    for name in {"partitions", "growth"}.intersection(measured):
        assert f"(performance-{name}.svg)" in page
        assert (ROOT / "docs" / "explanation" / f"performance-{name}.svg").exists()
    for name in set(CASES).difference(measured):
        assert case_of(name).title in page.partition("## ")[0]
