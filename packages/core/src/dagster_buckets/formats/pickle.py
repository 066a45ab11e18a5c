"""Format ``pickle``: any picklable Python value. Never chosen unless it is named or allowed."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.errors import DecodeError, EncodeError
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.options import setting
from dagster_buckets.formats.pickle_buffers import dumps, loads
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.objects import Body, Payload

__all__ = ["PickleFormat"]


@dataclass(frozen=True)
class PickleFormat:
    r"""Any picklable value. Large buffers, such as those of arrays, are not copied on the way.

    Loading runs code that the object names: trust everyone who can write the bucket, set a
    ``pickle_key``, or do not use it.

    Args:
        signing_keys: With these only what was signed is loaded; checked before anything of it is
            unpickled.

    Example:
        >>> PickleFormat().encode({1, 2}).joined()[:2]
        b'\x80\x05'
    """

    name: ClassVar[str] = "pickle"
    extension: ClassVar[str] = "pickle"
    media_type: ClassVar[str] = "application/octet-stream"
    claims: ClassVar[tuple[str, ...]] = ()
    runs_code: ClassVar[bool] = True

    signing_keys: SigningKeys | None = setting(  # noqa: RUF009 - it makes a field
        "signing_keys", lambda: None, secret=True
    )

    def encode(self, value: Any) -> Body:
        """See :class:`~dagster_buckets.formats.base.Format`."""
        try:
            pieces = dumps(lambda file: self._dump(value, file))
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
            msg = f"{qualified(type(value))} cannot be pickled: {error}"
            raise EncodeError(msg, hint="define the class in a module") from error
        if self.signing_keys is None:
            return Body.of(*pieces)
        return Body.of(*pieces, self.signing_keys.trailer(pieces))

    def decode(self, payload: Payload, as_type: type | None) -> Any:  # noqa: ARG002
        """See :class:`~dagster_buckets.formats.base.Format`; ``as_type`` is left to Dagster."""
        uri, data = payload.info.uri, payload.data
        if self.signing_keys is not None:
            data = self.signing_keys.verified(data, uri)
        try:
            return loads(data)
        except ModuleNotFoundError as error:
            msg = f"{uri} holds a pickle that needs the module {error.name!r}"
            raise DecodeError(msg, uri=uri, hint=f"install {error.name!r} here") from error
        except Exception as error:
            # Unpickling runs the classes' own code, so any exception can come out of it.
            msg = f"{uri} is not a readable pickle: {type(error).__name__}: {error}"
            hint = "was it written by another version of the code? materialize it again"
            raise DecodeError(msg, uri=uri, hint=hint) from error

    def _dump(self, value: Any, file: Any) -> None:
        pickle.dump(value, file, protocol=5)
