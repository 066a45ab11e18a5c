"""Layout ``hive``: an asset is a folder, ``dimension=value`` folders are its partitions.

::

    <part>/<part>/data.<ext>
    <part>/<part>/<dimension>=<value>/…/data.<ext>
    .runs/<run>/<step>/<output>[/<mapping key>]/data.<ext>

Why nothing collides: asset parts, dimension names and run components are percent-encoded down to
``A-Za-z0-9_-``, so they hold neither the ``.`` of a leaf and of ``.runs`` nor the ``=`` of a
partition. The encoding is reversible, ``~`` (which marks a shortened component) and a lone ``%``
(the empty component) cannot come out of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError, InvalidKeyError

__all__ = ["HiveLayout"]

_RUNS = ".runs"
_LEAF = "data."
#: A component is shortened above this many bytes (ext4 and most file systems end at 255).
_COMPONENT_LIMIT = 200
_EMPTY = "%"
_HASHED = "~"
#: A partition folder of this value is NULL to every Hive reader.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.-]*", re.ASCII)
_EXTENSION = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HiveLayout:
    """The default layout. Readable by DuckDB, Polars, Arrow, Spark and Athena as a Hive table.

    Guarantee: distinct addresses have distinct keys, no key is a folder of another, none leaves
    the prefix, and ``parse`` inverts ``key`` unless a component was longer than 200 bytes once
    encoded.

    Example:
        >>> HiveLayout().key(AssetAddress.of(["sales", "orders"], "2024-01-01-00:00"), "parquet")
        'sales/orders/partition=2024-01-01-00%3A00/data.parquet'
    """

    name: str = "hive"

    def key(self, address: Address, extension: str) -> str:
        """See :meth:`Layout.key <dagster_buckets.layouts.base.Layout.key>`."""
        if not _EXTENSION.fullmatch(extension):
            msg = f"{extension!r} is not an extension: letters, digits, '_', '-' and inner dots"
            raise ConfigurationError(msg)
        return self.stem(address) + extension

    def stem(self, address: Address) -> str:
        """See :meth:`Layout.stem <dagster_buckets.layouts.base.Layout.stem>`."""
        if isinstance(address, AssetAddress):
            folder = [_encode_name(part) for part in address.path]
            folder += [_encode_dimension(name, value) for name, value in address.partition]
        else:
            folder = [_RUNS, _encode_name(address.run_id), _encode_name(address.step_key)]
            folder.append(_encode_name(address.output_name))
            if address.mapping_key is not None:
                folder.append(_encode_name(address.mapping_key))
        return "/".join([*folder, _LEAF])

    def folder(self, path: tuple[str, ...]) -> str:
        """See :meth:`Layout.folder <dagster_buckets.layouts.base.Layout.folder>`."""
        return "".join(_encode_name(part) + "/" for part in path)

    def parse(self, key: str) -> tuple[Address, str] | None:
        """See :meth:`Layout.parse <dagster_buckets.layouts.base.Layout.parse>`."""
        *folder, leaf = key.split("/")
        extension = leaf.removeprefix(_LEAF)
        if not folder or extension == leaf or not _EXTENSION.fullmatch(extension):
            return None
        try:
            address = _parse_run(folder) if folder[0] == _RUNS else _parse_asset(folder)
        except (UnicodeError, ConfigurationError):
            return None
        # A key that anybody else wrote may decode to an address whose own key is another one.
        if address is None or self.stem(address) + extension != key:
            return None
        return address, extension


def _parse_run(folder: list[str]) -> OpAddress | None:
    names = [_decode(component) for component in folder[1:]]
    if len(names) not in (3, 4):
        return None
    return OpAddress(*names)


def _parse_asset(folder: list[str]) -> AssetAddress | None:
    split = next((i for i, component in enumerate(folder) if "=" in component), len(folder))
    partition = [component.partition("=") for component in folder[split:]]
    if split == 0 or any(separator == "" for _, separator, _ in partition):
        return None
    return AssetAddress(
        tuple(_decode(part) for part in folder[:split]),
        tuple(
            (_decode(name), "" if value == "" else _decode(value)) for name, _, value in partition
        ),
    )


def _encode_name(name: str, limit: int = _COMPONENT_LIMIT) -> str:
    plain = _PLAIN_NAME.fullmatch(name)
    encoded = name if plain else _percent_encode(name).replace(".", "%2E") or _EMPTY
    return encoded if len(encoded) <= limit else _shorten(encoded, name, limit)


def _encode_dimension(name: str, value: str) -> str:
    # Shortened apart from each other, so that the "=" always stays.
    prefix = _encode_name(name, _COMPONENT_LIMIT // 2) + "="
    encoded = value if _PLAIN_VALUE.fullmatch(value) else _percent_encode(value)
    limit = _COMPONENT_LIMIT - len(prefix)
    fits = len(encoded) <= limit and value != _HIVE_NULL
    return prefix + (encoded if fits else _shorten(encoded, value, limit))


def _percent_encode(text: str) -> str:
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        msg = f"{text!r} holds a lone surrogate, which no object key can carry"
        raise InvalidKeyError(msg, hint="use valid Unicode in asset and partition keys") from error
    # quote keeps '~' unasked, but here it marks what was shortened.
    return quote_from_bytes(raw, safe="").replace("~", "%7E")


def _shorten(encoded: str, original: str, limit: int) -> str:
    digest = hashlib.sha256(original.encode()).hexdigest()[:32]
    head = encoded[: limit - len(_HASHED) - len(digest)]
    # Do not leave half of a percent escape at the cut.
    head = re.sub(r"%[0-9A-F]?$", "", head)
    return f"{head}{_HASHED}{digest}"


def _decode(component: str) -> str:
    return "" if component == _EMPTY else unquote_to_bytes(component).decode()
