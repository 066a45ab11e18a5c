from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import DecodeError, EncodeError, MissingDependencyError
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.npy import NPYFormat
from dagster_buckets.formats.npz import NPZFormat
from dagster_buckets.formats.safetensors import SafetensorsFormat
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import assert_same, payload_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

NPY, NPZ, SAFE = NPYFormat(), NPZFormat(), SafetensorsFormat()

dtypes = (
    arrays.scalar_dtypes()
    | arrays.unicode_string_dtypes()
    | arrays.byte_string_dtypes()
    | arrays.array_dtypes(arrays.scalar_dtypes(), allow_subarrays=True)
)


@st.composite
def any_array(draw: st.DrawFn) -> Any:
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = draw(arrays.arrays(draw(dtypes), shape))
    order = draw(st.sampled_from(["C", "F", "strided"]))
    if order == "strided":
        return array[::2] if array.ndim else array
    return np.asarray(array, order=order)  # type: ignore[call-overload]


def same(left: Any, right: Any) -> None:
    assert type(left) is np.ndarray
    assert (left.dtype, left.shape) == (right.dtype, right.shape)
    assert left.tobytes() == right.tobytes()
    assert left.flags.writeable


@settings(max_examples=300)
@given(any_array())
def test_any_array_comes_back(array: Any) -> None:
    found = NPY.decode(payload_of(NPY.encode(array)), None)
    same(found, array)
    assert found.flags.owndata
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    assert (found.flags.f_contiguous and not found.flags.c_contiguous) == by_columns


@settings(max_examples=100)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"])), any_array()))
def test_any_arrays_come_back(value: dict[str, Any]) -> None:
    for chosen in (NPZ, NPZFormat(compression="deflate")):
        found = chosen.decode(payload_of(chosen.encode(value)), None)
        assert list(found) == list(value)
        for name, array in found.items():
            same(array, value[name])


numbers = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="=")
    | arrays.unsigned_integer_dtypes(endianness="=")
    | arrays.floating_dtypes(endianness="=")
)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])).filter(lambda n: n != "__metadata__"),
        arrays.arrays(numbers, arrays.array_shapes(min_dims=0, min_side=0)).map(np.transpose),
    )
)
def test_any_tensors_come_back(value: dict[str, Any]) -> None:
    found = SAFE.decode(payload_of(SAFE.encode(value)), None)
    assert found.keys() == value.keys()
    for name, array in found.items():
        same(array, value[name])


@settings(max_examples=200)
@given(any_array(), st.data())
def test_damage_is_never_another_error(array: Any, data: st.DataObject) -> None:
    whole = bytearray(NPY.encode(array).joined())
    for _ in range(3):
        whole[data.draw(st.integers(0, min(len(whole), 128) - 1))] = data.draw(st.integers(0, 255))
    try:
        NPY.decode(payload_of(Body.of(bytes(whole))), None)
    except DecodeError as error:
        assert error.hint  # noqa: PT017 - no error is fine, too


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array([(1,)], [("ключ", "i4")])]
)
def test_numpy_reads_what_we_write_and_we_what_it_writes(array: Any) -> None:
    data = bytes(NPY.encode(array).joined())
    assert_same(np.load(io.BytesIO(data), allow_pickle=False), array)
    assert data.index(b"\n") % 64 == 63
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(3, 0), allow_pickle=False)
    assert_same(NPY.decode(payload_of(Body.of(file.getvalue())), None), array)
    for save in (np.savez, np.savez_compressed) if array.dtype.names is None else ():
        file = io.BytesIO()
        save(file, x=array)
        assert_same(NPZ.decode(payload_of(Body.of(file.getvalue())), None), {"x": array})
    with np.load(io.BytesIO(NPZ.encode({"x": array}).joined()), allow_pickle=False) as found:
        assert_same(found["x"], array)


def test_a_dtype_of_many_fields() -> None:
    array = np.zeros(1, [(f"field number {n}", "<f8") for n in range(3000)])
    assert_same(NPY.decode(payload_of(NPY.encode(array)), None), array)
    with pytest.raises(EncodeError, match="description"):
        NPY.encode(np.zeros(1, [(f"field number {n}", "<f8") for n in range(10_000)]))


def test_an_array_is_copied_once() -> None:
    array = np.zeros(4_000_000, np.uint8)
    payload = payload_of(NPY.encode(array))
    tracemalloc.start()
    try:
        body = NPY.encode(array)
        assert tracemalloc.get_traced_memory()[1] < 100_000
        tracemalloc.reset_peak()
        NPY.decode(payload, None)
        assert tracemalloc.get_traced_memory()[1] < 4_100_000
    finally:
        tracemalloc.stop()
    assert body.size == len(payload.data)


