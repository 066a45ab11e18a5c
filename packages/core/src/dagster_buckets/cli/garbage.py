"""Garbage: stored objects that nobody needs any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.cli.inventory import Entry, newest

if TYPE_CHECKING:
    from dagster_buckets.cli.source import KnownAsset
    from dagster_buckets.objects import ObjectInfo
    from dagster_buckets.stores.base import ObjectStore

__all__ = ["Garbage", "garbage_in", "unnamed_parts"]


#: How many manifests are read at once.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Garbage:
    """What can go.

    Attributes:
        runs: Outputs of ops by the id of their run, of runs that wrote nothing lately.
        older_formats: Values that were written again in another format, with those that replaced
            them.
        dropped: Values of partitions that their assets do not have any more.
        parts: Parts that no manifest names: of values that were replaced, and of killed writers.
    """

    runs: dict[str, list[Entry]] = field(default_factory=dict)
    older_formats: list[tuple[Entry, Entry]] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    parts: list[ObjectInfo] = field(default_factory=list)

    @property
    def objects(self) -> list[ObjectInfo]:
        """All objects of it."""
        entries = [entry for entries in self.runs.values() for entry in entries]
        entries += [*(old for old, _ in self.older_formats), *self.dropped]
        # Each once: the parts of what goes go with it.
        found = {info.key: info for entry in entries for info in entry.objects}
        found.update((info.key, info) for info in self.parts)
        return list(found.values())


def garbage_in(
    entries: Sequence[Entry],
    older_than: timedelta,
    now: datetime | None = None,
    *,
    assets: Mapping[tuple[str, ...], KnownAsset] | None = None,
) -> Garbage:
    """What can go of an inventory.

    Never the only, or the newest, object of an asset's value, unless its partition was dropped.

    Args:
        entries: What is in the bucket.
        older_than: Runs that wrote within so long stay, and so do values that were replaced within.
        now: The time; that of the machine by default.
        assets: Those of the definitions, if values of partitions that they dropped can go.
    """
    limit = (now or datetime.now(UTC)) - older_than
    runs: dict[str, list[Entry]] = {}
    values: dict[Address, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.address, OpAddress):
            runs.setdefault(entry.address.run_id, []).append(entry)
        elif entry.address is not None:
            values.setdefault(entry.address, []).append(entry)
    found = Garbage()
    for run, outputs in runs.items():
        last = newest(outputs)
        if last is not None and last < limit:
            found.runs[run] = outputs
    dropped = _Dropped(assets or {})
    for address, group in values.items():
        if address in dropped:
            found.dropped.extend(entry for entry in group if entry.info.modified < limit)
            continue
        current = max(group, key=lambda entry: entry.info.modified)
        # Of two that are equally new nobody can say which one counts.
        if current.info.modified < limit:
            found.older_formats.extend(
                (old, current) for old in group if old.info.modified < current.info.modified
            )
    return found


def unnamed_parts(
    store: ObjectStore,
    entries: Sequence[Entry],
    older_than: timedelta,
    now: datetime | None = None,
) -> list[ObjectInfo]:
    """The parts that no manifest names, and nobody can be about to write, or still reading.

    One request for each value that has parts.

    Args:
        store: Where they lie.
        entries: What is in the bucket.
        older_than: Parts that were written within so long stay, and so do those whose manifest was
            replaced within.
        now: The time; that of the machine by default.
    """
    from dagster_buckets.cli.manifests import unnamed
    from dagster_buckets.transfer import run_all

    limit = (now or datetime.now(UTC)) - older_than
    found = [e.info for e in entries if e.part_of is not None and e.info.modified < limit]
    settled = [e for e in entries if e.parts and e.info.modified < limit]
    for outcome in run_all(lambda e: unnamed(store, e), settled, max_concurrency=_AT_ONCE):
        if outcome.error is not None:
            raise outcome.error
        found += [info for info in outcome.result or () if info.modified < limit]
    return found


class _Dropped:
    """The partitions that assets do not have any more.

    An asset that has none at all keeps all of its values: its keys may be dynamic, and the
    instance that knows them another one.
    """

    def __init__(self, assets: Mapping[tuple[str, ...], KnownAsset]) -> None:
        self._assets = assets
        self._there: dict[tuple[str, ...], frozenset[Address]] = {}

    def __contains__(self, address: Address) -> bool:
        if not isinstance(address, AssetAddress) or not address.partition:
            return False
        known = self._assets.get(address.path)
        if known is None:
            return False
        if address.path not in self._there:
            keys = known.partitions() or ()
            self._there[address.path] = frozenset(known.address(key) for key in keys)
        there = self._there[address.path]
        return bool(there) and address not in there
