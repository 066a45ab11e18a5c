"""Inventories: the objects of a bucket, each with the value that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dagster_buckets.address import Address, AssetAddress, OpAddress, address_of_label
from dagster_buckets.errors import BucketsError, ConfigurationError
from dagster_buckets.names import MANIFEST
from dagster_buckets.parts import FOLDER, whose
from dagster_buckets.plugins import format_by_extension

if TYPE_CHECKING:
    from dagster_buckets.cli.source import Source
    from dagster_buckets.formats.base import Format
    from dagster_buckets.formats.compression import Codec
    from dagster_buckets.layouts.base import Layout
    from dagster_buckets.objects import ObjectInfo

__all__ = ["Entry", "inventory", "name_of", "newest", "partition_of", "split_target"]

#: What is told about progress: the objects so far.
Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a bucket.

    Attributes:
        info: What the store says of it.
        address: Whose value it is; ``None`` if nothing tells, as for files of other tools.
        extension: What tells its format; empty if its key does not.
        parts: What lies in the folder of its parts, if it is the newest manifest there; what it
            does not name, too.
        part_of: Whose part it would be, if a manifest named it; it has no address then.
    """

    info: ObjectInfo
    address: Address | None = None
    extension: str = ""
    parts: tuple[ObjectInfo, ...] = ()
    part_of: Address | None = None

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        """Itself and its parts."""
        return (self.info, *self.parts)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(info.size for info in self.objects)

    @property
    def is_manifest(self) -> bool:
        """Whether its value lies in parts."""
        return self.extension.endswith(f".{MANIFEST}")

    @property
    def path(self) -> tuple[str, ...] | None:
        """The parts of the asset key; ``None`` for what is no asset's value."""
        return self.address.path if isinstance(self.address, AssetAddress) else None

    @property
    def format(self) -> str | None:
        """The name of its format; ``None`` if no installed one has its extension."""
        found = self._format()
        return found[0].name if found else None

    @property
    def compression(self) -> str | None:
        """The codec around the format; ``None`` for none."""
        found = self._format()
        return found[1] if found else None

    def _format(self) -> tuple[Format, Codec | None] | None:
        if not self.address:
            return None
        return format_by_extension(self.extension.removesuffix(f".{MANIFEST}"))


def name_of(address: Address | None) -> str | None:
    """An asset key as Dagster prints it, or an op's output as ``run/step/output``."""
    if isinstance(address, AssetAddress):
        return "/".join(address.path)
    if isinstance(address, OpAddress):
        mapped = () if address.mapping_key is None else (address.mapping_key,)
        return "/".join((address.run_id, address.step_key, address.output_name, *mapped))
    return None


def partition_of(address: Address | None) -> str | None:
    """A partition key as Dagster prints it: several dimensions joined by ``|``."""
    if isinstance(address, AssetAddress) and address.partition:
        return "|".join(value for _, value in address.partition)
    return None


def inventory(
    source: Source, targets: Sequence[str] = (), *, tick: Tick = lambda _: None
) -> list[Entry]:
    """What lies in a bucket, in the order of the keys.

    One listing for each target, or one for all. An object whose key does not tell its value is
    asked for its header, one request for each of them.

    Args:
        source: The bucket.
        targets: Assets or partitions, ``asset`` or ``asset@partition``; none for everything.
        tick: Called with the number of objects that were found, now and then.

    Raises:
        ConfigurationError: Nothing is stored for a target.
        StoreError: The store does not answer, or refuses.
    """
    if not targets:
        return _recognized(source, _listed(source, [""], tick))
    found: dict[str, Entry] = {}
    for target in targets:
        meant = _meant(source, target, tick)
        if not meant:
            msg = f"nothing is stored for {target!r} in {source.base}"
            raise ConfigurationError(msg, hint="see what there is: dagster-buckets ls")
        found.update((entry.info.key, entry) for entry in meant)
    return [found[key] for key in sorted(found)]


def split_target(target: str) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """What ``asset@partition`` can mean: asset and partition keys may hold an ``@``, too."""
    yield tuple(target.split("/")), None
    for place, letter in enumerate(target):
        if letter == "@" and place:
            yield tuple(target[:place].split("/")), target[place + 1 :]


def _meant(source: Source, target: str, tick: Tick) -> list[Entry]:
    for path, partition in split_target(target):
        if "" in path and path not in (source.assets or {}):
            continue
        try:
            prefix = source.of(path).layout.prefix(path)
        except BucketsError:
            continue  # a layout that cannot hold such a key
        entries = _recognized(source, _listed(source, [prefix], tick))
        meant = [
            entry
            for entry in entries
            if entry.path == path and (partition is None or _is(entry, partition))
        ]
        if meant:
            return meant
    return []


def _is(entry: Entry, partition: str) -> bool:
    if not isinstance(entry.address, AssetAddress):
        return False
    spelled = ",".join(f"{name}={value}" for name, value in entry.address.partition)
    return partition in (partition_of(entry.address), spelled)


