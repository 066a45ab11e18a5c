"""Format ``npz``: several NumPy arrays by name, as ``numpy.savez`` writes them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dagster_buckets.errors import BucketsError, DecodeError, EncodeError, UnsupportedTypeError
from dagster_buckets.formats.arrays import array_of, buffers_of, check_array, is_arrays
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.options import setting
from dagster_buckets.objects import Body, Payload

__all__ = ["NPZFormat"]

_METHODS = {"none": zipfile.ZIP_STORED, "deflate": zipfile.ZIP_DEFLATED}
#: What an array takes beside its data, with its name and its entry in the file.
_ENTRY = 1024


@dataclass(frozen=True, slots=True)
class NPZFormat:
    """``dict[str, numpy.ndarray]``: every array exactly, as ``npy`` holds it; never a pickle.

    The same arrays always give the same bytes. Names can be any text without NUL that ZIP can
    hold: less than 64 KiB, no lone surrogates.

    Args:
        compression: ``deflate`` is what ``numpy.savez_compressed`` does.
        limit: How large all arrays together may become in memory.

    Example:
        >>> import numpy as np
        >>> bytes(NPZFormat().encode({"x": np.arange(3)}).joined()[:2])
        b'PK'
    """

    name: ClassVar[str] = "npz"
    extension: ClassVar[str] = "npz"
    media_type: ClassVar[str] = "application/x-npz"
    claims: ClassVar[tuple[str, ...]] = ()

    compression: Literal["none", "deflate"] = "none"
    limit: Limit = setting("limit", Limit)  # noqa: RUF009 - it makes a field

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        check_arrays(value, self.name)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in value.items():
                buffers = buffers_of(array, f"the array {name!r}")
                # Its time is the first that ZIP knows, or the bytes would differ each time.
                entry = zipfile.ZipInfo(f"{name}.npy")
                entry.compress_type = _METHODS[self.compression]
                entry.file_size = sum(memoryview(buffer).nbytes for buffer in buffers)
                _check_name(name, entry)
                with archive.open(entry, "w") as member:
                    for buffer in buffers:
                        member.write(buffer)
        return Body.of(file.getbuffer())

    def decode(self, payload: Payload, as_type: Any) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        uri = payload.info.uri
        check_asked(as_type, uri)
        try:
            with zipfile.ZipFile(io.BytesIO(payload.data)) as archive:
                entries = archive.infolist()
                size = sum(entry.file_size + _ENTRY for entry in entries)
                self.limit.check(size, payload.info.size, uri)
                return dict(self._array(archive, entry, uri) for entry in entries)
        except BucketsError:
            raise
        except Exception as error:
            # A damaged file fails in every part of it in another way.
            msg = f"{uri} is not a readable npz file: {type(error).__name__}: {error}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error

    def can_structure(self, annotation: Any) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        return is_arrays(annotation)

    def _array(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, uri: str) -> tuple[str, Any]:
        if not entry.filename.endswith(".npy") or entry.compress_type not in _METHODS.values():
            msg = f"{uri} holds {entry.filename!r}, which is no array of an npz file"
            raise DecodeError(msg, uri=uri, hint="name the format it has in dagster_buckets/format")
        name = entry.filename.removesuffix(".npy")
        with archive.open(entry) as member:
            # With no size given it would unpack all there is before it compares the sizes.
            data = member.read(entry.file_size)
        return name, array_of(data, uri, self.name, f"(the array {name!r})")


def check_arrays(value: Any, format_name: str) -> None:
    """Refuse everything but a dict of arrays with strings for names.

    Raises:
        UnsupportedTypeError, EncodeError: See :func:`~dagster_buckets.formats.arrays.check_array`.
    """
    hint = "return dict[str, numpy.ndarray], or choose format='npy' for a single array"
    if type(value) is not dict:
        msg = f"format {format_name!r} writes dicts of arrays, not {qualified(type(value))}"
        raise UnsupportedTypeError(msg, hint=hint)
    for name, array in value.items():
        if type(name) is not str:
            msg = f"arrays are named by strings, and one is named {name!r}"
            raise UnsupportedTypeError(msg, hint=hint)
        check_array(array, format_name, f"the array {name!r}")


def check_asked(as_type: Any, uri: str) -> None:
    """Refuse to load a dict of arrays as anything else.

    Raises:
        UnsupportedTypeError: It was asked for.
    """
    if as_type in (None, dict) or is_arrays(as_type):
        return
    spelled = qualified(as_type) if isinstance(as_type, type) else str(as_type)
    msg = f"{uri} holds a dict of arrays, which cannot be loaded as {spelled}"
    raise UnsupportedTypeError(msg, uri=uri, hint="ask for dict[str, numpy.ndarray]")


def _check_name(name: str, entry: zipfile.ZipInfo) -> None:
    try:
        fits = entry.filename == f"{name}.npy" and len(entry.filename.encode()) < 2**16
    except UnicodeEncodeError:
        fits = False
    if not fits:
        msg = f"a ZIP file cannot hold the name {name!r:.100}"
        raise EncodeError(msg, hint="rename the array")
