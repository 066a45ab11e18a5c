"""Metadata: what the Dagster UI shows about a value that was written or read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from dagster import InputContext, OutputContext
from dagster._core.errors import DagsterInvariantViolationError
from dagster_shared.check import CheckError

from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import PartitionError
from dagster_buckets.loading import Loaded
from dagster_buckets.objects import Description
from dagster_buckets.requests import Target
from dagster_buckets.transfer import Progress, shortened
from dagster_buckets.values import Stored

if TYPE_CHECKING:
    from types import TracebackType

    from dagster._core.execution.context.system import StepExecutionContext

__all__ = ["Recording", "Shown", "describe_load", "describe_write"]

#: Instead of a value that is not shown.
_MASK = "•••"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is told of a write beside what always is.

    Attributes:
        masked: The columns whose values no preview shows.
        data_version: Whether Dagster is given the digest as the data version.
    """

    masked: frozenset[str] = frozenset()
    data_version: bool = False


def describe_write(
    stored: Stored, *, partition: bool, masked: Collection[str] = ()
) -> Mapping[str, dg.MetadataValue]:
    """The metadata of one materialization.

    Dagster's standard names where there are any: ``dagster/uri``, ``dagster/row_count`` (of a
    partition ``dagster/partition_row_count``), ``dagster/column_schema``, ``dagster/table_name``.

    Args:
        stored: What was written.
        partition: Whether it is one of several partitions.
        masked: The columns whose values are not shown.
    """
    info, description = stored.info, stored.description
    entries: dict[str, dg.MetadataValue] = {
        "dagster/uri": dg.MetadataValue.text(info.uri),
        "dagster_buckets/size_bytes": dg.MetadataValue.int(info.size),
        "dagster_buckets/format": dg.MetadataValue.text(stored.format),
        "dagster_buckets/write_seconds": dg.MetadataValue.float(round(stored.seconds, 3)),
        "dagster_buckets/written_at": dg.MetadataValue.timestamp(info.modified),
    }
    if stored.console_url is not None:
        entries["dagster_buckets/console"] = dg.MetadataValue.url(stored.console_url)
    if stored.compression is not None:
        entries["dagster_buckets/compression"] = dg.MetadataValue.text(stored.compression)
    if info.etag:
        entries["dagster_buckets/etag"] = dg.MetadataValue.text(info.etag)
    if info.header and info.header.digest:
        entries["dagster_buckets/digest"] = dg.MetadataValue.text(info.header.digest)
    if description.rows is not None:
        name = "dagster/partition_row_count" if partition else "dagster/row_count"
        entries[name] = dg.MetadataValue.int(description.rows)
    if description.parts:
        entries["dagster_buckets/parts"] = dg.MetadataValue.int(description.parts)
        entries["dagster_buckets/parts_size_bytes"] = dg.MetadataValue.int(description.parts_size)
    if description.columns is not None:
        columns = [
            dg.TableColumn(
                column.name, column.type, constraints=dg.TableColumnConstraints(column.nullable)
            )
            for column in description.columns
        ]
        entries["dagster/column_schema"] = dg.MetadataValue.table_schema(dg.TableSchema(columns))
        if isinstance(stored.address, AssetAddress):
            entries["dagster/table_name"] = dg.MetadataValue.text(".".join(stored.address.path))
    if description.head is not None:
        entries["dagster_buckets/preview"] = _preview(description, masked)
    return entries


def _preview(description: Description, masked: Collection[str]) -> dg.MetadataValue:
    """The first rows as a table; one without rows says so by its columns."""
    types = [column.type for column in description.columns or ()]
    names = [column.name for column in description.columns or ()]
    columns = [dg.TableColumn(name, kind) for name, kind in zip(names, types, strict=True)]
    records = [
        dg.TableRecord({name: _MASK if name in masked else row[name] for name in names})
        for row in description.head or ()
    ]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


