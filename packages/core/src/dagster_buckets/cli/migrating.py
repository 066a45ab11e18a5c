"""Migrating: from one I/O manager of a module to another, ours and any others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from dagster_buckets.address import AssetAddress
from dagster_buckets.choosing import first_named
from dagster_buckets.cli.comparing import Record
from dagster_buckets.cli.copying import copy, format_of, takes
from dagster_buckets.cli.definitions import assets_of, load_repository, values_of
from dagster_buckets.cli.event_log import EventLog
from dagster_buckets.cli.handing import Asset, hand_over, is_there
from dagster_buckets.cli.inventory import Entry, inventory, split_target
from dagster_buckets.cli.managers import Manager, made
from dagster_buckets.cli.moving import (
    AT_ONCE,
    How,
    Journey,
    Move,
    Plan,
    is_newer,
    newest_of,
    order,
    plan_copies,
)
from dagster_buckets.cli.request import Request
from dagster_buckets.cli.source import Source
from dagster_buckets.definitions import location_of
from dagster_buckets.errors import ConfigurationError, ObjectExistsError, ObjectNotFoundError
from dagster_buckets.requests import Options

__all__ = ["between_managers"]

Tick = Callable[[int], None]


@contextmanager
def between_managers(
    request: Request, keys: tuple[str, str], targets: Sequence[str], *, overwrite: bool, tick: Tick
) -> Iterator[Journey]:
    """Plan the way from one I/O manager to another, and keep both until the end.

    Raises:
        ConfigurationError: The module or a manager cannot be used, a target has no value, or an
            event log is needed, and there is none.
        StoreError: A store does not answer, or refuses.
    """
    repository = load_repository(request)
    with EventLog.opened_if_there() as log:
        instance = log.instance if log else None
        with made(repository, keys, instance) as managers:
            old, new = (managers[key] for key in keys)
            sides = _Sides.of(repository, old, new, overwrite=overwrite)
            with _quiet():
                yield sides.journey(log, targets, tick)


@contextmanager
def _quiet() -> Iterator[None]:
    """Contexts without a run say on the console what each load and each write does."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


