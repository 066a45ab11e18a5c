"""Moving: which values of one place have to go to another, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from dagster_buckets.address import AssetAddress, OpAddress
from dagster_buckets.cli.copying import copy, format_of
from dagster_buckets.cli.inventory import Entry, inventory, name_of, partition_of
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.names import AUTO

if TYPE_CHECKING:
    from dagster_buckets.cli.source import Source

__all__ = [
    "AT_ONCE",
    "How",
    "Journey",
    "Migration",
    "Move",
    "Plan",
    "between_buckets",
    "is_newer",
    "move_all",
    "newest_of",
    "order",
    "plan_copies",
]

#: How many values are moved at once between stores of ours.
AT_ONCE = 8

#: ``copied``: its bytes as they are. ``converted``: loaded by one I/O manager, written by another.
#: ``there``: it was there already.
How = Literal["copied", "converted", "there"]


@dataclass(frozen=True, slots=True)
class Move:
    """One value that has to go.

    Attributes:
        address: Whose.
        how: What is going to be done.
        act: Does it, and tells what was done.
        size: Bytes as they are stored; ``None`` if nobody knows.
    """

    address: AssetAddress
    how: How
    act: Callable[[], How]
    size: int | None = None


@dataclass(slots=True)
class Plan:
    """What there is to do.

    Attributes:
        moves: In the order of the names.
        there: Values that are there already.
        newer: Of them, those that were written there since, and are not what would be moved.
        ops: Outputs of ops, which stay.
        others: Objects that are no values.
    """

    moves: list[Move] = field(default_factory=list)
    there: int = 0
    newer: list[AssetAddress] = field(default_factory=list)
    ops: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Journey:
    """From where to where.

    Attributes:
        old: For people.
        new: For people.
        plan: What there is to do.
        max_concurrency: How much of it may be done at once.
    """

    old: str
    new: str
    plan: Plan
    max_concurrency: int


@dataclass(slots=True)
class Migration:
    """What was done.

    Attributes:
        copied: Values whose bytes were copied.
        converted: Values that were loaded and written.
        there: Values that were there already.
        size: Bytes of those that were moved, as they were stored before, where that is known.
        failed: What went wrong, by value.
    """

    copied: int = 0
    converted: int = 0
    there: int = 0
    size: int = 0
    failed: list[tuple[AssetAddress, Exception]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many values were tried so far."""
        return self.copied + self.converted + self.there + len(self.failed)


def newest_of(entries: Iterable[Entry], plan: Plan | None = None) -> dict[AssetAddress, Entry]:
    """The newest object of each asset's value; what else there is, is counted in the plan."""
    found: dict[AssetAddress, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.info.modified):
        if isinstance(entry.address, AssetAddress):
            found[entry.address] = entry
        elif plan is not None and isinstance(entry.address, OpAddress):
            plan.ops += 1
        elif plan is not None:
            plan.others += 1
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def is_newer(entry: Entry | None, than: datetime) -> bool:
    """Whether a value was written after another one was.

    To the second, the time of S3: what is as old is moved once more, which harms nobody.
    """
    return entry is not None and entry.info.modified > than


def plan_copies(
    entries: Mapping[AssetAddress, Entry],
    there: Mapping[AssetAddress, Entry],
    plan: Plan,
    move: Callable[[AssetAddress, Entry], Move],
    *,
    overwrite: bool,
) -> None:
    """Plan the moves of stored values.

    A value that was written in the new place after the one in the old place is kept.

    Args:
        entries: The values in the old place.
        there: Those in the new place.
        plan: Gets the moves.
        move: Makes one.
        overwrite: Whether nothing is kept.
    """
    for address, entry in entries.items():
        other = there.get(address)
        if other is None or overwrite or not is_newer(other, entry.info.modified):
            plan.moves.append(move(address, entry))
            continue
        plan.there += 1
        made = move(address, entry)
        if made.how == "copied" and other.info.size != entry.info.size:
            plan.newer.append(address)


def between_buckets(
    old: Source,
    new: Source,
    targets: Sequence[str],
    *,
    overwrite: bool,
    tick: Callable[[int], None],
) -> Journey:
    """Plan the copy of a bucket: every value that its key or its header tells of.

    Raises:
        ConfigurationError: Nothing is stored for a target.
        StoreError: A store does not answer, or refuses.
    """
    plan = Plan()
    entries = newest_of(inventory(old, targets, tick=tick), plan)
    there = newest_of(inventory(new, tick=tick))

    def move(address: AssetAddress, entry: Entry) -> Move:
        def act() -> How:
            stored = format_of(old.values, entry, AUTO)
            if stored is None:
                msg = f"nothing tells the format of {entry.info.uri}"
                hint = "migrate with -m: the I/O manager of the definitions knows it"
                raise ConfigurationError(msg, hint=hint)
            copy(old.values, new.values, entry, address, stored)
            return "copied"

        return Move(address, "copied", act, entry.size)

    plan_copies(entries, there, plan, move, overwrite=overwrite)
    return Journey(old.base, new.base, plan, AT_ONCE)


def move_all(
    moves: Sequence[Move], *, max_concurrency: int, tick: Callable[[int], None]
) -> Migration:
    """Move values; a failure stops nothing else.

    Args:
        moves: Which.
        max_concurrency: How many at once.
        tick: Called with the number of those that are done.
    """
    from dagster_buckets.transfer import Outcome, run_all

    result = Migration()

    def take(outcome: Outcome[Move, How]) -> None:
        move = outcome.item
        if outcome.error is not None:
            result.failed.append((move.address, outcome.error))
        elif outcome.result == "there":
            result.there += 1
        else:
            result.size += move.size or 0
            result.copied += outcome.result == "copied"
            result.converted += outcome.result == "converted"
        tick(result.done)

    run_all(lambda move: move.act(), moves, max_concurrency=max_concurrency, then=take)
    return result


def order(address: AssetAddress) -> tuple[str, str]:
    """By which values are sorted for people."""
    return name_of(address) or "", partition_of(address) or ""
