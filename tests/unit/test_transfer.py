from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from dagster_buckets.errors import BucketsError, ObjectNotFoundError, PartitionError
from dagster_buckets.objects import ObjectInfo, Payload
from dagster_buckets.stores.base import Answered
from dagster_buckets.threads import Pool
from dagster_buckets.transfer import (
    IN_FLIGHT,
    Outcome,
    Progress,
    failure,
    run_ahead,
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


# -- asked for ahead ---------------------------------------------------------------------------------


class Asked:
    """A store's side: each answer comes on a thread of its own, once :attr:`let` allows it."""

    def __init__(self, incomplete: Collection[int] = ()) -> None:
        self.incomplete = incomplete
        self.let = threading.Event()
        self.let.set()
        self.begun: list[int] = []

    def begin(self, number: int, then: Callable[[Answered], None]) -> None:
        self.begun.append(number)

        def answer() -> None:
            self.let.wait(20)
            data = Payload(str(number).encode(), ObjectInfo("k", "u", 1, "", datetime.now(UTC)))
            then(Answered(lambda: data, number not in self.incomplete))

        threading.Thread(target=answer, daemon=True).start()


def _number(number: int, found: Answered) -> tuple[int, int]:
    return number, int(bytes(found.get().data))


@pytest.mark.parametrize("bound", [1, 3, 30])
def test_what_was_asked_for_comes_in_order(bound: int) -> None:
    asked, told = Asked(incomplete=range(0, 20, 3)), list[int]()
    outcomes = run_ahead(
        asked.begin, _number, range(20), max_concurrency=bound, then=lambda o: told.append(o.item)
    )
    assert [(o.item, o.result, o.error) for o in outcomes] == [(n, (n, n), None) for n in range(20)]
    assert told == sorted(asked.begun) == list(range(20))


def test_no_more_is_asked_for_than_may_wait() -> None:
    asked, release = Asked(), threading.Event()
    busy = os.cpu_count() or 1

    def work(number: int, found: Answered) -> int:
        release.wait(20)
        return number

    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(run_ahead, asked.begin, work, range(40 + busy), max_concurrency=10)
        until(lambda: len(asked.begun) >= 10 + min(busy, 10))
        time.sleep(0.1)
        # Of those that are taken up, each makes room for one more.
        assert len(asked.begun) == 10 + min(busy, 10)
        release.set()
        assert [o.result for o in running.result(20)] == list(range(40 + busy))


def test_what_has_to_ask_again_holds_up_nothing() -> None:
    slow = os.cpu_count() or 1
    asked, release = Asked(incomplete=range(slow)), threading.Event()
    quick: list[int] = []

    def work(number: int, found: Answered) -> int:
        if found.complete:
            quick.append(number)
        else:
            release.wait(20)
        return number

    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(run_ahead, asked.begin, work, range(30), max_concurrency=slow + 1)
        until(lambda: len(quick) == 30 - slow)
        release.set()
        assert [o.result for o in running.result(20)] == list(range(30))


def test_every_failure_of_what_was_asked_for_is_kept() -> None:
    asked = Asked()

    def begin(number: int, then: Callable[[Answered], None]) -> None:
        if number % 3 == 0:
            raise ValueError(number)
        asked.begin(number, then)

    def work(number: int, found: Answered) -> int:
        if number % 3 == 1:
            raise ValueError(number)
        return number

    outcomes = run_ahead(begin, work, range(9), max_concurrency=2)
    assert [str(o.error) if o.error else o.result for o in outcomes] == [
        *("0", "1", 2, "3", "4", 5, "6", "7", 8)
    ]
    outcomes = run_ahead(begin, work, [0, 3, 6, 9], max_concurrency=2)
    assert [str(o.error) for o in outcomes] == ["0", "3", "6", "9"]


def test_what_no_thread_takes_up_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Pool.submit_to

    def submit_to(self: Pool, future: Any, work: Any, number: int, found: Answered) -> None:
        if number == 1:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        real(self, future, work, number, found)

    monkeypatch.setattr(Pool, "submit_to", submit_to)
    outcomes = run_ahead(Asked().begin, _number, range(3), max_concurrency=3)
    assert [str(o.error) if o.error else o.result for o in outcomes] == [
        *((0, 0), "can't start new thread", (2, 2))
    ]


def test_an_interrupt_does_not_wait_for_what_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = Asked()
    asked.let.clear()
    caller = threading.get_ident()
    threading.Timer(0.2, lambda: signal.pthread_kill(caller, signal.SIGINT)).start()
    worked: list[int] = []
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_ahead(asked.begin, lambda n, _: worked.append(n), range(50), max_concurrency=3)
    assert time.monotonic() - begun < 5
    asked.let.set()
    time.sleep(0.1)
    assert (sorted(asked.begun), worked, caplog.records) == ([0, 1, 2], [], [])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


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
