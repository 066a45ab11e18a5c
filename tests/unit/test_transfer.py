from __future__ import annotations

import gc
import itertools
import signal
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from dagster_buckets.errors import BucketsError, ObjectNotFoundError, PartitionError
from dagster_buckets.transfer import (
    IN_FLIGHT,
    Outcome,
    Progress,
    failure,
    run_all,
    run_each,
    shortened,
)


def test_nothing_to_do() -> None:
    assert run_all(lambda _: 1, [], max_concurrency=1) == []


def test_order_is_kept() -> None:
    def work(number: int) -> int:
        time.sleep((10 - number) / 1000)
        return number * 2

    outcomes = run_all(work, range(10), max_concurrency=10)
    assert [(o.item, o.result, o.error) for o in outcomes] == [(n, 2 * n, None) for n in range(10)]


@pytest.mark.parametrize("bound", [1, 3, 8])
def test_bound_is_reached_and_not_passed(bound: int) -> None:
    lock = threading.Lock()
    running = peak = 0

    def work(_: int) -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    run_all(work, range(24), max_concurrency=bound)
    assert peak == bound


def test_every_failure_is_kept() -> None:
    def work(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    outcomes = run_all(work, range(6), max_concurrency=2)
    assert [str(o.error) if o.error else o.result for o in outcomes] == [0, "1", 2, "3", 4, "5"]


def test_work_runs_beside_the_caller_so_that_it_can_be_interrupted() -> None:
    (outcome,) = run_all(lambda _: threading.current_thread(), [1], max_concurrency=4)
    assert outcome.result is not threading.main_thread()


def test_an_interrupt_does_not_wait() -> None:
    release = threading.Event()
    started: list[int] = []
    # A real signal: a flag that is only set would not wake the caller.
    caller = threading.get_ident()

    def work(number: int) -> None:
        started.append(number)
        if number == 1:
            # By now all work is queued, and the caller waits for it.
            time.sleep(0.2)
            signal.pthread_kill(caller, signal.SIGINT)
        release.wait(20)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all(work, range(50), max_concurrency=2)
    assert time.monotonic() - begun < 5
    release.set()
    time.sleep(0.1)
    assert sorted(started) == [0, 1]


def test_an_interrupt_of_the_work_is_raised() -> None:
    def work(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(work, [1, 2, 3], max_concurrency=1)


def test_then_is_told_in_order_and_at_once() -> None:
    release = threading.Event()
    told: list[int | None] = []

    def work(number: int) -> int:
        if number == 2:
            release.wait(20)
        return number

    def then(outcome: Outcome[int, int]) -> None:
        told.append(outcome.result)
        if outcome.result == 1:
            # The third waits for this call.
            release.set()

    run_all(work, range(4), max_concurrency=4, then=then)
    assert told == [0, 1, 2, 3]


# -- one by one ------------------------------------------------------------------------------------


def test_each_keeps_order_and_failures() -> None:
    def work(number: int) -> int:
        time.sleep((10 - number) / 1000)
        if number == 3:
            raise ValueError(number)
        return number * 2

    outcomes = list(run_each(work, iter(range(10)), max_concurrency=10, weigh=lambda _: 1))
    assert [o.item for o in outcomes] == list(range(10))
    assert [o.result for o in outcomes if o.error is None] == [0, 2, 4, 8, 10, 12, 14, 16, 18]


@pytest.mark.parametrize(
    ("size", "ahead"), [(1, 8), (IN_FLIGHT // 4, 4), (IN_FLIGHT, 1), (10 * IN_FLIGHT, 1)]
)
def test_each_takes_ahead_what_memory_allows(size: int, ahead: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    outcomes = run_each(lambda n: n, items(), max_concurrency=8, weigh=lambda _: size)
    next(outcomes)
    assert len(taken) == 2
    beyond = []
    for outcome in outcomes:
        assert outcome.result is not None
        # With those that wait, this one counts as taken.
        beyond.append(len(taken) - outcome.result)
    assert max(beyond) == ahead
    assert beyond[5] == ahead


def test_each_works_while_the_caller_does() -> None:
    begun = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            begun.set()
        return number

    outcomes = run_each(work, range(3), max_concurrency=2, weigh=lambda _: 1)
    next(outcomes)
    assert begun.wait(5)
    outcomes.close()


def test_each_reaches_its_bound_and_does_not_pass_it() -> None:
    lock = threading.Lock()
    running = peak = 0

    def work(_: int) -> int:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return 1

    list(run_each(work, range(60), max_concurrency=5, weigh=lambda _: 1))
    assert peak == 5


def test_each_keeps_nothing_that_was_given() -> None:
    class Value:
        pass

    alive: list[weakref.ref[Value]] = []

    def items() -> Iterator[Value]:
        for _ in range(20):
            value = Value()
            alive.append(weakref.ref(value))
            yield value
            del value

    outcomes = run_each(lambda _: 1, items(), max_concurrency=3, weigh=lambda _: 1)
    for number, outcome in enumerate(outcomes):
        del outcome
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 3, number


def test_each_stops_when_nobody_asks() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        return number

    outcomes = run_each(work, itertools.count(), max_concurrency=4, weigh=lambda _: 1)
    for _ in range(3):
        next(outcomes)
    outcomes.close()
    count = len(started)
    time.sleep(0.05)
    assert len(started) == count <= 8


def test_each_is_interrupted_at_once() -> None:
    release = threading.Event()
    caller = threading.get_ident()

    def work(number: int) -> int:
        if number == 1:
            time.sleep(0.2)
            signal.pthread_kill(caller, signal.SIGINT)
            release.wait(20)
        return number

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run_each(work, range(50), max_concurrency=2, weigh=lambda _: 1))
    assert time.monotonic() - begun < 5
    release.set()


def test_each_raises_what_the_source_raises() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError

    outcomes = run_each(lambda n: n, items(), max_concurrency=1, weigh=lambda _: 1)
    assert next(outcomes).result == 1
    with pytest.raises(LookupError):
        next(outcomes)


# -- what is said ----------------------------------------------------------------------------------


def test_progress_is_silent_about_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    lines: list[str] = []
    progress = Progress(lines.append, "read", 4000)
    progress.add(5)
    clock[0] += 9.9
    progress.add(5)
    assert lines == []
    clock[0] += 0.1
    progress.add(1_999_990)
    progress.add(5)
    assert lines == ["read 3 of 4,000 partitions, 2.0 MB"]
    clock[0] += 10
    progress.add(5)
    assert len(lines) == 2
    Progress(lines.append, "wrote", None, every=0).add(1)
    assert lines[-1] == "wrote 1 partitions, 0.0 MB"


def test_names_are_shortened() -> None:
    assert shortened([]) == ""
    assert shortened(["a", "b"]) == "a, b"
    assert shortened([str(n) for n in range(3000)], 2) == "0, 1 and 2,998 more"


def test_one_failure_is_raised_as_it_is_and_many_as_one() -> None:
    one = ObjectNotFoundError("x")
    assert failure({"a": one}, (), "read") is one
    several = failure({"a": one, "b": ValueError("y")}, ("c",), "read")
    assert isinstance(several, PartitionError)
    assert "2 of 3 partitions could not be read" in str(several)
    assert several.succeeded == ("c",)
    assert "read all the same: c" in str(several)
    assert isinstance(failure({"a": one}, ("b",), "written"), PartitionError)
    assert isinstance(several, BucketsError)
