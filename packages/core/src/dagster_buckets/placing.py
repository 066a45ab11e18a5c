"""Placing: under which key a value lies, in which format, and whose value an object is."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import cast

from dagster_buckets.address import Address, asset_of, label_of, path_of
from dagster_buckets.choosing import Formats, in_parts
from dagster_buckets.errors import (
    ConfigurationError,
    InvalidKeyError,
    ObjectNotFoundError,
    concerning,
)
from dagster_buckets.formats.base import Format, SupportsParts
from dagster_buckets.layouts.base import Layout, SupportsOldStems
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import ObjectInfo
from dagster_buckets.parts import PartFolder
from dagster_buckets.plugins import format_by_extension, names
from dagster_buckets.powers import has_power
from dagster_buckets.stores.base import ObjectStore

__all__ = ["Located", "Places"]


@dataclass(frozen=True, slots=True)
class Located:
    """Where a value lies and in which format it is.

    Attributes:
        places: In which store, seen through which layout.
        address: Whose value it is.
        key: Where it is written.
        format: How to decode it.
        old_keys: Where else it may lie, if it was written long ago.
        lacking: The URIs at which other stores were asked for it first, and do not have it.
    """

    places: Places = field(repr=False, compare=False)
    address: Address
    key: str
    format: Format
    old_keys: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """Of the object where it is written."""
        return self.places.store.uri(self.key)


@dataclass(frozen=True, slots=True)
class Places:
    """A store seen through a layout.

    Args:
        store: Where the objects are.
        layout: Under which keys.
        general: The layout of everything else in this store, where ``layout`` is for one asset.
        formats: How the formats are set.
    """

    store: ObjectStore
    layout: Layout
    general: Layout | None = None
    formats: Formats = field(default_factory=Formats)

    def at(self, address: Address, chosen: Format) -> Located:
        """Where a value in this format lies, if it is there. No request.

        Raises:
            InvalidKeyError: The layout refuses the address.
        """
        key = self.layout.key(address, chosen.extension)
        if not has_power(self.layout, SupportsOldStems):
            return Located(self, address, key, chosen)
        ending = key.removeprefix(self.layout.stem(address))
        stems = cast("SupportsOldStems", self.layout).old_stems(address)
        old = tuple(stem + ending for stem in stems)
        return Located(self, address, key, chosen, old)

    def find(
        self, addresses: Sequence[Address], only: Format | None = None
    ) -> list[Located | None]:
        """Where each value lies, by one listing for each asset; ``None`` where it shows none.

        Args:
            addresses: Whose values.
            only: The format they shall be in, if it is known.

        Raises:
            ConfigurationError: Two objects of one address are equally new, or the newest is in
                a format that is not installed.
        """
        found = self.listed(addresses)

        known = {} if only is None else {only.extension: only}
        if only is not None and not has_power(only, SupportsParts):
            with suppress(ConfigurationError):
                known[f"{only.extension}.{MANIFEST}"] = in_parts(only)

        def fitting(address: Address) -> list[tuple[str, ObjectInfo]]:
            return [way for way in found[address] if only is None or way[0] in known]

        return [self._newest(address, fitting(address), known) for address in addresses]

    def listed(self, addresses: Sequence[Address]) -> dict[Address, list[tuple[str, ObjectInfo]]]:
        """The objects of each value with their extensions, by one listing for each asset."""
        found: dict[Address, list[tuple[str, ObjectInfo]]] = {a: [] for a in addresses}
        together: dict[object, dict[str, Address]] = {}
        for address in addresses:
            stems = together.setdefault(path_of(address) or address, {})
            stems.update((stem, address) for stem in self._stems(address))
        for stems in together.values():
            # Character by character: the prefix of a listing need not be a folder.
            prefix = os.path.commonprefix(list(stems))  # noqa: RUF071
            for info in self.store.scan(prefix):
                for stem, extension in self._ways(info):
                    if stem in stems:
                        found[stems[stem]].append((extension, info))
        return found

    def parts_of(self, key: str, chosen: Format) -> PartFolder:
        """Where the parts of a value lie whose manifest has this key."""
        return PartFolder(self.store, key.removesuffix(chosen.extension))

    def in_parts(self, located: Located) -> Located | None:
        """Where the manifest of a value is of which only the format was known, if it has one."""
        if has_power(located.format, SupportsParts) or not self.layout.exclusive:
            return None
        try:
            other = in_parts(located.format)
        except ConfigurationError:
            return None
        key = self.layout.key(located.address, other.extension)
        if not self.store.exists(key):
            return None
        return replace(located, key=key, format=other, old_keys=())

    def exists(self, located: Located) -> bool:
        """Whether the object is there, asked in another way (a 404 can be transient)."""
        return any(self.store.exists(key) for key in (located.key, *located.old_keys))

    def check_before_write(self, address: Address, key: str) -> None:
        """Refuse to overwrite the value of another address.

        No request under an exclusive layout.

        Raises:
            InvalidKeyError: The key is another's.
        """
        if self.layout.exclusive:
            return
        if self.general is not None and self.general.exclusive:
            owner = self.general.parse(key)
            if owner is not None and owner[0] != address:
                msg = f"the layout {self.layout.name!r} of {asset_of(address)} leads to {key!r}, "
                msg += f"which is the key of {owner[0]}"
                raise InvalidKeyError(msg, hint="change the metadata dagster_buckets/layout")
        try:
            info = self.store.head(key)
        except ObjectNotFoundError:
            return
        self.check_owner(address, info)

    def check_owner(self, address: Address, info: ObjectInfo) -> None:
        """Refuse an object that says of itself that it is the value of another address.

        Raises:
            InvalidKeyError: It does. What others wrote says nothing.
        """
        label = info.header.address if info.header else None
        if self.layout.exclusive or label is None or label == label_of(address):
            return
        msg = f"{info.uri} holds the value of {label}, and the layout {self.layout.name!r} gives "
        msg += f"{address} the same key"
        hint = "use layout='hive', under which no two values share a key, for one of them"
        raise InvalidKeyError(msg, uri=info.uri, hint=hint)

    def somewhere(self, address: Address) -> str:
        """The URI up to the extension, for messages about a value whose format is not known."""
        return self.store.uri(self.layout.stem(address) + "x")[: -len("x")] + "*"

    def nothing_stored(
        self, address: Address, at: Located | None = None, lacking: Sequence[str] = ()
    ) -> ObjectNotFoundError:
        """The error for a value that is not there; lists its siblings to say what is.

        Args:
            address: Whose value.
            at: Where it should be.
            lacking: As :attr:`Located.lacking`.
        """
        uri = self.store.uri(at.key) if at else self.somewhere(address)
        msg = f"nothing is stored for {address}"
        lacking = at.lacking if at else lacking
        hint = "materialize it first, or check the manager's bucket, prefix and layout"
        other = self._sibling(address, at) if at else None
        if at and other:
            msg += f" in format {at.format.name!r}"
            hint = f"there is {other}, which this format does not read: materialize it again"
        if lacking:
            msg += f" at {', '.join([*lacking, uri])}"
        error = ObjectNotFoundError(msg, uri=uri, hint=hint)
        error.subject = str(address)
        return error

    def _stems(self, address: Address) -> tuple[str, ...]:
        stem = self.layout.stem(address)
        if has_power(self.layout, SupportsOldStems):
            return (stem, *cast("SupportsOldStems", self.layout).old_stems(address))
        return (stem,)

    def _sibling(self, address: Address, at: Located) -> str | None:
        stem = self.layout.stem(address)
        for info in self.store.scan(stem):
            if info.key != at.key and any(way == stem for way, _ in self._ways(info)):
                return info.uri
        return None

    def _ways(self, info: ObjectInfo) -> list[tuple[str, str]]:
        ways = self.layout.split(info.key)
        if self.layout.exclusive:
            return list(ways)
        # Where a key can be read in several ways, an unknown extension is a part of a name.
        return [way for way in ways if not way[1] or format_by_extension(way[1])]

    def _newest(
        self,
        address: Address,
        found: list[tuple[str, ObjectInfo]],
        known: Mapping[str, Format],
    ) -> Located | None:
        if not found:
            return None
        newest = max(info.modified for _, info in found)
        candidates = [(extension, info) for extension, info in found if info.modified == newest]
        uris = sorted(info.uri for _, info in candidates)
        with concerning(str(address), uris[0]):
            if len(candidates) > 1:
                msg = f"{' and '.join(uris)} are equally new"
                hint = "name one in the metadata dagster_buckets/format, or delete the other"
                raise ConfigurationError(msg, hint=hint)
            extension, info = candidates[0]
            chosen = known.get(extension) or self._format_of(extension, info)
            return Located(self, address, info.key, chosen)

    def _format_of(self, extension: str, info: ObjectInfo) -> Format:
        chosen = self.formats.found(extension)
        if chosen is None and not extension:
            header = self.store.head(info.key).header
            if header and header.format:
                return self.formats.trusted(self.formats.named(header.format))
            msg = f"neither the key of {info.uri} nor what is kept beside it tells its format"
            hint = "name it in the metadata dagster_buckets/format, or end the template in .{ext}"
            raise ConfigurationError(msg, hint=hint)
        if chosen is None:
            msg = f"no installed format ({', '.join(names('formats'))}) reads {info.uri}"
            hint = "install the plugin that wrote it, or delete it if it is not a value"
            raise ConfigurationError(msg, hint=hint)
        return chosen
