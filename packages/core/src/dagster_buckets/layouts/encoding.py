"""Encoding: names and values as components of an object key, reversibly, in plain ASCII.

The encoding keeps ``A-Za-z0-9_-`` (values also ``.``) and percent-encodes all else, in upper case.
So ``é`` in NFC and in NFD differ on every file system, and a component can hold neither a ``/`` nor
a ``=``. ``~`` and a lone ``%`` cannot come out of it: they mark a component that was shortened to a
hash, and the empty one.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from dagster_buckets.errors import ConfigurationError, InvalidKeyError

__all__ = [
    "COMPONENT_LIMIT",
    "EXTENSION",
    "HASHED",
    "NAME_CHARACTERS",
    "check_extension",
    "decode",
    "encode_name",
    "encode_value",
    "shorten",
]

#: A component is shortened above this many bytes (ext4 and most file systems end at 255).
COMPONENT_LIMIT = 200
#: What marks a component that was shortened.
HASHED = "~"
#: All characters that an encoded name can have, as a class of a regular expression.
NAME_CHARACTERS = "A-Za-z0-9_%~-"
#: The regular expression of a format's extension.
EXTENSION = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"

_EMPTY = "%"
_EXTENSION = re.compile(EXTENSION, re.ASCII).fullmatch


def encode_name(name: str, limit: int = COMPONENT_LIMIT) -> str:
    """A component without ``.`` and ``=``, never empty.

    Raises:
        InvalidKeyError: The name holds a lone surrogate.
    """
    encoded = name.translate(_IN_NAMES) or _EMPTY
    return encoded if len(encoded) <= limit else shorten(encoded, name, limit)


def encode_value(value: str, limit: int = COMPONENT_LIMIT) -> str:
    """What follows the ``=`` of a partition folder: keeps dots, and may be empty.

    Raises:
        InvalidKeyError: The value holds a lone surrogate.
    """
    plain = value.replace("-", "").replace(":", "")
    if plain.isalnum() and plain.isascii():
        # Times, most of all: twice as fast.
        encoded = value.replace(":", "%3A")
    else:
        encoded = value.translate(_IN_VALUES)
    return encoded if len(encoded) <= limit else shorten(encoded, value, limit)


def shorten(encoded: str, original: str, limit: int = COMPONENT_LIMIT) -> str:
    """The start of a component, :data:`HASHED` and 128 bits of the SHA-256 of the original."""
    digest = hashlib.sha256(original.encode()).hexdigest()[:32]
    head = encoded[: limit - len(HASHED) - len(digest)]
    # Do not leave half of a percent escape at the cut.
    head = re.sub(r"%[0-9A-F]?$", "", head)
    return f"{head}{HASHED}{digest}"


def decode(component: str) -> str:
    """The inverse of :func:`encode_name`.

    Raises:
        UnicodeError: It was not encoded here.
    """
    return "" if component == _EMPTY else unquote_to_bytes(component).decode()


@lru_cache(maxsize=256)
def check_extension(extension: str) -> str:
    """Return the extension, or refuse it.

    Raises:
        ConfigurationError: A key could not end in it.
    """
    if not _EXTENSION(extension):
        msg = f"{extension!r} is not an extension: letters, digits, '_', '-' and inner dots"
        raise ConfigurationError(msg, hint="change the extension of the format")
    return extension


@lru_cache(maxsize=4096)
def _percent(character: str) -> str:
    try:
        return "".join(f"%{byte:02X}" for byte in character.encode())
    except UnicodeEncodeError as error:
        msg = f"{character!r} is a lone surrogate, which no object key can carry"
        raise InvalidKeyError(msg, hint="use valid Unicode in asset and partition keys") from error


class _Spelling(dict[int, str]):
    """How each character is spelled; those of ASCII are kept."""

    def __init__(self, kept: str) -> None:
        super().__init__((code, chr(code)) for code in range(128) if re.match(kept, chr(code)))

    def __missing__(self, code: int) -> str:
        spelled = _percent(chr(code))
        if code < 128:  # noqa: PLR2004 - the end of ASCII
            self[code] = spelled
        return spelled


_IN_NAMES, _IN_VALUES = _Spelling("[A-Za-z0-9_-]"), _Spelling("[A-Za-z0-9_.-]")
