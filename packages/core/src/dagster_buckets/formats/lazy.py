"""Lazy: the classes that scan stored objects instead of holding their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import PartitionError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified

if TYPE_CHECKING:
    from dagster_buckets.formats.datasets import Kind, ObjectsDataset
    from dagster_buckets.references import ObjectRef

__all__ = ["empty_scan", "is_lazy_type", "scan_objects"]


def is_lazy_type(cls: type) -> bool:
    """Whether :func:`scan_objects` gives this class. Imports nothing."""
    return _converter(cls) is not None


def scan_objects(
    kind: Kind,
    refs: Sequence[ObjectRef],
    as_type: type,
    columns: Sequence[Mapping[str, str]] | None = None,
) -> Any:
    """One scan over all objects, as :class:`~dagster_buckets.formats.base.SupportsLazy` says.

    Args:
        kind: The format of all objects.
        refs: The objects; at least one.
        as_type: ``polars.LazyFrame``, ``pyarrow.dataset.Dataset`` or ``duckdb.DuckDBPyRelation``.
            A relation has a connection of its own, because a connection refuses a second call
            while it is busy, and relations are made on many threads.
        columns: Of each object the constant columns to add.

    Raises:
        UnsupportedTypeError: Another class.
        ObjectNotFoundError: An object was deleted.
        DecodeError: An object is not in this format or does not fit the others.
    """
    convert = _converter(as_type)
    if convert is None:
        msg = f"{refs[0].uri} cannot be scanned through {qualified(as_type)}"
        hint = "ask for polars.LazyFrame, pyarrow.dataset.Dataset or duckdb.DuckDBPyRelation"
        raise UnsupportedTypeError(msg, uri=refs[0].uri, hint=hint)
    from dagster_buckets.formats.datasets import open_dataset

    return convert(open_dataset(kind, refs, columns))


def empty_scan(cls: type) -> Any:
    """A scan of no objects, for a class of which :func:`is_lazy_type` holds.

    Raises:
        PartitionError: There is none of this class, because it would have no columns.
    """
    if _converter(cls) is _to_relation:
        msg = "there are no partitions, and DuckDB has no relation with no columns"
        hint = f"annotate the input with Optional[{cls.__name__}]: it is then None"
        raise PartitionError(msg, hint=hint)
    if _converter(cls) is _to_lazy_frame:
        import polars as pl

        return pl.LazyFrame()
    import pyarrow as pa
    import pyarrow.dataset as ds

    return ds.dataset(pa.table({}))


def _to_dataset(dataset: ObjectsDataset) -> Any:
    return dataset


def _to_lazy_frame(dataset: ObjectsDataset) -> Any:
    from dagster_buckets.formats.polars_scans import lazy_frame

    return lazy_frame(dataset)


def _to_relation(dataset: ObjectsDataset) -> Any:
    import duckdb

    return duckdb.connect().from_arrow(dataset)


#: By the package and the name in it, because the modules between them change: DuckDB's relation
#: has been ``duckdb.duckdb``, ``_duckdb`` and ``duckdb._relation``.
_CONVERTERS: dict[tuple[str, str], Callable[[ObjectsDataset], Any]] = {
    ("polars", "LazyFrame"): _to_lazy_frame,
    ("pyarrow", "Dataset"): _to_dataset,
    ("pyarrow", "FileSystemDataset"): _to_dataset,
    ("duckdb", "DuckDBPyRelation"): _to_relation,
    ("_duckdb", "DuckDBPyRelation"): _to_relation,
}


def _converter(cls: type) -> Callable[[ObjectsDataset], Any] | None:
    return _CONVERTERS.get((cls.__module__.partition(".")[0], cls.__qualname__))
