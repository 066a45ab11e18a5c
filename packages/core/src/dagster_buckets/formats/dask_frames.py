"""Dask: frames whose partitions its workers write and read, each as an object of its own.

Nothing but the plan and the entries of the manifest passes through the process that asks for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster_buckets.formats.arrow_tables import noted
from dagster_buckets.formats.datasets import ObjectsDataset
from dagster_buckets.formats.parted import write_part
from dagster_buckets.manifests import PartEntry

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.formats.tables import TableFormat
    from dagster_buckets.parts import PartFolder

__all__ = ["frame_of", "write_partitions"]


def write_partitions(
    frame: Any, folder: PartFolder, inner: TableFormat, write_id: str, label: str | None
) -> tuple[pa.Schema, tuple[PartEntry, ...]]:
    """Write each partition of a frame as a part, by whatever runs Dask's tasks here.

    An index with a name is kept, another one is not: Dask numbers the rows of each partition anew.

    Raises:
        EncodeError: Arrow cannot hold a column.
        StoreError: The store failed.
    """
    import dask
    import pyarrow as pa

    named = frame._meta.index.name is not None  # noqa: SLF001 - Dask's own name for it
    kept = pa.Schema.from_pandas(frame._meta, preserve_index=named)  # noqa: SLF001
    schema = noted(kept, frame)
    write = dask.delayed(_write, pure=False)
    tasks = [
        write(part, number, folder, inner, schema, write_id, label, named)
        for number, part in enumerate(frame.to_delayed())
    ]
    return schema, tuple(dask.compute(*tasks))


def _write(  # noqa: PLR0913, PLR0917 - what a task is given
    frame: Any,
    number: int,
    folder: PartFolder,
    inner: TableFormat,
    schema: pa.Schema,
    write_id: str,
    label: str | None,
    named: bool,  # noqa: FBT001
) -> PartEntry:
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, schema=schema.remove_metadata(), preserve_index=named)
    table = table.replace_schema_metadata(schema.metadata)
    return write_part(folder, inner, table, write_id, number, label)


def frame_of(dataset: ObjectsDataset) -> Any:
    """A Dask frame with a partition for each object of a dataset, of which nothing is read yet."""
    import dask.dataframe as dd

    objects = dataset.objects
    # What was fetched of each to learn its schema would be sent to the workers.
    light = replace(objects, refs=tuple(replace(ref, tail=b"") for ref in objects.refs))
    plain = dataset.of(light)
    pieces = [plain.at([number]) for number in range(len(light.refs))]
    meta = dataset.schema.empty_table().to_pandas()
    return dd.from_map(_read, pieces, meta=meta, label="dagster-buckets")


def _read(piece: ObjectsDataset) -> Any:
    return piece.to_table().to_pandas()
