"""Arrays: NumPy arrays as the bytes of an ``npy`` file, and back without pickles."""

from __future__ import annotations

import ast
import math
import struct
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.libraries import library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dagster_buckets.objects import Buffer

__all__ = ["ARRAY", "array_of", "buffers_of", "check_array", "is_arrays"]

#: The class of arrays.
ARRAY = "numpy.ndarray"

_MAGIC = b"\x93NUMPY"
#: By version: how the length of the header is written, and its text.
_HEADERS = {(1, 0): ("<H", "latin-1"), (2, 0): ("<I", "latin-1"), (3, 0): ("<I", "utf-8")}
#: Characters of a header; more is not parsed.
_LONGEST = 256 * 1024


def is_arrays(annotation: Any) -> bool:
    """Whether this is ``dict[str, numpy.ndarray]``, or ``Optional`` of it."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in args if arg is not type(None)]
        return len(others) == 1 and is_arrays(others[0])
    if not (isinstance(origin, type) and issubclass(origin, Mapping)) or args[:1] != (str,):
        return False
    item = typing.get_origin(args[1]) or args[1]
    return isinstance(item, type) and qualified(item) == ARRAY


def check_array(value: Any, format_name: str, what: str = "") -> None:
    """Refuse everything but plain arrays.

    Args:
        value: What somebody returned.
        format_name: For the error.
        what: Where it is in the value, for the error.

    Raises:
        UnsupportedTypeError: It is no array, or of a subclass, which would come back as none.
        EncodeError: It holds Python objects, or its dtype metadata, which no file does.
    """
    if qualified(type(value)) != ARRAY:
        msg = f"format {format_name!r} writes arrays, and {what or 'this'} is a "
        hint = "return numpy.asarray(…) of it, with the mask of a masked array beside it"
        raise UnsupportedTypeError(msg + qualified(type(value)), hint=hint)
    if value.dtype.hasobject:
        msg = f"{what or 'the array'} holds Python objects (dtype {value.dtype})"
        hint = "give it a dtype of numbers, times or text (dtype='U10'), or choose format='pickle'"
        raise EncodeError(msg, hint=hint)
    if _has_metadata(value.dtype):
        msg = f"{what or 'the array'} has a dtype with metadata, which the file cannot hold"
        raise EncodeError(msg, hint="make an array of a dtype without: array.astype(…)")


def buffers_of(array: NDArray[Any], what: str = "the array") -> tuple[Buffer, Buffer]:
    """The header and the data of an ``npy`` file. Copies only what is not contiguous.

    Raises:
        EncodeError: The file cannot hold the dtype.
    """
    import numpy as np

    dtype = array.dtype
    descr = np.lib.format.dtype_to_descr(dtype)
    if np.lib.format.descr_to_dtype(descr) != dtype:
        msg = f"the file cannot hold the dtype {dtype} of {what}"
        raise EncodeError(msg, hint="convert it with array.astype(…), or choose format='pickle'")
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    header = _header({"descr": descr, "fortran_order": by_columns, "shape": array.shape}, what)
    if array.nbytes == 0:
        return header, b""
    flat = array.ravel(order="F" if by_columns else "C")
    return header, flat.view(np.uint8).data


def array_of(data: Buffer, uri: str, format_name: str, what: str = "") -> NDArray[Any]:
    """The array of an ``npy`` file, writable and with memory of its own: one copy.

    Nothing is allocated before the header and the number of bytes are known to agree.

    Args:
        data: The file.
        uri: The object's, for errors.
        format_name: What reads it, for errors.
        what: Which array of the object it is, for errors.

    Raises:
        DecodeError: It is damaged, or holds Python objects.
    """
    np = library("numpy", format_name)
    view = memoryview(data).cast("B")
    try:
        dtype, by_columns, shape, start = _read_header(view)
        found, expected = len(view) - start, math.prod(shape) * dtype.itemsize
        _check(found == expected, f"it has {found:,} bytes of data instead of {expected:,}")
        array = np.empty(shape, dtype, order="F" if by_columns else "C")
        if array.nbytes:
            flat = (array.T if by_columns else array).reshape(-1)
            flat.view(np.uint8)[:] = np.frombuffer(view[start:], np.uint8)
    except Exception as error:
        # The text of a header is a Python literal, and makes any error on the way to a dtype.
        reason = f"{type(error).__name__}: {error}"
        msg = f"{uri} {what and what + ' '}is not a readable npy file: {reason}"
        raise DecodeError(msg, uri=uri, hint="materialize it again") from error
    return typing.cast("NDArray[Any]", array)


def _header(fields: dict[str, Any], what: str) -> bytes:
    text = repr(fields)
    version = (1, 0)
    try:
        encoded = text.encode("latin-1")
    except UnicodeEncodeError:
        # Names of fields in other alphabets.
        version, encoded = (3, 0), text.encode("utf-8", "surrogatepass")
    if version == (1, 0) and len(encoded) > 65_000:  # noqa: PLR2004 - its length has two bytes
        version = (2, 0)
    if len(encoded) > _LONGEST - 64:
        msg = f"the dtype of {what} has a description of {len(encoded):,} bytes"
        raise EncodeError(msg, hint=f"write less than {_LONGEST:,} bytes of fields")
    prefix = _MAGIC + bytes(version)
    size = struct.calcsize(_HEADERS[version][0])
    # The data begins at a multiple of 64 bytes, so that it can be mapped.
    encoded += b" " * (-(len(prefix) + size + len(encoded) + 1) % 64) + b"\n"
    return prefix + struct.pack(_HEADERS[version][0], len(encoded)) + encoded


def _read_header(view: memoryview) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    import numpy as np

    _check(bytes(view[:6]) == _MAGIC, "it does not begin as one")
    packing, encoding = _HEADERS[view[6], view[7]]
    begin = 8 + struct.calcsize(packing)
    (length,) = struct.unpack(packing, view[8:begin])
    _check(length <= min(_LONGEST, len(view) - begin), f"its header has {length:,} bytes")
    fields = ast.literal_eval(str(view[begin : begin + length], encoding).strip())
    _check(set(fields) == {"descr", "fortran_order", "shape"}, "its header is another's")
    shape, dtype = fields["shape"], np.lib.format.descr_to_dtype(fields["descr"])
    sane = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    _check(sane, f"its shape is {shape!r:.100}")
    _check(not dtype.hasobject, "it holds Python objects, and pickles are never loaded")
    _check(dtype.subdtype is None, f"its dtype is {dtype}")
    return dtype, bool(fields["fortran_order"]), shape, begin + length


def _check(holds: bool, problem: str) -> None:  # noqa: FBT001 - the assertion
    if not holds:
        raise ValueError(problem)


def _has_metadata(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata:
        return True
    if dtype.subdtype is not None:
        return _has_metadata(dtype.subdtype[0])
    return any(_has_metadata(field[0]) for field in (dtype.fields or {}).values())