def _listed(source: Source, prefixes: Iterable[str], tick: Tick) -> list[ObjectInfo]:
    found: dict[str, ObjectInfo] = {}
    for prefix in prefixes:
        for info in source.values.store.scan(prefix):
            found[info.key] = info
            tick(len(found))
    return list(found.values())


def _recognized(source: Source, infos: Sequence[ObjectInfo]) -> list[Entry]:
    """The objects with their values: by the assets' own layouts, by the key, or by the header."""
    special = _Stems.of(source, own_layout=True)
    entries = [special.find(info) or _by_key(source, info) for info in infos]
    if source.assets and any(entry.address is None for entry in entries):
        # Keys with a hash, or of a layout that cannot be inverted: compare with what may be there.
        stems = _Stems.of(source, own_layout=False)
        entries = [
            (stems.find(entry.info) or entry) if entry.address is None else entry
            for entry in entries
        ]
    unknown = [
        number
        for number, entry in enumerate(entries)
        if entry.address is None and entry.part_of is None
    ]
    asked = _by_header(source, [entries[number] for number in unknown])
    for number, entry in zip(unknown, asked, strict=True):
        entries[number] = entry
    return _with_parts(entries)


def _with_parts(entries: Sequence[Entry]) -> list[Entry]:
    """Parts at their manifests; those that have none stay as they are."""
    parts: dict[Address, list[ObjectInfo]] = {}
    for entry in entries:
        if entry.part_of is not None:
            parts.setdefault(entry.part_of, []).append(entry.info)
    newest: dict[Address, Entry] = {}
    for entry in entries:
        if entry.address in parts and entry.is_manifest:
            other = newest.get(entry.address)
            if other is None or other.info.modified < entry.info.modified:
                newest[entry.address] = entry
    found = []
    for entry in entries:
        if entry.part_of in newest:
            continue
        if entry.address is not None and newest.get(entry.address) is entry:
            found.append(replace(entry, parts=tuple(parts[entry.address])))
        else:
            found.append(entry)
    return found


@dataclass(frozen=True, slots=True)
class _Stems:
    """Where values may lie: the stems of the partitions that the definitions have, by layout."""

    layouts: list[tuple[Layout, dict[str, Address]]]

    @classmethod
    def of(cls, source: Source, *, own_layout: bool) -> _Stems:
        """Of the assets with layouts of their own, or of the others."""
        layouts: list[tuple[Layout, dict[str, Address]]] = []
        shared: dict[str, Address] = {}
        for known in (source.assets or {}).values():
            if (known.layout is not None) != own_layout:
                continue
            layout = source.of(known.path).layout
            stems: dict[str, Address] = {} if own_layout else shared
            for key in known.keys():  # noqa: SIM118 - not a mapping
                address = known.address(key)
                # What cannot be stored is not there.
                with suppress(BucketsError):
                    stems[layout.stem(address)] = address
            if own_layout:
                layouts.append((layout, stems))
        return cls(layouts if own_layout else [(source.values.layout, shared)])

    def find(self, info: ObjectInfo) -> Entry | None:
        for layout, stems in self.layouts:
            for stem, extension in layout.split(info.key):
                address = stems.get(stem)
                if address and (not extension or _is_known(extension)):
                    return Entry(info, address, extension)
        return None


def _is_known(extension: str) -> bool:
    return format_by_extension(extension.removesuffix(f".{MANIFEST}")) is not None


def _by_key(source: Source, info: ObjectInfo) -> Entry:
    try:
        found = whose(source.values.layout, info.key)
    except ConfigurationError:  # this layout's keys tell nothing
        found = None
    if found is None:
        return Entry(info)
    address, extension = found
    if extension is None:
        return Entry(info, part_of=address)
    return Entry(info, address, extension)


def _by_header(source: Source, entries: Sequence[Entry]) -> list[Entry]:
    """Objects as their headers tell them, if the address there leads to the key again."""
    from dagster_buckets.transfer import run_all

    def asked(entry: Entry) -> Entry:
        info = source.values.store.head(entry.info.key)
        label = info.header.address if info.header else None
        address = address_of_label(label) if label else None
        if address is None:
            return replace(entry, info=info)
        layout = source.values.layout
        if isinstance(address, AssetAddress):
            layout = source.of(address.path).layout
        try:
            stem = layout.stem(address)
        except BucketsError:
            return replace(entry, info=info)
        if info.key.startswith(f"{stem}{FOLDER}"):
            return Entry(info, part_of=address)
        extensions = [e for found, e in layout.split(info.key) if found == stem]
        # The object may be a copy under a key of another value.
        return Entry(info, address, extensions[0]) if extensions else replace(entry, info=info)

    outcomes = run_all(asked, entries, max_concurrency=source.values.max_concurrency)
    return [outcome.result or outcome.item for outcome in outcomes]


def newest(entries: Iterable[Entry]) -> datetime | None:
    """When the last of them was written."""
    return max((entry.info.modified for entry in entries), default=None)