@dataclass(frozen=True, slots=True)
class _Sides:
    """Two I/O managers, the buckets of those that are ours, and the assets that either keeps."""

    old: Manager
    new: Manager
    old_source: Source | None
    new_source: Source | None
    assets: Mapping[tuple[str, ...], Asset]
    overwrite: bool

    @classmethod
    def of(
        cls, repository: dg.RepositoryDefinition, old: Manager, new: Manager, *, overwrite: bool
    ) -> _Sides:
        everything = assets_of(repository, None)
        kept = {**assets_of(repository, old.key), **assets_of(repository, new.key)}
        definitions = repository.assets_defs_by_key
        assets = {
            path: Asset(known, definitions[dg.AssetKey(list(path))], kept=path in kept)
            for path, known in everything.items()
        }
        one, other = (
            Source(values_of(side.key, side.manager), everything) if side.is_ours else None
            for side in (old, new)
        )
        return cls(old, new, one, other, assets, overwrite)

    def journey(self, log: EventLog | None, targets: Sequence[str], tick: Tick) -> Journey:
        plan = Plan()
        there = None
        if self.new_source is not None:
            there = newest_of(inventory(self.new_source, tick=tick))
        if self.old_source is None:
            self._plan_recorded(EventLog.needed(log), targets, there, plan)
        else:
            entries = newest_of(inventory(self.old_source, targets, tick=tick), plan)
            plan_copies(entries, there or {}, plan, self._move, overwrite=self.overwrite)
        old, new = (
            source.base if source else one.key
            for source, one in ((self.old_source, self.old), (self.new_source, self.new))
        )
        # Dagster never calls an I/O manager from several threads, so nobody knows of others'.
        both = self.old_source is not None and self.new_source is not None
        return Journey(old, new, plan, AT_ONCE if both else 1)

    def _move(self, address: AssetAddress, entry: Entry) -> Move:
        asset = self.assets.get(address.path)
        location = location_of(address, entry.extension)
        partition = location.partition_key if location else None
        if self.old_source is None or self.new_source is None:
            return self._by_value(address, asset, partition, entry.size)
        options = asset.options if asset else Options()
        old, new = (
            source.of(address.path).having(options.format_options)
            for source in (self.old_source, self.new_source)
        )
        stored = format_of(old, entry, first_named(options.format, self.old.format))
        wanted = first_named(options.format, self.new.format)
        if stored is None or not takes(old, new, stored, wanted):
            return self._by_value(address, asset, partition, entry.size)

        def act() -> How:
            copy(old, new, entry, address, stored)
            return "copied"

        return Move(address, "copied", act, entry.size)

    def _by_value(
        self, address: AssetAddress, asset: Asset | None, partition: str | None, size: int | None
    ) -> Move:
        def act() -> How:
            if asset is None:
                msg = "it is not in the definitions, so no I/O manager can load it"
                raise ConfigurationError(msg, hint="add an AssetSpec for it, or leave it behind")
            if self.new_source is None and not self.overwrite:
                found = is_there(self.old, self.new, asset, partition)
                if found is None:
                    msg = f"{self.new.key!r} has another value of it"
                    raise ObjectExistsError(msg, hint="replace it with --overwrite")
                if found:
                    return "there"
            hand_over(self.old, self.new, asset, partition)
            return "converted"

        return Move(address, "converted", act, size)

    def _plan_recorded(
        self,
        log: EventLog,
        targets: Sequence[str],
        there: Mapping[AssetAddress, Entry] | None,
        plan: Plan,
    ) -> None:
        """Plan what was materialized: a manager that is not ours cannot tell what it has."""
        kept = {path: asset for path, asset in self.assets.items() if asset.kept}
        if not kept:
            msg = f"no asset of the definitions is kept by {self.old.key!r} or {self.new.key!r}"
            hint = "name the resource keys that its io_manager_key has, before or after the change"
            raise ConfigurationError(msg, hint=hint)
        records = [
            record
            for record in log.last_materializations(sorted(kept))
            if (record.partition is not None) == kept[record.path].is_partitioned
        ]
        for record in _only(records, targets):
            asset = kept[record.path]
            address = asset.known.address(record.partition)
            move = self._by_value(address, asset, asset.partition(record.partition), None)
            if there is None or self.overwrite:
                plan.moves.append(move)
            elif self._is_of_new(record):
                # Old code has an older value of it, if any.
                plan.moves += [] if address in there else [_lost(record, address)]
                plan.there += address in there
            elif is_newer(there.get(address), record.materialized):
                plan.there += 1
            else:
                plan.moves.append(move)
        plan.moves.sort(key=lambda move: order(move.address))

    def _is_of_new(self, record: Record) -> bool:
        base = self.new_source.base if self.new_source else None
        return base is not None and (record.uri or "").startswith(base)


def _lost(record: Record, address: AssetAddress) -> Move:
    def act() -> How:
        msg = f"its last materialization was written to {record.uri}, where nothing is any more"
        hint = "materialize it again, or move the older value with --overwrite"
        raise ObjectNotFoundError(msg, hint=hint)

    return Move(address, "converted", act)


def _only(records: Sequence[Record], targets: Sequence[str]) -> list[Record]:
    if not targets:
        return list(records)
    chosen: list[Record] = []
    for target in targets:
        meant = [
            record
            for path, partition in split_target(target)
            for record in records
            if record.path == path and partition in (None, record.partition)
        ]
        if not meant:
            msg = f"no materialization of {target!r} is in the event log"
            raise ConfigurationError(msg, hint="see what there is: dagster asset list")
        chosen += [record for record in meant if record not in chosen]
    return chosen
