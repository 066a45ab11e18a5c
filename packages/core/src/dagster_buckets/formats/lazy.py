"""Lazy: scans of stored objects, which read what a query needs when it runs.

Nothing is imported to find out whether a class is one of a scan: classes are told by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import PartitionError
from dagster_buckets.formats.frames import qualified

if TYPE_CHECKING:
    import pyarrow.dataset as ds

    from dagster_buckets.formats.datasets import Kind
    from dagster_buckets.references import ObjectRef

__all__ = ["empty_scan", "is_lazy_type", "scan_objects"]


def is_lazy_type(cls: type) -> bool:
    """Whether :func:`scan_objects` gives this class."""
    return qualified(cls) in _SCANS


def scan_objects(
    kind: Kind,
    refs: Sequence[ObjectRef],
    as_type: type,
    columns: Sequence[Mapping[str, str]] | None = None,
) -> Any:
    """One scan over all objects; see :class:`~dagster_buckets.formats.base.SupportsLazy`.

    Args:
        kind: The format of all objects.
        refs: At least one.
        as_type: A class for which :func:`is_lazy_type` holds.
        columns: Of each object the constant columns to add.
    """
    from dagster_buckets.formats.datasets import open_dataset

    return _SCANS[qualified(as_type)](open_dataset(kind, refs, columns))


def empty_scan(cls: type) -> Any:
    """A scan of no objects.

    Raises:
        PartitionError: There is none of this class, because it would have no columns.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    make = _SCANS[qualified(cls)]
    if make is _relation:
        msg = "there are no partitions, and DuckDB has no relation with no columns"
        hint = f"annotate the input with Optional[{cls.__name__}]: it is then None"
        raise PartitionError(msg, hint=hint)
    return make(ds.dataset(pa.table({})))


def _dataset(dataset: ds.Dataset) -> Any:
    return dataset


def _lazy_frame(dataset: ds.Dataset) -> Any:
    import polars as pl

    return pl.scan_pyarrow_dataset(dataset)


def _relation(dataset: ds.Dataset) -> Any:
    import duckdb

    # A connection of its own, so that relations can be used on several threads.
    return duckdb.connect().from_arrow(dataset)


_SCANS: dict[str, Callable[[Any], Any]] = {
    "polars.lazyframe.frame.LazyFrame": _lazy_frame,
    "pyarrow._dataset.Dataset": _dataset,
    "pyarrow._dataset.FileSystemDataset": _dataset,
    # DuckDB has moved its classes more than once.
    "duckdb.DuckDBPyRelation": _relation,
    "duckdb.duckdb.DuckDBPyRelation": _relation,
    "duckdb._relation.DuckDBPyRelation": _relation,
    "_duckdb.DuckDBPyRelation": _relation,
}
