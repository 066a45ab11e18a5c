from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from dagster_buckets.formats.readahead import MAX_BYTES, MAX_OBJECTS, Readahead


class Source:
    """Gives its numbers slowly, and notes what was asked and how many at once."""

    def __init__(self, delay: float = 0.002) -> None:
        self.delay = delay
        self.lock = threading.Lock()
        self.asked: list[int] = []
        self.now = self.peak = 0

    def __call__(self, position: int) -> int:
        with self.lock:
            self.asked.append(position)
            self.now += 1
            self.peak = max(self.peak, self.now)
        time.sleep(self.delay)
        with self.lock:
            self.now -= 1
        return position

    def settle(self) -> list[int]:
        time.sleep(4 * self.delay + 0.02)
        return sorted(self.asked)


def ahead(
    source: Callable[[int], int], sizes: Sequence[int | None], *, complete: bool = False
) -> Readahead[int]:
    return Readahead(source, sizes, complete=complete)


@pytest.mark.parametrize("complete", [True, False])
def test_everything_comes_once_and_in_parallel(complete: bool) -> None:  # noqa: FBT001
    source = Source(0.01)
    things = ahead(source, [1] * 200, complete=complete)
    assert [things.take(position) for position in range(200)] == list(range(200))
    assert source.settle() == list(range(200))
    assert 8 < source.peak <= MAX_OBJECTS


def test_nothing_is_fetched_before_it_is_wanted() -> None:
    source = Source()
    ahead(source, [1] * 10, complete=True)
    assert source.settle() == []


def test_no_more_is_fetched_ahead_than_was_taken() -> None:
    source = Source()
    things = ahead(source, [1] * 100, complete=True)
    for position in range(5):
        things.take(position)
    assert source.settle() == list(range(10))


def test_a_reader_who_may_skip_causes_less() -> None:
    source = Source()
    things = ahead(source, [1] * 100)
    things.take(40)
    assert source.settle() == [40]
    for position in range(41, 46):
        things.take(position)
    assert source.settle() == list(range(40, 49))


def test_a_reader_who_skips_causes_nothing() -> None:
    source = Source()
    things = ahead(source, [1] * 100)
    for position in range(0, 100, 7):
        things.take(position)
    assert source.settle() == list(range(0, 100, 7))


def test_large_ones_are_not_fetched_ahead() -> None:
    source = Source()
    things = ahead(source, [1, 1, 1, None, 1, 1, 1, 1], complete=True)
    for position in range(3):
        things.take(position)
    assert source.settle() == [0, 1, 2, 4, 5]


def test_bytes_are_bounded() -> None:
    source = Source()
    size = MAX_BYTES // 4
    things = ahead(source, [size] * 40, complete=True)
    for position in range(20):
        things.take(position)
    time.sleep(0.05)
    assert source.peak <= 4
    # What the reader has now is his; the bound is for what waits.
    assert max(source.asked) <= 20 + 3


def test_one_larger_than_the_bound_can_be_taken() -> None:
    things = ahead(Source(), [2 * MAX_BYTES] * 3, complete=True)
    assert [things.take(position) for position in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("complete", [True, False])
def test_opened_twice_is_fetched_once(complete: bool) -> None:  # noqa: FBT001
    source = Source()
    things = ahead(source, [1] * 50, complete=complete)
    for position in range(50):
        things.take(position)
        things.take(max(0, position - 2))
        things.take(position)
    assert source.settle() == list(range(50))


def test_a_little_out_of_order() -> None:
    source = Source()
    things = ahead(source, [1] * 40)
    order = [p for start in range(0, 40, 4) for p in (start + 1, start, start + 3, start + 2)]
    assert [things.take(position) for position in order] == order
    assert source.settle() == list(range(40))


def test_what_was_taken_is_let_go() -> None:
    class Thing:
        pass

    things: Readahead[Thing] = Readahead(lambda _: Thing(), [1] * 100, complete=True)
    for position in range(100):
        things.take(position)
    assert len(things._held) <= 4


def test_a_second_pass_reads_ahead_again() -> None:
    source = Source(0.005)
    things = ahead(source, [1] * 60)
    for _ in range(2):
        source.asked.clear()
        source.peak = 0
        assert [things.take(position) for position in range(60)] == list(range(60))
        assert source.peak > 4
    # At most the few that the first pass had left are not fetched again.
    assert len(source.asked) >= 56


def test_a_pass_that_was_given_up_does_not_block_the_next() -> None:
    source = Source(0.001)
    things = ahead(source, [1] * 200)
    for position in range(100):
        things.take(position)
    source.settle()
    source.asked.clear()
    source.peak = 0
    source.delay = 0.01
    assert [things.take(position) for position in range(80)] == list(range(80))
    assert source.peak > 4


def test_two_readers_at_once() -> None:
    source = Source(0.002)
    things = ahead(source, [1] * 200)
    found: dict[int, list[int]] = {}

    def read(start: int) -> None:
        found[start] = [things.take(position) for position in range(start, start + 80)]

    threads = [threading.Thread(target=read, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {start: list(range(start, start + 80)) for start in (0, 100)}
    assert source.peak > 4


def test_errors_are_raised_where_they_belong() -> None:
    def fetch(position: int) -> int:
        if position == 5:
            msg = "five"
            raise KeyError(msg)
        return position

    things = ahead(fetch, [1] * 20, complete=True)
    for position in [*range(5), *range(6, 20)]:
        assert things.take(position) == position
    for _ in range(2):
        with pytest.raises(KeyError, match="five"):
            things.take(5)


def test_an_error_is_not_kept() -> None:
    failures = [KeyError("once")]

    def fetch(position: int) -> int:
        if failures:
            raise failures.pop()
        return position

    things = ahead(fetch, [1] * 3)
    with pytest.raises(KeyError):
        things.take(0)
    assert things.take(0) == 0


def test_its_threads_end_with_it() -> None:
    before = set(threading.enumerate())
    things = ahead(Source(), [1] * 40, complete=True)
    for position in range(40):
        things.take(position)
    threads = set(threading.enumerate()) - before
    assert threads
    del things
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
