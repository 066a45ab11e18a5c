"""Layout ``hive``: an asset is a folder, ``dimension=value`` folders are its partitions.

::

    <part>/<part>/data.<ext>
    <part>/<part>/<dimension>=<value>/…/data.<ext>
    .runs/<run>/<step>/<output>[/<mapping key>]/data.<ext>

Why nothing collides: asset parts, dimension names and run components are encoded (``encoding.py``)
and then hold neither the ``.`` of a leaf and of ``.runs`` nor the ``=`` of a partition, and the
encoding is reversible.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from dagster_buckets.address import Address, AssetAddress
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.layouts.encoding import (
    COMPONENT_LIMIT,
    check_extension,
    decode,
    encode_name,
    encode_value,
    shorten,
)
from dagster_buckets.layouts.runs import RUNS, parse_run, run_stem

__all__ = ["HiveLayout", "hive_folder"]

_LEAF = "data."
#: A partition folder of this value is NULL to every Hive reader.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def hive_folder(name: str, value: str | None) -> str:
    """The folder of one value of a dimension or a column; ``None`` is what Hive takes for a null.

    Two values never share a folder.

    Example:
        >>> hive_folder("day", "2024-01-01 00:00"), hive_folder("day", None)
        ('day=2024-01-01%2000%3A00/', 'day=__HIVE_DEFAULT_PARTITION__/')
    """
    prefix, room = _dimension_prefix(name)
    if value is None:
        return f"{prefix}{_HIVE_NULL}/"
    encoded = shorten(value, value, room) if value == _HIVE_NULL else encode_value(value, room)
    return f"{prefix}{encoded}/"


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
    exclusive: bool = True

    def key(self, address: Address, extension: str) -> str:
        """See :meth:`Layout.key <dagster_buckets.layouts.base.Layout.key>`."""
        return self.stem(address) + check_extension(extension)

    def stem(self, address: Address) -> str:
        """See :meth:`Layout.stem <dagster_buckets.layouts.base.Layout.stem>`."""
        if not isinstance(address, AssetAddress):
            return run_stem(address)
        folder = _folder(address.path)
        for name, value in address.partition:
            folder += hive_folder(name, value)
        return folder + _LEAF

    def split(self, key: str) -> tuple[tuple[str, str], ...]:
        """See :meth:`Layout.split <dagster_buckets.layouts.base.Layout.split>`."""
        end = key.find(".", key.rfind("/") + 1) + 1
        return ((key[:end], key[end:]),) if end else ()

    def prefix(self, path: tuple[str, ...]) -> str:
        """See :meth:`Layout.prefix <dagster_buckets.layouts.base.Layout.prefix>`."""
        return _folder(path)

    def parse(self, key: str) -> tuple[Address, str] | None:
        """See :meth:`Layout.parse <dagster_buckets.layouts.base.Layout.parse>`."""
        *folder, leaf = key.split("/")
        extension = leaf.removeprefix(_LEAF)
        if not folder or extension == leaf:
            return None
        try:
            address = parse_run(folder) if folder[0] == RUNS else _parse_asset(folder)
            # A key that anybody else wrote may decode to an address whose own key is another one.
            if address is None or self.key(address, extension) != key:
                return None
        except (UnicodeError, ConfigurationError):
            return None
        return address, extension


def _parse_asset(folder: list[str]) -> AssetAddress | None:
    split = next((i for i, component in enumerate(folder) if "=" in component), len(folder))
    partition = [component.partition("=") for component in folder[split:]]
    if split == 0 or any(separator == "" for _, separator, _ in partition):
        return None
    return AssetAddress(
        tuple(decode(part) for part in folder[:split]),
        tuple((decode(name), "" if value == "" else decode(value)) for name, _, value in partition),
    )


@lru_cache(maxsize=4096)
def _folder(path: tuple[str, ...]) -> str:
    return "".join(encode_name(part) + "/" for part in path)


@lru_cache(maxsize=4096)
def _dimension_prefix(name: str) -> tuple[str, int]:
    # Name and value are shortened apart from each other, so that the "=" always stays.
    prefix = encode_name(name, COMPONENT_LIMIT // 2) + "="
    return prefix, COMPONENT_LIMIT - len(prefix)
