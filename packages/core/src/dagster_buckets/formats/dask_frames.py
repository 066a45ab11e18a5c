"""Dask: frames whose partitions its workers write and read, each as an object of its own.

Nothing but the plan and the entries of the manifest passes through the process that asks for it.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dagster_buckets.formats.arrow_tables import noted
from dagster_buckets.formats.datasets import ObjectsDataset
from dagster_buckets.formats.describing import columns_of
from dagster_buckets.formats.part_writing import PartWriter, by_key
from dagster_buckets.formats.plans import Plan
from dagster_buckets.formats.rolling import check_columns
from dagster_buckets.manifests import Manifest, PartEntry
from dagster_buckets.objects import Body, Description

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["frame_of", "plan_of"]

#: The only column of a report.
_ENTRY = "entry"


def plan_of(frame: Any, writer: PartWriter) -> Plan:
    """What writes each partition of a frame as a part.

    Or as several, if there are columns that tell parts apart.

    An index with a name is kept, another one is not: Dask numbers the rows of each partition anew.

    Raises:
        EncodeError: Arrow cannot hold a column, or it cannot tell parts apart.
    """
    import pyarrow as pa

    named = frame._meta.index.name is not None  # noqa: SLF001 - Dask's own name for it
    kept = pa.Schema.from_pandas(frame._meta, preserve_index=named)  # noqa: SLF001
    schema = noted(kept, frame)
    check_columns(schema, writer.by)
    write = _Writer(writer, schema, named)

    def body(found: Any) -> Body:
        manifest = Manifest(writer.inner.name, schema, by_key(found[_ENTRY]))
        parts, size = len(manifest.parts), manifest.size
        told = Description(manifest.rows, columns_of(schema), parts=parts, parts_size=size)
        return Body.of(manifest.to_bytes(), description=lambda _: told)

    # An operation on the frame, so that Dask sees what it has in common with others.
    report = frame.map_partitions(write, meta=_report(), enforce_metadata=False)
    return Plan(type(frame), report, body, writer.folder, writer.write_id)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What a task does with a partition, and what it needs for that."""

    writer: PartWriter
    schema: pa.Schema
    named: bool

    def __call__(self, frame: Any, partition_info: Any = None) -> Any:
        import pyarrow as pa

        plain = self.schema.remove_metadata()
        table = pa.Table.from_pandas(frame, schema=plain, preserve_index=self.named)
        table = table.replace_schema_metadata(self.schema.metadata)
        number = partition_info["number"] if partition_info else 0
        return _report(*self.writer.put_all(table, number))

    def __dask_tokenize__(self) -> str:
        return self.writer.write_id


def _report(*entries: PartEntry) -> Any:
    """Entries as Dask takes them from partitions of frames: in a frame."""
    import pandas as pd

    return pd.DataFrame({_ENTRY: pd.Series(entries, dtype=object)})


def frame_of(dataset: ObjectsDataset) -> Any:
    """A Dask frame with a partition for each object of a dataset, of which nothing is read yet."""
    import dask.dataframe as dd
    from dask.base import normalize_token

    # Dask takes datasets of the same files and columns for the same, and its plans, too.
    normalize_token.register(ObjectsDataset, pickle.dumps)
    objects = dataset.objects
    # What was fetched of each to learn its schema would be sent to the workers.
    light = replace(objects, refs=tuple(replace(ref, tail=b"") for ref in objects.refs))
    plain = dataset.of(light)
    pieces = [plain.at([number]) for number in range(len(light.refs))]
    meta = dataset.schema.empty_table().to_pandas()
    return dd.from_map(_read, pieces, meta=meta, label="dagster-buckets")


def _read(piece: ObjectsDataset) -> Any:
    return piece.to_table().to_pandas()
