"""The event log: what Dagster says was materialized, and what we noted about it then."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import dagster as dg

from dagster_buckets.cli.comparing import Record
from dagster_buckets.errors import ConfigurationError

__all__ = ["EventLog"]

_Log = TypeVar("_Log", bound="EventLog")

#: How many events one query asks for: SQLite takes 999 parameters.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class EventLog:
    """The event log of an instance. Wiped materializations do not count."""

    instance: dg.DagsterInstance

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Self]:
        """That of ``DAGSTER_HOME``, closed at the end.

        Raises:
            ConfigurationError: There is none, or it does not open.
        """
        with cls.opened_if_there() as log:
            yield cls.needed(log)

    @classmethod
    @contextmanager
    def opened_if_there(cls) -> Iterator[Self | None]:
        """That of ``DAGSTER_HOME``, closed at the end; ``None`` where that is not set.

        Raises:
            ConfigurationError: It does not open.
        """
        if not cls.is_there():
            yield None
            return
        try:
            instance = dg.DagsterInstance.get()
        except Exception as error:
            # Storages of other distributions raise what they like.
            said = " ".join(str(error).split())
            msg = f"the Dagster instance of DAGSTER_HOME does not open: {said}"
            raise ConfigurationError(msg, hint="check DAGSTER_HOME and its dagster.yaml") from error
        with instance:
            yield cls(instance)

    @staticmethod
    def needed(log: _Log | None) -> _Log:
        """This event log.

        Raises:
            ConfigurationError: There is none.
        """
        if log is None:
            msg = "DAGSTER_HOME is not set, so there is no event log to look into"
            hint = "set it to the folder with dagster.yaml that your deployment uses"
            raise ConfigurationError(msg, hint=hint)
        return log

    @staticmethod
    def is_there() -> bool:
        """Whether ``DAGSTER_HOME`` is set."""
        return bool(os.environ.get("DAGSTER_HOME"))

    def asset_paths(self) -> list[tuple[str, ...]]:
        """All assets that were ever materialized or observed."""
        return [tuple(key.path) for key in self.instance.get_asset_keys()]

    def materialized_partitions(self, path: tuple[str, ...]) -> set[str | None]:
        """The materialized partition keys of an asset; ``None`` stands for the asset as a whole."""
        key = dg.AssetKey(list(path))
        found: set[str | None] = set(self.instance.get_materialized_partitions(key))
        last = self.instance.get_latest_materialization_event(key)
        if last is not None and _partition(last) is None:
            found.add(None)
        return found

    def last_materializations(self, paths: Iterable[tuple[str, ...]]) -> Iterator[Record]:
        """The last materialization of each partition of these assets, or of the asset as a whole.

        Two queries for each asset, and one for each 500 of its partitions.
        """
        for path in paths:
            key = dg.AssetKey(list(path))
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION
            ids = self.instance.get_latest_storage_id_by_partition(key, kind)
            numbers = sorted(ids.values())
            for start in range(0, len(numbers), _AT_ONCE):
                batch = numbers[start : start + _AT_ONCE]
                wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=batch)
                for found in self.instance.fetch_materializations(wanted, len(batch)).records:
                    yield from _record(path, found.event_log_entry)
            last = self.instance.get_latest_materialization_event(key)
            if last is not None and _partition(last) is None:
                yield from _record(path, last)


def _partition(entry: dg.EventLogEntry) -> str | None:
    made = entry.asset_materialization
    return made.partition if made else None


def _record(path: tuple[str, ...], entry: dg.EventLogEntry) -> Iterator[Record]:
    made = entry.asset_materialization
    if made is None:  # pragma: no cover - only materializations were asked for
        return

    def noted(name: str) -> Any:
        found = made.metadata.get(name)
        return None if found is None else found.value

    yield Record(
        path=path,
        partition=made.partition,
        run_id=entry.run_id,
        materialized=datetime.fromtimestamp(entry.timestamp, UTC),
        # Other I/O managers note a URI, too.
        uri=noted("dagster/uri") if noted("dagster_buckets/format") else None,
        size=noted("dagster_buckets/size_bytes"),
        etag=noted("dagster_buckets/etag"),
        digest=noted("dagster_buckets/digest"),
    )
