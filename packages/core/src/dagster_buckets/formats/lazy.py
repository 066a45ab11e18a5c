"""Lazy: the classes that scan stored objects instead of holding their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import PartitionError, UnsupportedTypeError
from dagster_buckets.formats.frames import qualified, without_note
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.projection import Projection

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from dagster_buckets.formats.datasets import Kind, ObjectsDataset
    from dagster_buckets.references import ObjectRef

__all__ = ["empty_scan", "is_lazy_type", "scan_objects", "scan_of_table"]


def is_lazy_type(cls: type) -> bool:
    """Whether :func:`scan_objects` gives this class. Imports nothing."""
    return _converter(cls) is not None


def scan_objects(  # noqa: PLR0913, PLR0917 - what a format knows of a scan
    kind: Kind,
    refs: Sequence[ObjectRef],
    as_type: type,
    columns: Sequence[Mapping[str, str]] | None = None,
    projection: Projection | None = None,
    limit: Limit | None = None,
) -> Any:
    """One scan over all objects, as :class:`~dagster_buckets.formats.base.SupportsLazy` says.

    Args:
        kind: The format of all objects.
        refs: The objects; at least one.
        as_type: ``polars.LazyFrame``, ``pyarrow.dataset.Dataset``, ``duckdb.DuckDBPyRelation``,
            ``dask.dataframe.DataFrame`` or, for any other engine, :class:`TableRef`.
            A relation has a connection of its own, because a connection refuses a second call
            while it is busy, and relations are made on many threads.
        columns: Of each object the constant columns to add.
        projection: The columns (before those) and rows to leave in the scan.
        limit: What a group of rows may become, as far as the object's footer tells.

    Raises:
        UnsupportedTypeError: Another class.
        ObjectNotFoundError: An object was deleted.
        DecodeError: An object is not in this format, does not fit the others, or has a group of
            rows that is too large.
    """
    convert = _converter(as_type)
    if convert is None:
        msg = f"{refs[0].uri} cannot be scanned through {qualified(as_type)}"
        hint = "ask for polars.LazyFrame, pyarrow.dataset.Dataset, duckdb.DuckDBPyRelation or "
        hint += "dask.dataframe.DataFrame"
        raise UnsupportedTypeError(msg, uri=refs[0].uri, hint=hint)
    from dagster_buckets.formats.datasets import open_dataset

    projection = projection or Projection()
    dataset = open_dataset(kind, refs, columns, wanted=projection.columns, limit=limit or Limit())
    return convert(dataset, projection)


def scan_of_table(table: pa.Table, cls: type) -> Any:
    """A scan of rows that are in memory, for formats of which nothing can be left out.

    Args:
        table: The rows.
        cls: A class of which :func:`is_lazy_type` holds.
    """
    clean = table.replace_schema_metadata(without_note(table.schema.metadata))
    if _converter(cls) is _to_lazy_frame:
        import polars as pl

        return pl.DataFrame(clean.replace_schema_metadata()).lazy()
    if _converter(cls) is _to_relation:
        import duckdb

        return duckdb.connect().from_arrow(clean)
    if _converter(cls) is _to_dask:
        import dask.dataframe as dd

        return dd.from_pandas(clean.to_pandas(), npartitions=1)
    if _converter(cls) is _to_table_ref:
        msg = "its columns are known only when all of it is read, so it is no TableRef"
        raise UnsupportedTypeError(msg, hint="ask for ObjectRef, or store it as Parquet or Arrow")
    import pyarrow.dataset as ds

    return ds.dataset(clean)


def empty_scan(cls: type) -> Any:
    """A scan of no objects, for a class of which :func:`is_lazy_type` holds.

    Raises:
        PartitionError: There is none of this class, because it would have no columns.
    """
    if _converter(cls) is _to_relation:
        msg = "there are no partitions, and DuckDB has no relation with no columns"
        hint = f"annotate the input with Optional[{cls.__name__}]: it is then None"
        raise PartitionError(msg, hint=hint)
    if _converter(cls) is _to_table_ref:
        msg = "there are no partitions, and a TableRef has at least one object"
        raise PartitionError(msg, hint="annotate the input with Optional[TableRef]")
    if _converter(cls) is _to_lazy_frame:
        import polars as pl

        return pl.LazyFrame()
    if _converter(cls) is _to_dask:
        import dask.dataframe as dd
        import pandas as pd

        return dd.from_pandas(pd.DataFrame(), npartitions=1)
    import pyarrow as pa
    import pyarrow.dataset as ds

    return ds.dataset(pa.table({}))


def _to_dataset(dataset: ObjectsDataset, projection: Projection) -> Any:
    if not projection:
        return dataset
    uri = dataset.objects.refs[0].uri
    if not projection.is_exact:
        msg = f"{uri} is scanned by Arrow, which knows no filters of Polars"
        hint = "write them as [(column, operator, value)], or ask for a polars.LazyFrame"
        raise UnsupportedTypeError(msg, uri=uri, hint=hint)
    names = _names(dataset, projection)
    return dataset.having(names, _rows(dataset, projection))


def _to_lazy_frame(dataset: ObjectsDataset, projection: Projection) -> Any:
    from dagster_buckets.formats.polars_scans import lazy_frame

    names = _names(dataset, projection)
    if projection.is_exact:
        frame = lazy_frame(dataset.having(rows=_rows(dataset, projection)))
    else:
        frame = lazy_frame(dataset).filter(projection.filters)
    return frame if names is None else frame.select(names)


def _to_relation(dataset: ObjectsDataset, projection: Projection) -> Any:
    import duckdb

    return duckdb.connect().from_arrow(_to_dataset(dataset, projection))


def _to_dask(dataset: ObjectsDataset, projection: Projection) -> Any:
    from dagster_buckets.formats.dask_frames import frame_of

    return frame_of(_to_dataset(dataset, projection))


def _to_table_ref(dataset: ObjectsDataset, projection: Projection) -> Any:
    from dagster_buckets.formats.table_refs import table_ref

    return table_ref(dataset, projection)


def _names(dataset: ObjectsDataset, projection: Projection) -> list[str] | None:
    """The columns that a projection leaves, and those of the partitions."""
    objects = dataset.objects
    return projection.names(dataset.schema, objects.refs[0].uri, keep=objects.names)


def _rows(dataset: ObjectsDataset, projection: Projection) -> ds.Expression | None:
    """The rows that a projection leaves; what does not fit the columns is refused now."""
    empty, uri = dataset.schema.empty_table(), dataset.objects.refs[0].uri
    Projection(filters=projection.filters).of(empty, uri)
    return projection.expression(dataset.schema)


#: By the package and the name in it, because the modules between them change: DuckDB's relation
#: has been ``duckdb.duckdb``, ``_duckdb`` and ``duckdb._relation``.
_CONVERTERS: dict[tuple[str, str], Callable[[ObjectsDataset, Projection], Any]] = {
    ("polars", "LazyFrame"): _to_lazy_frame,
    ("pyarrow", "Dataset"): _to_dataset,
    ("pyarrow", "FileSystemDataset"): _to_dataset,
    ("dask", "DataFrame"): _to_dask,
    ("duckdb", "DuckDBPyRelation"): _to_relation,
    ("_duckdb", "DuckDBPyRelation"): _to_relation,
    ("dagster_buckets", "TableRef"): _to_table_ref,
}


def _converter(cls: type) -> Callable[[ObjectsDataset, Projection], Any] | None:
    return _CONVERTERS.get((cls.__module__.partition(".")[0], cls.__qualname__))