def test_a_promise_of_many_elements_allocates_nothing() -> None:
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (500000000,)}"
    data = b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + b"x"
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="1 bytes of data instead of 500,000,000"):
            NPY.decode(payload_of(Body.of(data)), None)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def joined(*parts: Any) -> Any:
    payloads = [payload_of(NPY.encode(a), f"memory://x/{n}") for n, a in enumerate(parts)]
    return NPY.concat([NPY.part(payload) for payload in payloads], np.ndarray)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([np.array([1, 2]), np.array([3])], np.array([1, 2, 3])),
        ([np.array([1], ">i4"), np.array([2], ">i4")], np.array([1, 2], ">i4")),
        ([np.array([1], "i1"), np.array([300], "i2")], np.array([1, 300], "i2")),
        ([np.array([1]), np.array([0.5])], np.array([1.0, 0.5])),
        ([np.array(["a"]), np.array(["abc"])], np.array(["a", "abc"])),
        ([np.zeros((1, 2)), np.zeros((0, 2))], np.zeros((1, 2))),
        ([np.array([np.nan], "f4"), np.array([1.0])], np.array([np.nan, 1.0])),
        ([np.array(5)], np.array(5)),
    ],
    ids=str,
)
def test_arrays_are_joined(parts: list[Any], expected: Any) -> None:
    assert_same(joined(*parts), expected)


@pytest.mark.parametrize(
    ("parts", "culprit"),
    [
        ([np.zeros((1, 2)), np.zeros((1, 3))], 1),
        ([np.zeros(2), np.zeros(2), np.zeros((1, 2))], 2),
        ([np.zeros(1), np.array(1.0)], 1),
        ([np.array([1]), np.array(["a"])], 1),
        ([np.array([0.5]), np.array([2**62 + 1])], 1),
        ([np.array([1], "u8"), np.array([-(2**62) - 1])], 1),
        ([np.array([2**62], "M8[s]"), np.array([1], "M8[ns]")], 0),
        ([np.array([(1,)], [("a", "i4")]), np.array([(1,)], [("b", "i4")])], 1),
    ],
    ids=str,
)
def test_what_does_not_fit_names_the_object(parts: list[Any], culprit: int) -> None:
    with pytest.raises(DecodeError) as caught:
        joined(*parts)
    assert caught.value.uri == f"memory://x/{culprit}"
    assert caught.value.hint


# -- several by name -------------------------------------------------------------------------------


def test_the_same_arrays_give_the_same_bytes() -> None:
    value = {"b": np.arange(3), "a": np.zeros(2)}
    for chosen in (NPZ, NPZFormat(compression="deflate"), SAFE):
        first = bytes(chosen.encode(value).joined())
        again = {name: array.copy() for name, array in value.items()}
        assert bytes(chosen.encode(again).joined()) == first


def test_deflate_is_an_option_of_the_format_itself() -> None:
    value = {"x": np.zeros(10_000)}
    chosen = Formats(chosen={"compression": "deflate"}).named("npz")
    body = chosen.encode(value)
    assert chosen.extension == "npz"
    assert len(body.joined()) < 1000
    assert_same(NPZ.decode(payload_of(body), None), value)


def test_a_zip_bomb_is_refused() -> None:
    body = NPZFormat(compression="deflate").encode({"x": np.zeros(50_000_000, np.uint8)})
    limit = Limit(max_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="becomes more than 1,000,000"):
            NPZFormat(limit=limit).decode(payload_of(body), None)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(
        NPZFormat(compression="deflate").encode({"x": np.zeros(20_000_000, "u1")}).joined()
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        real = archive.infolist()[0].file_size
    lie = data.replace(real.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lie != data
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            NPZFormat(limit=Limit(max_bytes=1_000_000)).decode(
                payload_of(Body.of(bytes(lie))), None
            )
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_flipped_bit_is_found() -> None:
    for chosen in (NPZ, NPZFormat(compression="deflate")):
        data = bytearray(chosen.encode({"x": np.arange(1000)}).joined())
        data[len(data) // 2] ^= 1
        with pytest.raises(DecodeError):
            chosen.decode(payload_of(Body.of(bytes(data))), None)


def test_the_array_is_named() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("odd one.npy", b"damaged")
    with pytest.raises(DecodeError, match=r"memory://.*'odd one'"):
        NPZ.decode(payload_of(Body.of(file.getvalue())), None)


def test_tensors_of_others_are_read() -> None:
    data = safetensors.numpy.save({"x": np.ones(2, "f2")}, metadata={"format": "pt"})
    assert_same(SAFE.decode(payload_of(Body.of(data)), None), {"x": np.ones(2, "f2")})


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("npy", "numpy", "pip install numpy"),
        ("safetensors", "safetensors", "pip install 'dagster-buckets-core[safetensors]'"),
    ],
)
def test_a_library_that_is_missing(
    name: str, module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Formats().named(name)
    value: Any = np.zeros(1) if name == "npy" else {"x": np.zeros(1)}
    payload = payload_of(chosen.encode(value))
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as caught:
        chosen.decode(payload, None)
    assert line in str(caught.value)


def test_formats_load_no_library_before_they_are_used() -> None:
    script = (
        "import sys; from dagster_buckets.plugins import get_format\n"
        "for name in ('npy', 'npz', 'safetensors', 'json'): get_format(name)\n"
        "print([m for m in ('numpy', 'safetensors', 'msgspec', 'pydantic') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    assert found.stdout.strip() == "[]"
