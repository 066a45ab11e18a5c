"""Metadata: what the Dagster UI shows about a value that was written or read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster import InputContext, OutputContext
from dagster._core.errors import DagsterInvariantViolationError

from dagster_buckets.address import AssetAddress
from dagster_buckets.loading import Loaded
from dagster_buckets.requests import Target
from dagster_buckets.values import Stored

__all__ = ["describe_load", "describe_write", "log_partitions"]


def describe_write(stored: Stored, *, partition: bool) -> Mapping[str, dg.MetadataValue]:
    """The metadata of one materialisation.

    Dagster's standard names where there are any: ``dagster/uri``, ``dagster/row_count`` (of a
    partition ``dagster/partition_row_count``), ``dagster/column_schema``, ``dagster/table_name``.
    """
    info, description = stored.info, stored.description
    entries: dict[str, dg.MetadataValue] = {
        "dagster/uri": dg.MetadataValue.text(info.uri),
        "dagster_buckets/size_bytes": dg.MetadataValue.int(info.size),
        "dagster_buckets/format": dg.MetadataValue.text(stored.format),
    }
    if info.etag:
        entries["dagster_buckets/etag"] = dg.MetadataValue.text(info.etag)
    if info.header and info.header.digest:
        entries["dagster_buckets/digest"] = dg.MetadataValue.text(info.header.digest)
    if description.rows is not None:
        name = "dagster/partition_row_count" if partition else "dagster/row_count"
        entries[name] = dg.MetadataValue.int(description.rows)
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
    return entries


def log_partitions(context: OutputContext, written: Sequence[tuple[Target, Stored]]) -> None:
    """Give every partition of a run its own metadata."""
    try:
        step = context.step_context
    except DagsterInvariantViolationError:
        return  # outside of a run, as in migrate_io_storage, nothing is materialized
    for target, stored in written:
        step.add_asset_metadata(
            describe_write(stored, partition=True),
            context.asset_key,
            partition_key=target.partition_key,
        )


def describe_load(context: InputContext, loaded: Loaded) -> None:
    """Log what was read and, as a warning, what was missing. Nothing is skipped silently."""
    if loaded.missing:
        context.log.warning(
            "not stored, so on_missing left them out or gave None: %s", _some(loaded.missing, 20)
        )
    context.log.debug("read %s", _some(loaded.uris, 3))


def _some(names: Sequence[str], limit: int) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
