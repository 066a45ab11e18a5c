from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest
from dagster_buckets.threads import Pool


def test_work_is_done_at_the_same_time_and_no_more_than_allowed() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def work(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return number

    pool = Pool(4, "four")
    futures = [pool.submit(work, number) for number in range(20)]
    assert [future.result() for future in futures] == list(range(20))
    assert most == [4]
    pool.shutdown(wait=True)


def test_an_idle_thread_is_used_again() -> None:
    pool = Pool(8, "again")
    names = set()
    for _ in range(20):
        names.add(pool.submit(lambda: threading.current_thread().name).result())
        time.sleep(0.002)
    assert names == {"again_0"}


def test_what_is_raised_is_raised_to_who_asks() -> None:
    def fails() -> None:
        msg = "on purpose"
        raise KeyError(msg)

    pool = Pool(1, "fails")
    with pytest.raises(KeyError, match="on purpose"):
        pool.submit(fails).result()
    assert pool.submit(int).result() == 0


def test_a_shutdown_begins_nothing_more() -> None:
    gate = threading.Event()
    pool = Pool(1, "ends")
    running = pool.submit(gate.wait, 10)
    waiting = pool.submit(int)
    time.sleep(0.05)
    pool.shutdown()
    assert waiting.cancelled()
    gate.set()
    assert running.result()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)


def test_threads_end_with_a_pool_that_nobody_holds() -> None:
    pool = Pool(2, "forgotten")
    future = pool.submit(threading.current_thread)
    thread = future.result()
    del pool
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_results_are_not_held() -> None:
    class Value:
        pass

    pool = Pool(1, "values")
    value = pool.submit(Value).result()
    held = weakref.ref(value)
    del value
    gc.collect()
    assert held() is None
    pool.shutdown()


def test_no_process_waits_for_a_thread_that_waits() -> None:
    code = (
        "import threading, time; from dagster_buckets.threads import Pool; "
        "begun = threading.Event(); "
        "Pool(1, 'p').submit(lambda: (begun.set(), time.sleep(60))); begun.wait()"
    )
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
    assert time.monotonic() - begun < 20
