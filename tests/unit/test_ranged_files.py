from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import pytest
from dagster_buckets.errors import StoreUnavailableError
from dagster_buckets.formats import ranged_files
from dagster_buckets.formats.ranged_files import RangedFile, joined
from dagster_buckets.objects import Body, Buffer, ObjectInfo
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.memory import MemoryStore

KIB = 1024
DATA = random.Random(11).randbytes(1_000_000)  # noqa: S311 - repeatable, not secret


class Counting(MemoryStore):
    def __init__(self, name: str, delay: float = 0.0) -> None:
        super().__init__(name)
        self.delay = delay
        self.ranges: list[tuple[int, int]] = []
        self.opened = 0
        self.now = self.most = 0
        self.lock = threading.Lock()

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        with self.lock:
            self.ranges.append((start, stop))
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.delay)
        with self.lock:
            self.now -= 1
        return super().read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None):  # type: ignore[no-untyped-def]
        self.opened += 1
        return super().open(key, version)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Counting:
    return Counting(request.node.name)


def opened(
    store: Counting, plan: Sequence[tuple[int, int]] = (), *, tail: int = 0, data: bytes = DATA
) -> RangedFile:
    info = store.put("x", Body.of(data))
    return RangedFile(ObjectRef(info, store, data[-tail:] if tail else b""), plan)


def test_what_came_along_is_not_fetched(store: Counting) -> None:
    file = opened(store, tail=1000)
    file.seek(-1000, 2)
    assert file.read(300) == DATA[-1000:-700]
    assert file.read() == DATA[-700:]
    assert file.read() == b""
    file.seek(-1001, 2)
    assert file.read(2) == DATA[-1001:-999]
    assert (store.ranges, store.opened) == ([], 1)


@pytest.mark.parametrize("order", [1, -1])
def test_planned_ranges_are_fetched_once_and_at_the_same_time(store: Counting, order: int) -> None:
    store.delay = 0.05
    plan = [(i * 10_000, i * 10_000 + 5000) for i in range(10)]
    file = opened(store, plan)
    for start, stop in plan[::order]:
        file.seek(start)
        assert file.read(stop - start) == DATA[start:stop]
    assert sorted(store.ranges) == plan
    assert store.most == len(plan)
    assert store.opened == 0


def test_a_planned_range_can_be_read_in_pieces_and_with_its_neighbours(store: Counting) -> None:
    file = opened(store, [(0, 100), (100, 200), (300, 400)])
    assert file.read(50) == DATA[:50]
    assert file.read(100) == DATA[50:150]
    assert file.read(50) == DATA[150:200]
    # The third may still be on its way.
    assert sorted(store.ranges)[:2] == [(0, 100), (100, 200)]
    assert len(store.ranges) == len(set(store.ranges))
    assert store.opened == 0
    # Across what nobody planned.
    file.seek(190)
    assert file.read(200) == DATA[190:390]
    assert store.opened == 1


def test_few_ranges_wait(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_files, "_WAITING", 3000)
    plan = [(i * 1000, i * 1000 + 1000) for i in range(50)]
    file = opened(store, plan)
    for number, (start, stop) in enumerate(plan, start=1):
        assert file.read(stop - start) == DATA[start:stop]
        assert len(store.ranges) <= number + 2
    assert sorted(store.ranges) == plan


def test_any_reads_give_what_is_there(store: Counting) -> None:
    chance = random.Random(5)  # noqa: S311
    for _ in range(200):
        points = sorted(chance.sample(range(5000), 12))
        plan = [r for r in zip(points[::2], points[1::2], strict=True) if chance.random() < 0.8]
        file = opened(store, plan, tail=chance.choice([0, 1, 700]), data=DATA[:5000])
        for _ in range(10):
            start, size = chance.randrange(5100), chance.choice([0, 1, 10, 1000, 6000])
            file.seek(start)
            assert file.read(size) == DATA[:5000][start : start + size]
        file.close()


def test_an_object_that_was_written_again(store: Counting) -> None:
    file = opened(store, [(0, 10)])
    store.put("x", Body.of(b"another"))
    for at in (0, 20):
        file.seek(at)
        with pytest.raises(StoreUnavailableError, match="written again"):
            file.read(10)


def test_threads_end_with_the_file(store: Counting) -> None:
    before = set(threading.enumerate())
    file = opened(store, [(0, 10), (20, 30)])
    file.read(10)
    assert set(threading.enumerate()) - before
    file.close()
    assert file.closed
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ranges_are_joined_as_far_as_a_request_goes() -> None:
    mib = 1024 * KIB
    assert joined([]) == []
    assert joined([(0, 10), (10, 20), (20 + 8 * KIB, 30 * KIB)]) == [(0, 30 * KIB)]
    assert joined([(0, 10), (11 + 8 * KIB, 30 * KIB)]) == [(0, 10), (11 + 8 * KIB, 30 * KIB)]
    assert joined([(0, 40 * mib)]) == [(0, 16 * mib), (16 * mib, 32 * mib), (32 * mib, 40 * mib)]
    assert joined([(0, 10 * mib), (10 * mib, 20 * mib)]) == [(0, 10 * mib), (10 * mib, 20 * mib)]
    assert joined([(5, 10), (0, 20)]) == [(0, 20)]


def test_what_came_along_is_not_fetched_ahead(store: Counting) -> None:
    size = len(DATA)
    file = opened(store, [(0, 10), (size - 500, size - 400)], tail=1000)
    assert file.read(10) == DATA[:10]
    file.close()
    assert store.ranges == [(0, 10)]
