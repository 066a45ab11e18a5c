"""Relays: who runs what, and what happens to what is raised."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from dagster_buckets_s3.relay import relayed


def test_items_are_made_here_and_consumed_elsewhere() -> None:
    here = threading.get_ident()
    made: list[int] = []
    consumed: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(threading.get_ident())
            yield number

    def consume(numbers: Iterator[int]) -> list[int]:
        consumed.append(threading.get_ident())
        return list(numbers)

    assert relayed(consume, items()) == [0, 1, 2]
    assert set(made) == {here}
    assert set(consumed).isdisjoint(made)


def test_nothing_is_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            made.append(number)
            yield number

    def consume(numbers: Iterator[int]) -> int:
        next(numbers)
        assert made == [0]
        return next(numbers)

    assert relayed(consume, items()) == 1
    assert made == [0, 1]


def test_what_the_items_raise_reaches_the_consumer_and_then_the_caller() -> None:
    seen: list[BaseException] = []

    def items() -> Iterator[int]:
        yield 1
        raise KeyError(1)

    def consume(numbers: Iterator[int]) -> int:
        try:
            return sum(numbers)
        except KeyError as error:
            seen.append(error)
            raise

    with pytest.raises(KeyError, match="1"):
        relayed(consume, items())
    assert len(seen) == 1


def test_what_the_consumer_raises_ends_it() -> None:
    def consume(numbers: Iterator[int]) -> int:
        next(numbers)
        raise ValueError(2)

    with pytest.raises(ValueError, match="2"):
        relayed(consume, iter(range(5)))


def test_an_interrupt_ends_the_consumer() -> None:
    ended: list[BaseException] = []

    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    def consume(numbers: Iterator[int]) -> int:
        try:
            return sum(numbers)
        except KeyboardInterrupt as error:
            ended.append(error)
            raise

    with pytest.raises(KeyboardInterrupt):
        relayed(consume, items())
    assert len(ended) == 1
