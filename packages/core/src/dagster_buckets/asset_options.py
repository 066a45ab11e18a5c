"""Asset options: the metadata of assets and inputs, typed, and checked when it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from dagster_buckets.choosing import OF_TABLES, Formats
from dagster_buckets.definitions import options_of
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.names import AUTO
from dagster_buckets.plugins import get_layout, option_owners
from dagster_buckets.values import OnMissing

__all__ = ["BucketOptions", "bucket_options"]


class BucketOptions(TypedDict, total=False):
    """What :func:`bucket_options` takes; each is ``dagster_buckets/<name>`` in metadata.

    Attributes:
        format: A format's name; of the manager's, or ``auto``, if nothing says so.
        layout: A layout, as the manager's setting.
        on_missing: What a load does about a value that was never stored.
        partition_name: What the only dimension of a partitions definition is called in keys.
        partition_columns: Whether a frame gets the keys of its partition as columns on load.
        shape: How ``dict[str, T]`` is meant for one partition, where that is ambiguous.
        split_by: Which columns split a frame into the partitions of the run.
        allow_empty_partitions: Whether a partition without rows in that frame is an empty frame.
        preview_rows: How many of its first rows the materialization shows; 0 for none.
        mask_columns: The columns whose values it does not show.
        columns: The columns of a frame to load, in this order.
        filters: The rows of a frame to load: ``[(column, operator, value), …]`` that must all hold,
            a list of such lists of which one must, or, on assets, an expression of Arrow or Polars.
        compression: Of the object: ``zstd``, ``gzip``, ``lz4``, ``none``; Parquet has more.
        compression_level: Of Parquet.
        row_group_size: Rows in a group of Parquet.
        part_size: Bytes in memory that a part of a table has, which then lies in many objects.
        partition_by: The columns of which each part of a table has one value.
        delimiter: Of CSV.
        header: Whether CSV has a line of names.
        quoting: What CSV puts in quotes.
        column_types: ``{column: type}`` of CSV and newline-delimited JSON, as Arrow spells types.
    """

    format: str
    layout: str
    on_missing: OnMissing
    partition_name: str
    partition_columns: bool
    shape: Literal["value", "partitions"]
    split_by: str | Sequence[str] | Mapping[str, str]
    allow_empty_partitions: bool
    preview_rows: int
    mask_columns: Sequence[str]
    columns: Sequence[str]
    filters: Any
    compression: Literal["zstd", "gzip", "lz4", "snappy", "brotli", "deflate", "none"]
    compression_level: int
    row_group_size: int
    part_size: int
    partition_by: str | Sequence[str]
    delimiter: str
    header: bool
    quoting: Literal["needed", "all", "none"]
    column_types: Mapping[str, str]


def bucket_options(
    more: Mapping[str, Any] | None = None, **options: Unpack[BucketOptions]
) -> dict[str, Any]:
    """Metadata for ``@asset``, ``AssetSpec``, ``Out``, ``AssetIn`` and ``In``.

    What it returns works: names, types and choices are checked now, not in the run.

    Args:
        more: Options of formats of other distributions.
        **options: See :class:`BucketOptions`.

    Raises:
        ConfigurationError: There is no such option, no installed format has it (of the named
            format: that one has not), or its value has another type.

    Example:
        >>> bucket_options(format="parquet", columns=["id", "total"])
        {'dagster_buckets/format': 'parquet', 'dagster_buckets/columns': ['id', 'total']}
    """
    given: dict[str, Any] = {**(more or {}), **options}
    for name in ("columns", "filters", "mask_columns", "partition_by", "split_by"):
        if isinstance(given.get(name), tuple):
            # Dagster copies the metadata of inputs and knows no tuples in it.
            given[name] = list(given[name])
    metadata = {f"dagster_buckets/{name}": value for name, value in given.items()}
    found = options_of(metadata)
    if found.layout is not None:
        get_layout(found.layout)
    if found.format != AUTO:
        Formats().having(found.format_options).named(found.format)
        return metadata
    for name, value in found.format_options.items():
        _check_for_some(name, value)
    return metadata


def _check_for_some(name: str, value: Any) -> None:
    """Refuse a value that no format takes: which one it will be, the value of the asset decides."""
    problems: list[ConfigurationError] = []
    for owner in [*option_owners(name), "parquet" if name in OF_TABLES else "text"]:
        try:
            Formats().having({name: value}).named(owner)
        except ConfigurationError as error:
            problems.append(error)
        else:
            return
    raise problems[0]
