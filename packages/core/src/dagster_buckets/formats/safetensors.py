"""Format ``safetensors``: several NumPy arrays by name, for libraries of machine learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError
from dagster_buckets.formats.arrays import is_arrays
from dagster_buckets.formats.libraries import library
from dagster_buckets.formats.npz import check_arrays, check_asked
from dagster_buckets.objects import Body, Payload

__all__ = ["SafetensorsFormat"]

#: An array of this name would be written, and left out by every reader.
_RESERVED = "__metadata__"
_DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SafetensorsFormat:
    """``dict[str, numpy.ndarray]`` of numbers: dtype, shape and values exactly; nothing can run.

    Refused are the dtypes that the file does not have: complex numbers, text, times, fields, and
    the byte order of other machines. Arrays come back writable, in C order and sorted by name.

    Example:
        >>> import numpy as np
        >>> body = SafetensorsFormat().encode({"weights": np.zeros(2, "float32")})
        >>> bytes(body.joined()[8:9])
        b'{'
    """

    name: ClassVar[str] = "safetensors"
    extension: ClassVar[str] = "safetensors"
    media_type: ClassVar[str] = "application/octet-stream"
    claims: ClassVar[tuple[str, ...]] = ()

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        check_arrays(value, self.name)
        numpy = library("safetensors.numpy", self.name, "safetensors")
        import numpy as np

        if _RESERVED in value:
            msg = f"safetensors keeps the name {_RESERVED!r} for itself"
            raise EncodeError(msg, hint="rename the array")
        for name, array in value.items():
            if array.dtype.name not in _DTYPES or not array.dtype.isnative:
                msg = f"safetensors cannot hold the dtype {array.dtype} of the array {name!r}"
                hint = f"convert it to one of {', '.join(_DTYPES)}, or choose format='npz'"
                raise EncodeError(msg, hint=hint)
        # The library writes the memory as it lies there, also of a transposed array.
        arrays = {
            name: np.ascontiguousarray(array).reshape(array.shape) for name, array in value.items()
        }
        try:
            return Body.of(numpy.save(arrays))
        except Exception as error:
            msg = f"safetensors cannot hold these arrays: {error}"
            raise EncodeError(msg, hint="rename them, or choose format='npz'") from error

    def decode(self, payload: Payload, as_type: Any) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        uri = payload.info.uri
        check_asked(as_type, uri)
        numpy = library("safetensors.numpy", self.name, "safetensors")
        try:
            found = numpy.load(bytes(payload.data))
            # The library gives them in another order each time.
            return {key: found[key] for key in sorted(found)}
        except KeyError as error:
            msg = f"{uri} holds an array of the dtype {error}, which NumPy does not have"
            raise DecodeError(
                msg, uri=uri, hint="read it with the library that wrote it"
            ) from error
        except Exception as error:
            # The errors of its parser have no class in common.
            msg = f"{uri} is not a readable safetensors file: {error}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error

    def can_structure(self, annotation: Any) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        return is_arrays(annotation)
