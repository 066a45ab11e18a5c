"""Listing: what ``ls`` and ``du`` tell of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dagster_buckets.address import AssetAddress, OpAddress
from dagster_buckets.cli.inventory import Entry, name_of, newest, partition_of, split_target
from dagster_buckets.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_buckets.cli.source import KnownAsset, Source

__all__ = ["History", "Row", "Usage", "rows_of", "usage_of"]

#: The partition keys of an asset that were materialized; ``None`` for an asset without.
History = Callable[[tuple[str, ...]], "set[str | None]"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of ``ls``.

    Attributes:
        kind: ``asset``, ``op`` or ``other`` (files that are no values).
        name: The asset key, or the op's output; ``None`` for other files.
        partition: The partition key.
        entry: What is stored; ``None`` for nothing.
        materialized: Whether the event log says so; ``None`` if nobody asked it.
        expected: Whether the definitions have it; ``None`` without definitions.
    """

    kind: str
    name: str | None
    partition: str | None
    entry: Entry | None
    materialized: bool | None = None
    expected: bool | None = None

    @property
    def label(self) -> str:
        """What the first column shows."""
        if self.kind == "asset" and self.name is not None:
            return self.name
        where = self.entry.info.key if self.entry else self.name
        return f"({where})"

    @property
    def format(self) -> str | None:
        """The format and, after a ``+``, the codec around it."""
        if self.entry is None or self.entry.format is None:
            return None
        codec = self.entry.compression
        return f"{self.entry.format}+{codec}" if codec else self.entry.format

    @property
    def state(self) -> str | None:
        """How what is stored compares with the event log; ``None`` where nothing can be said."""
        if self.kind != "asset":
            return None
        if self.expected is False:
            return "undefined"
        if self.materialized is None:
            return "stored" if self.entry else "absent"
        if self.entry:
            return "stored" if self.materialized else "unmaterialized"
        return "missing" if self.materialized else "absent"

    def document(self) -> dict[str, Any]:
        """As a member of a JSON document."""
        entry = self.entry
        return {
            "kind": self.kind,
            "name": self.name,
            "partition": self.partition,
            "state": self.state,
            "materialized": self.materialized,
            "in_definitions": self.expected,
            "format": entry.format if entry else None,
            "compression": entry.compression if entry else None,
            "size_bytes": entry.size if entry else None,
            "objects": len(entry.objects) if entry else 0,
            "modified": entry.info.modified if entry else None,
            "etag": entry.info.etag if entry else None,
            "uri": entry.info.uri if entry else None,
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """What one asset takes.

    Attributes:
        name: Its key; ``None`` for what is no asset's.
        kind: As of a :class:`Row`.
        objects: How many.
        size: Bytes.
        modified: When the last of them was written.
    """

    name: str | None
    kind: str
    objects: int
    size: int
    modified: datetime | None


def kind_of(entry: Entry) -> str:
    """What an object is: the value of an ``asset``, of an ``op``, or ``other``."""
    if isinstance(entry.address, OpAddress):
        return "op"
    return "asset" if entry.address else "other"


def rows_of(  # noqa: PLR0913 - the options of a command
    source: Source,
    entries: Sequence[Entry],
    targets: Sequence[str] = (),
    history: History | None = None,
    *,
    absent: bool = False,
    ops: bool = False,
) -> list[Row]:
    """The lines of a listing: what is stored and, with definitions, what is not.

    Args:
        source: The bucket.
        entries: What is in it.
        targets: Only these assets and partitions; of a source with definitions.
        history: What was materialized.
        absent: Also what was neither stored nor materialized.
        ops: Also outputs of ops.

    Raises:
        ConfigurationError: A target is neither stored nor in the definitions.
    """
    rows = []
    done: set[AssetAddress] = set()
    past: dict[tuple[str, ...], set[AssetAddress] | None] = {}
    for entry in entries:
        address, kind = entry.address, kind_of(entry)
        if kind == "op" and not ops:
            continue
        materialized = expected = None
        if isinstance(address, AssetAddress) and source.assets is not None:
            known = source.assets.get(address.path)
            expected = known is not None
            if known and history and address.path not in past:
                past[address.path] = _materialized(known, history)
            made = past.get(address.path)
            materialized = address in made if made is not None else None
            done.add(address)
        row = Row(kind, name_of(address), partition_of(address), entry, materialized, expected)
        rows.append(row)
    rows += _not_stored(source, done, past, history, absent=absent)
    if source.assets is not None and targets:
        rows = _only(rows, targets)
    return sorted(rows, key=_order)


def usage_of(entries: Iterable[Entry]) -> list[Usage]:
    """Objects and bytes of each asset, the largest first; of ops and of other files together."""
    groups: dict[tuple[str, str | None], list[Entry]] = {}
    for entry in entries:
        kind = kind_of(entry)
        name = name_of(entry.address) if kind == "asset" else None
        groups.setdefault((kind, name), []).append(entry)
    found = [
        Usage(
            name,
            kind,
            sum(len(e.objects) for e in group),
            sum(e.size for e in group),
            newest(group),
        )
        for (kind, name), group in groups.items()
    ]
    return sorted(found, key=lambda usage: (-usage.size, usage.kind, usage.name or ""))


def _materialized(known: KnownAsset, history: History) -> set[AssetAddress]:
    partitioned = known.partitions() is not None
    keys = history(known.path)
    return {known.address(key) for key in keys if (key is not None) == partitioned}


def _not_stored(
    source: Source,
    stored: set[AssetAddress],
    past: dict[tuple[str, ...], set[AssetAddress] | None],
    history: History | None,
    *,
    absent: bool,
) -> list[Row]:
    rows = []
    for path, known in (source.assets or {}).items():
        if path not in past:
            past[path] = _materialized(known, history) if history else None
        made = past[path]
        wanted = set(made or ())
        if absent:
            wanted |= {known.address(key) for key in known.keys()}  # noqa: SIM118 - not a mapping
        for address in wanted - stored:
            was_made = address in made if made is not None else None
            rows.append(
                Row("asset", name_of(address), partition_of(address), None, was_made, expected=True)
            )
    return rows


def _only(rows: Sequence[Row], targets: Sequence[str]) -> list[Row]:
    chosen: list[Row] = []
    for target in targets:
        meant = [
            row
            for path, partition in split_target(target)
            for row in rows
            if row.kind == "asset"
            and row.name == "/".join(path)
            and partition in (None, row.partition)
        ]
        if not meant:
            msg = f"{target!r} is neither stored nor materialized"
            raise ConfigurationError(msg, hint="see what there is: dagster-buckets ls --all")
        chosen += [row for row in meant if row not in chosen]
    return chosen


def _order(row: Row) -> tuple[int, str, str, str]:
    kinds = ("asset", "op", "other")
    key = row.entry.info.key if row.entry else ""
    return kinds.index(row.kind), row.name or "", row.partition or "", key
