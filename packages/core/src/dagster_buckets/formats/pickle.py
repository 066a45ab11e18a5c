"""Format ``pickle``: any picklable Python value. Never chosen unless it is named."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.objects import Body, Payload

__all__ = ["PickleFormat"]


@dataclass(frozen=True, slots=True)
class PickleFormat:
    r"""Any picklable value.

    Loading runs code that the object names: trust everyone who can write the bucket, or do not
    use it.

    Example:
        >>> PickleFormat().encode({1, 2}).joined()[:2]
        b'\x80\x05'
    """

    name: ClassVar[str] = "pickle"
    extension: ClassVar[str] = "pickle"
    media_type: ClassVar[str] = "application/octet-stream"
    claims: ClassVar[tuple[str, ...]] = ()
    runs_code: ClassVar[bool] = True

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        try:
            return Body.of(pickle.dumps(value, protocol=5))
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
            msg = f"{qualified(type(value))} cannot be pickled: {error}"
            raise EncodeError(msg, hint="define the class in a module") from error

    def decode(self, payload: Payload, as_type: type | None) -> Any:  # noqa: ARG002
        """See :class:`~dagster_buckets.formats.base.Format`; ``as_type`` is left to Dagster."""
        uri = payload.info.uri
        try:
            return pickle.loads(payload.data)  # noqa: S301 - the user named this format
        except ModuleNotFoundError as error:
            msg = f"{uri} holds a pickle that needs the module {error.name!r}"
            raise DecodeError(msg, uri=uri, hint=f"install {error.name!r} here") from error
        except Exception as error:
            # Unpickling runs the classes' own code, so any exception can come out of it.
            msg = f"{uri} is not a readable pickle: {type(error).__name__}: {error}"
            hint = "was it written by another version of the code? materialize it again"
            raise DecodeError(msg, uri=uri, hint=hint) from error
