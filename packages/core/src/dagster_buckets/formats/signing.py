"""Signing: what runs code when it is read is read only if someone with a key wrote it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dagster_buckets.errors import ConfigurationError, IntegrityError
from dagster_buckets.objects import Buffer

__all__ = ["SigningKeys"]

_MIN_SECRET = 16
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Behind the value, where readers of pickles do not look: a copy of the object keeps it.
_TRAILER = re.compile(rb"\ndagster-buckets-hmac-sha256:([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})\n\Z")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Keys by their ids: the first signs, all of them verify.

    To change a key, put the new one first; take the old one out when all that it signed was
    written again.

    Args:
        secrets: ``{id: secret}``.

    Example:
        >>> keys = SigningKeys.parse("2026-11:correct-horse-battery")
        >>> signed = b"value" + keys.trailer([b"value"])
        >>> bytes(keys.verified(signed, "memory://x"))
        b'value'
    """

    secrets: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SigningKeys:
        """Keys from ``id:secret``, several of them separated by commas or white space.

        Raises:
            ConfigurationError: They are not written like this, an id comes twice, or a secret has
                fewer than 16 characters. No secret is in the message.
        """
        secrets: dict[str, bytes] = {}
        for number, entry in enumerate(re.split(r"[\s,]+", text.strip()), start=1):
            name, _, secret = entry.partition(":")
            if not _ID.fullmatch(name) or len(secret) < _MIN_SECRET or name in secrets:
                msg = f"entry {number} of pickle_key is no new 'id:secret' with a secret of "
                msg += f"{_MIN_SECRET} characters or more"
                hint = "write pickle_key=EnvVar(…) of '2026-11:<random text>', the newest key first"
                raise ConfigurationError(msg, hint=hint)
            secrets[name] = secret.encode()
        return cls(secrets)

    def trailer(self, buffers: Iterable[Buffer]) -> bytes:
        """What to put behind these bytes."""
        name, secret = next(iter(self.secrets.items()))
        digest = _digest(secret, name.encode(), buffers)
        return b"\ndagster-buckets-hmac-sha256:%b:%b\n" % (name.encode(), digest.encode())

    def verified(self, data: Buffer, uri: str) -> memoryview:
        """The bytes before the trailer, if one of the keys made it. Nothing is copied.

        Raises:
            IntegrityError: There is no trailer, its key is not among these, or it is not that of
                these bytes.
        """
        view = memoryview(data)
        found = _TRAILER.search(bytes(view[-_LONGEST:]))
        if found is None:
            msg = f"{uri} is not signed, so it was not read: reading it would run code"
            hint = "materialize it again, or load it with a manager without pickle_key"
            raise IntegrityError(msg, uri=uri, hint=hint)
        name = found[1].decode()
        if name not in self.secrets:
            msg = f"{uri} was signed with the key {name!r}, which pickle_key does not have"
            raise IntegrityError(msg, uri=uri, hint="add that key behind the newest one")
        signed = view[: len(view) - (found.end() - found.start())]
        expected = _digest(self.secrets[name], found[1], [signed])
        if not hmac.compare_digest(expected.encode(), found[2]):
            msg = f"{uri} was not signed with the key {name!r}, or was changed since"
            hint = "find out who can write the bucket; then materialize it again"
            raise IntegrityError(msg, uri=uri, hint=hint)
        return signed


def _digest(secret: bytes, name: bytes, buffers: Iterable[Buffer]) -> str:
    state = hmac.new(secret, digestmod="sha256")
    for buffer in buffers:
        state.update(buffer)
    state.update(name)
    return state.hexdigest()