class Recording:
    """What a write has stored so far, told to Dagster when it ends, however it ends.

    After success every partition's materialisation gets its own metadata. After a failure or an
    interrupt those partitions of many that are stored are materialized, which Dagster by itself
    does for none of them.

    Args:
        context: Of the output.
        total: How many partitions the run has.
        shown: What to tell.
    """

    def __init__(self, context: OutputContext, total: int, shown: Shown) -> None:
        self._context = context
        self._total = total
        self._shown = shown
        self._progress = Progress(self._say, "wrote", total)
        self._stored: list[tuple[Target, Stored]] = []

    def __call__(self, target: Target, stored: Stored) -> None:
        """Take down one value that is stored."""
        self._stored.append((target, stored))
        self._progress.add(stored.info.size + stored.description.parts_size)

    def _described(self, stored: Stored, *, partition: bool) -> Mapping[str, dg.MetadataValue]:
        return describe_write(stored, partition=partition, masked=self._shown.masked)

    def _say(self, line: str) -> None:
        # A context that a test has made need not have a log.
        self._context.log.info(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        partitions = {
            target.partition_key: self._described(stored, partition=True)
            for target, stored in self._stored
            if target.partition_key is not None
        }
        if error is None and self._total == 1:
            ((target, stored),) = self._stored
            partition = target.partition_key is not None
            self._context.add_output_metadata(self._described(stored, partition=partition))
            if self._shown.data_version:
                _set_data_version(self._context, stored)
        elif error is None:
            _describe_partitions(self._context, partitions)
        elif partitions and _step_of(self._context):
            for key, metadata in partitions.items():
                self._context.log_event(
                    dg.AssetMaterialization(
                        self._context.asset_key, partition=key, metadata=metadata, tags=_tags(key)
                    )
                )
        if isinstance(error, PartitionError) and isinstance(
            error.__cause__, dg.Failure | dg.RetryRequested
        ):
            # What the asset's own generator raised to tell Dagster something.
            raise error.__cause__


def _describe_partitions(
    context: OutputContext, partitions: Mapping[str, Mapping[str, dg.MetadataValue]]
) -> None:
    """Give every partition of a run its own metadata, in time linear in their number."""
    step = _step_of(context)
    if step is None:
        return  # outside of a run, as in migrate_io_storage, nothing is materialized
    try:
        from dagster._core.execution.context.metadata_logging import (
            AssetMetadataHandle,
            OutputMetadataAccumulator,
        )

        known = dict(step._metadata_accumulator.per_output_metadata)  # noqa: SLF001
    except (ImportError, AttributeError):
        # Dagster's public way lists and checks all partitions for each of them.
        for key, metadata in partitions.items():
            step.add_asset_metadata(metadata, context.asset_key, partition_key=key)
        return
    for key, metadata in partitions.items():
        handle = AssetMetadataHandle(asset_key=context.asset_key, partition_key=key)
        known[handle] = {**known.get(handle, {}), **metadata}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)  # noqa: SLF001


def _set_data_version(context: OutputContext, stored: Stored) -> None:
    """Make the digest the data version, unless the asset itself gives one; streams have none."""
    digest, step = stored.info.header and stored.info.header.digest, _step_of(context)
    if digest and step is not None and context.has_asset_key:
        step.set_data_version(context.asset_key, dg.DataVersion(digest))


def _step_of(context: OutputContext | InputContext) -> StepExecutionContext | None:
    try:
        return context.step_context
    except DagsterInvariantViolationError:
        return None


def _tags(key: str) -> Mapping[str, str] | None:
    if not isinstance(key, dg.MultiPartitionKey):
        return None
    return {f"dagster/partition/{name}": part for name, part in key.keys_by_dimension.items()}


def describe_load(context: InputContext, loaded: Loaded) -> None:
    """Say what was read and, as a warning and on the input, what was missing.

    Nothing is left out silently, and with ``read_from`` the input says how many values each store
    gave.
    """
    metadata: dict[str, Any] = {
        "dagster_buckets/objects": len(loaded.uris),
        "dagster_buckets/size_bytes": loaded.size,
        "dagster_buckets/read_seconds": round(loaded.seconds, 3),
    }
    if loaded.cache_hits:
        metadata["dagster_buckets/cache_hits"] = loaded.cache_hits
    if loaded.counts:
        metadata["dagster_buckets/read_from"] = dict(loaded.counts)
    if loaded.missing:
        context.log.warning(
            "not stored, so on_missing left them out or gave None: %s", shortened(loaded.missing)
        )
        metadata["dagster_buckets/missing_partitions"] = list(loaded.missing)
    if _step_of(context):
        _describe_input(context, metadata)
    context.log.debug("read %s", shortened(loaded.uris, 3))


def _describe_input(context: InputContext, metadata: Mapping[str, Any]) -> None:
    try:
        context.add_input_metadata(metadata)
    except (DagsterInvariantViolationError, CheckError):
        # Of an input of several partitions Dagster keeps it, and then fails to make an observation.
        context.log.debug("no observation of several partitions: %s", metadata)
