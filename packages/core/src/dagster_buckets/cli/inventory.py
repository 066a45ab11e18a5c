"""Inventories: the objects of a bucket, each with the value that it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dagster_buckets.address import Address, AssetAddress, OpAddress, address_of_label
from dagster_buckets.errors import BucketsError, ConfigurationError
from dagster_buckets.plugins import format_by_extension

if TYPE_CHECKING:
    from dagster_buckets.cli.source import Source
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
    """

    info: ObjectInfo
    address: Address | None = None
    extension: str = ""

    @property
    def path(self) -> tuple[str, ...] | None:
        """The parts of the asset key; ``None`` for what is no asset's value."""
        return self.address.path if isinstance(self.address, AssetAddress) else None

    @property
    def format(self) -> str | None:
        """The name of its format; ``None`` if no installed one has its extension."""
        found = format_by_extension(self.extension) if self.address else None
        return found[0].name if found else None

    @property
    def compression(self) -> str | None:
        """The codec around the format; ``None`` for none."""
        found = format_by_extension(self.extension) if self.address else None
        return found[1] if found else None


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
    special = _stems(source, special=True)
    entries = [_by_stem(source, info, special) or _by_key(source, info) for info in infos]
    if source.assets and any(entry.address is None for entry in entries):
        # Keys with a hash, or of a layout that cannot be inverted: compare with what may be there.
        stems = _stems(source, special=False)
        entries = [
            (_by_stem(source, entry.info, stems) or entry) if entry.address is None else entry
            for entry in entries
        ]
    unknown = [number for number, entry in enumerate(entries) if entry.address is None]
    for number, entry in zip(
        unknown, _by_header(source, [entries[number] for number in unknown]), strict=True
    ):
        entries[number] = entry
    return entries


def _stems(source: Source, *, special: bool) -> Mapping[str, tuple[Address, Layout]]:
    """The stems of all partitions of the assets with layouts of their own, or of the others."""
    found: dict[str, tuple[Address, Layout]] = {}
    for known in (source.assets or {}).values():
        if (known.layout is not None) != special:
            continue
        layout = source.of(known.path).layout
        for key in known.keys():  # noqa: SIM118 - not a mapping
            address = known.address(key)
            try:
                found[layout.stem(address)] = (address, layout)
            except BucketsError:
                continue  # what cannot be stored is not there
    return found


def _by_stem(
    source: Source, info: ObjectInfo, stems: Mapping[str, tuple[Address, Layout]]
) -> Entry | None:
    del source
    if not stems:
        return None
    layouts = {id(layout): layout for _, layout in stems.values()}
    for layout in layouts.values():
        for stem, extension in layout.split(info.key):
            known = stems.get(stem)
            if known and known[1] is layout and (not extension or format_by_extension(extension)):
                return Entry(info, known[0], extension)
    return None


def _by_key(source: Source, info: ObjectInfo) -> Entry:
    try:
        parsed = source.values.layout.parse(info.key)
    except ConfigurationError:  # this layout's keys tell nothing
        parsed = None
    return Entry(info, *parsed) if parsed else Entry(info)


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
        extensions = [e for found, e in layout.split(info.key) if found == stem]
        # The object may be a copy under a key of another value.
        return Entry(info, address, extensions[0]) if extensions else replace(entry, info=info)

    outcomes = run_all(asked, entries, max_concurrency=source.values.max_concurrency)
    return [outcome.result or outcome.item for outcome in outcomes]


def newest(entries: Iterable[Entry]) -> datetime | None:
    """When the last of them was written."""
    return max((entry.info.modified for entry in entries), default=None)
