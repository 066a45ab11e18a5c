from __future__ import annotations

import signal
import threading
import time

import pytest
from dagster_buckets.errors import BucketsError, ObjectNotFoundError, PartitionError
from dagster_buckets.transfer import failure, run_all


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


def test_one_failure_is_raised_as_it_is_and_many_as_one() -> None:
    one = ObjectNotFoundError("x")
    assert failure({"a": one}, (), "read") is one
    several = failure({"a": one, "b": ValueError("y")}, ("c",), "read")
    assert isinstance(several, PartitionError)
    assert "2 of 3 partitions could not be read" in str(several)
    assert several.succeeded == ("c",)
    assert isinstance(failure({"a": one}, ("b",), "written"), PartitionError)
    assert isinstance(several, BucketsError)
