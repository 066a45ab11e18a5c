"""Garbage: stored objects that nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dagster_buckets.address import Address, OpAddress
from dagster_buckets.cli.inventory import Entry, newest

__all__ = ["Garbage", "garbage_in"]


@dataclass(frozen=True, slots=True)
class Garbage:
    """What can go.

    Attributes:
        runs: Outputs of ops by the id of their run, of runs that wrote nothing lately.
        older_formats: Values that were written again in another format, with those that replaced
            them.
    """

    runs: dict[str, list[Entry]] = field(default_factory=dict)
    older_formats: list[tuple[Entry, Entry]] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """All objects of it."""
        of_runs = [entry for entries in self.runs.values() for entry in entries]
        return [*of_runs, *(old for old, _ in self.older_formats)]


def garbage_in(
    entries: Sequence[Entry], older_than: timedelta, now: datetime | None = None
) -> Garbage:
    """What can go of an inventory. Never the only, or the newest, object of an asset's value.

    Args:
        entries: What is in the bucket.
        older_than: Runs that wrote within so long stay, and so do values that were replaced within.
        now: The time; that of the machine by default.
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
    for group in values.values():
        current = max(group, key=lambda entry: entry.info.modified)
        # Of two that are equally new nobody can say which one counts.
        if current.info.modified < limit:
            found.older_formats.extend(
                (old, current) for old in group if old.info.modified < current.info.modified
            )
    return found
