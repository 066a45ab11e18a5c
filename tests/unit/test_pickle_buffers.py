"""Pickles with buffers in their places: any reader can read them, and ours copies nothing."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from dagster_buckets.buffers import writable
from dagster_buckets.formats.cloudpickle import CloudpickleFormat
from dagster_buckets.formats.pickle import PickleFormat
from dagster_buckets.formats.pickle_buffers import dumps, loads
from hypothesis import given
from hypothesis import strategies as st

LARGE = 64 * 1024


def _dumped(value: Any) -> tuple[Any, ...]:
    return dumps(lambda file: pickle.dump(value, file, protocol=5))


def _in_memory(pieces: tuple[Any, ...], *, read_only: bool) -> memoryview:
    data = b"".join(pieces)
    target = writable(max(len(data), 20 * 1024 * 1024))[: len(data)]
    target[:] = data
    return target.toreadonly() if read_only else target


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(
            one.dtype == other.dtype
            and np.array_equal(one, other)
            and one.flags.writeable == other.flags.writeable
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _array(size: int, order: str, *, frozen: bool) -> Any:
    array = np.arange(size * 3, dtype=np.float32).reshape(size, 3, order=order)  # type: ignore[call-overload]
    array.flags.writeable = not frozen
    return array


ITEMS = st.one_of(
    st.builds(_array, st.integers(0, 20_000), st.sampled_from("CF"), frozen=st.booleans()),
    st.integers(0, 200_000).map(bytes),
    st.integers(0, 200_000).map(bytearray),
    st.integers(0, 100_000).map(lambda size: "é" * size),
    st.integers(),
    st.none(),
)


@given(st.lists(ITEMS, max_size=6), st.booleans())
def test_every_reader_reads_them(value: list[Any], read_only: bool) -> None:  # noqa: FBT001
    pieces = _dumped([*value, *value])
    assert _same(pickle.loads(b"".join(pieces)), [*value, *value])  # noqa: S301 - our own
    assert _same(loads(_in_memory(pieces, read_only=read_only)), [*value, *value])


def test_arrays_are_neither_copied_when_written_nor_when_read() -> None:
    arrays = [np.random.default_rng(1).random(LARGE) for _ in range(3)]
    pieces = _dumped(arrays)
    for array in arrays:
        assert any(np.shares_memory(array, np.frombuffer(piece, np.uint8)) for piece in pieces)
    data = _in_memory(pieces, read_only=False)
    for found in loads(data):
        assert np.shares_memory(found, np.frombuffer(data, np.uint8))
        assert found.flags.aligned
        assert found.flags.writeable
        assert found.ctypes.data % 64 == 0


def test_what_is_read_only_is_copied_for_those_who_may_write() -> None:
    data = _in_memory(_dumped(np.zeros(LARGE)), read_only=True)
    found = loads(data)
    found[0] = 1
    assert not np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert loads(data)[0] == 0


def test_an_array_that_comes_twice_comes_back_once() -> None:
    array = np.zeros(LARGE)
    one, two = loads(_in_memory(_dumped([array, array]), read_only=False))
    assert one is two


def test_frames_of_pandas() -> None:
    frame = pd.DataFrame({"x": np.arange(LARGE), "y": np.arange(LARGE) / 3, "z": ["z"] * LARGE})
    data = _in_memory(_dumped(frame), read_only=False)
    found = loads(data)
    pd.testing.assert_frame_equal(found, frame)
    found.loc[0, "y"] = 7.0
    assert np.shares_memory(found["x"].to_numpy(), np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    "large", [np.arange(2**22).astype("datetime64[us]"), b"x" * 2**25], ids=["times", "bytes"]
)
def test_what_is_large_among_the_buffers_is_copied_once(large: Any) -> None:
    data = _in_memory(_dumped([np.zeros(LARGE), large]), read_only=False)
    tracemalloc.start()
    try:
        found = loads(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(found[1], large)
    assert 2**25 <= peak < 1.1 * 2**25


def test_without_large_buffers_it_is_the_pickle_alone() -> None:
    value = {"small": bytearray(10), "array": np.zeros(10)}
    assert b"".join(_dumped(value)) == pickle.dumps(value, protocol=5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"buffers:", b"buffers:1+1,"),
        (b"buffers:64+", b"buffers:65+"),
        (b"+524288,", b"+524289,"),
        (b"+524288,", b"+99999999999999999,"),
        (b",:0", b",:9"),
        (b",:0", b":00"),
    ],
)
def test_a_line_that_is_not_true_is_not_used(old: bytes, new: bytes) -> None:
    array = np.arange(LARGE)
    data = b"".join(_dumped(array))
    head, line = data[:-60], data[-60:]
    assert line.count(old) == 1
    assert np.array_equal(loads(bytearray(head + line.replace(old, new))), array)


def test_a_line_inside_of_a_value_is_a_value() -> None:
    line = _dumped(np.arange(LARGE))[-1]
    assert loads(bytearray(b"".join(_dumped([line])))) == [line]


@pytest.mark.parametrize("form", [PickleFormat(), CloudpickleFormat()])
def test_both_formats_write_them(form: PickleFormat) -> None:
    array = np.zeros(LARGE)
    body = form.encode([array])
    assert body.held is not None
    assert any(np.shares_memory(array, np.frombuffer(piece, np.uint8)) for piece in body.held)
    assert np.array_equal(cloudpickle.loads(body.joined())[0], array)
