"""Format ``npy``: one NumPy array, as ``numpy.save`` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dagster_buckets.errors import DecodeError, UnsupportedTypeError
from dagster_buckets.formats.arrays import ARRAY, array_of, buffers_of, check_array
from dagster_buckets.formats.base import Part
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NPYFormat"]

_HINT = "load the partitions as dict[str, numpy.ndarray]"


@dataclass(frozen=True, slots=True)
class NPYFormat:
    r"""Arrays with their dtype, shape, order and byte order, exactly; never a pickle.

    Refused are arrays of Python objects and subclasses of ``numpy.ndarray``. An array that is
    loaded is writable and has memory of its own. Several become one along their first axis, if
    their other axes agree and their values fit one dtype exactly.

    Example:
        >>> import numpy as np
        >>> bytes(NPYFormat().encode(np.arange(3)).joined()[:6])
        b'\x93NUMPY'
    """

    name: ClassVar[str] = "npy"
    extension: ClassVar[str] = "npy"
    media_type: ClassVar[str] = "application/x-npy"
    claims: ClassVar[tuple[str, ...]] = (ARRAY,)

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        check_array(value, self.name)
        return Body.of(*buffers_of(value))

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        uri = payload.info.uri
        if as_type is not None and not self.can_concat(as_type):
            msg = f"{uri} holds an array, which cannot be loaded as {qualified(as_type)}"
            raise UnsupportedTypeError(msg, uri=uri, hint="ask for numpy.ndarray")
        return array_of(payload.data, uri, self.name)

    def can_concat(self, as_type: type) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        return qualified(as_type) == ARRAY

    def part(self, source: Payload | ObjectRef) -> Part:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        payload = source.get() if isinstance(source, ObjectRef) else source
        return Part(payload.info.uri, self.decode(payload, None))

    def concat(
        self,
        parts: Sequence[Part],
        as_type: type,  # noqa: ARG002 - there is only one that can be
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsConcat`."""
        import numpy as np

        if any(columns or ()):
            msg = f"{parts[0].uri} holds an array, to which no partition columns can be added"
            hint = "load it without dagster_buckets/partition_columns"
            raise DecodeError(msg, uri=parts[0].uri, hint=hint)
        if len(parts) == 1:
            return parts[0].value
        first = parts[0]
        for part in parts:
            if part.value.ndim == 0 or part.value.shape[1:] != first.value.shape[1:]:
                msg = f"{part.uri} has the shape {part.value.shape}, and {first.uri} "
                msg += f"{first.value.shape}: they cannot be one array"
                raise DecodeError(msg, uri=part.uri, hint=_HINT)
        dtypes = {part.value.dtype for part in parts}
        # Of one dtype the byte order is kept, which a common dtype of several has not.
        dtype = dtypes.pop() if len(dtypes) == 1 else None
        return np.concatenate(
            [part.value for part in parts] if dtype else _promoted(parts), dtype=dtype
        )


def _promoted(parts: Sequence[Part]) -> list[NDArray[Any]]:
    """The arrays in the dtype that holds the values of all of them exactly."""
    import numpy as np

    made: list[NDArray[Any]] = []
    common = parts[0].value.dtype
    for part in parts:
        try:
            common = _common(common, part.value.dtype)
        except TypeError as error:
            raise _no_common(part, common) from error
    for part in parts:
        array = part.value.astype(common)
        # NumPy calls int64 to float64 safe, and times overflow when their unit gets finer.
        with np.errstate(all="ignore"):
            back = array.astype(part.value.dtype)
        if back.tobytes() != part.value.tobytes():
            raise _no_common(part, common)
        made.append(array)
    return made


def _common(left: Any, right: Any) -> Any:
    import numpy as np

    # NumPy would make text of numbers.
    numbers = "biufc"
    if left.kind != right.kind and not (left.kind in numbers and right.kind in numbers):
        raise TypeError(right)
    return np.promote_types(left, right)


def _no_common(part: Part, common: Any) -> DecodeError:
    msg = (
        f"{part.uri} has the dtype {part.value.dtype}, whose values {common} does not hold exactly"
    )
    return DecodeError(msg, uri=part.uri, hint=_HINT)
