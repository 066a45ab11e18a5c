"""Hand-over: stored objects in the words of other engines, which read them by themselves.

Each function takes an ``ObjectRef``, several, or a ``TableRef``, and gives what the reader of one
engine takes: the URIs in order and in that engine's spelling, and the options of its client, with
real credentials in them. No ``repr`` shows these. They are those of now: temporary ones end, so ask
again for a query that begins later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from dagster_buckets.dialects import (
    arrow_files,
    daft_config,
    duckdb_secret,
    fsspec_options,
    hadoop_properties,
    object_store_options,
)
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.formats.table_refs import TableRef
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.access import Access, access_to

if TYPE_CHECKING:
    import daft
    import pyarrow.fs

__all__ = [
    "Handover",
    "Readable",
    "for_arrow",
    "for_daft",
    "for_duckdb",
    "for_fsspec",
    "for_polars",
    "for_spark",
]

#: What can be handed over.
Readable: TypeAlias = TableRef | ObjectRef | Sequence[ObjectRef]
OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True, slots=True)
class Handover(Generic[OptionsT]):
    """What the reader of an engine takes.

    Attributes:
        uris: Of the objects, in order, as the engine spells them.
        options: Of its client, credentials included; ``repr`` hides these.
    """

    uris: list[str]
    options: OptionsT = field(repr=False)


def for_polars(readable: Readable) -> Handover[dict[str, str]]:
    """For ``polars.scan_parquet(uris, storage_options=options, glob=False)``.

    The options are those of Rust's ``object_store``, which delta-rs and others take, too.

    Raises:
        UnsupportedTypeError: Only this process can read the store.
        ConfigurationError: The objects lie in stores of different settings, or the client has no
            option for these.
        AccessDeniedError: There are no credentials.
    """
    refs, access = _of_one_store(readable)
    return Handover([_path(ref.uri) for ref in refs], object_store_options(access))


def for_fsspec(readable: Readable) -> Handover[dict[str, Any]]:
    """For whatever reads by way of fsspec: ``fsspec.filesystem("s3", **options)``.

    pandas and Dask take them as ``storage_options``; DuckDB takes the file system by
    ``register_filesystem``, without any extension.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(readable)
    return Handover([_path(ref.uri) for ref in refs], fsspec_options(access))


def for_duckdb(readable: Readable) -> Handover[str]:
    """For DuckDB's own client of S3: the options are a statement that creates a secret.

    It holds for URIs of this bucket. Of local files it is a statement that does nothing.

    Raises:
        BucketsError: As :func:`for_polars`; also for Google Cloud Storage, of which DuckDB takes
            no credentials but keys of its own kind.
    """
    refs, access = _of_one_store(readable)
    return Handover(
        [_no_pattern(_path(ref.uri), "*?[", "DuckDB") for ref in refs], duckdb_secret(access)
    )


def for_daft(readable: Readable) -> Handover[daft.io.IOConfig]:
    """For ``daft.read_parquet(uris, io_config=options)``.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(readable)
    return Handover(
        [_no_pattern(_path(ref.uri), "*?[{}\\", "Daft") for ref in refs], daft_config(access)
    )


def for_arrow(readable: Readable) -> Handover[pyarrow.fs.FileSystem]:
    """For Arrow and Ray: ``ray.data.read_parquet(uris, filesystem=options)``.

    The URIs are paths within that file system.

    Raises:
        BucketsError: As :func:`for_polars`.
    """
    refs, access = _of_one_store(readable)
    paths = [ref.uri.partition("://")[2] for ref in refs]
    return Handover(paths, arrow_files(access))


def for_spark(readable: Readable) -> Handover[dict[str, str]]:
    """For ``spark.read.options(**options).parquet(*uris)``.

    The options are properties of Hadoop's client ``s3a``, for this bucket alone. Spark needs it on
    its class path (``hadoop-aws``).

    Raises:
        BucketsError: As :func:`for_polars`; also for Google Cloud Storage.
    """
    refs, access = _of_one_store(readable)
    scheme = {"s3": "s3a"}
    uris = []
    for ref in refs:
        own, _, path = _no_pattern(ref.uri, "*?[{\\", "Spark").partition("://")
        uris.append(f"{scheme.get(own, own)}://{path}")
    return Handover(uris, hadoop_properties(access))


def _of_one_store(readable: Readable) -> tuple[Sequence[ObjectRef], Access]:
    """The objects, and what a client needs for all of them."""
    if isinstance(readable, TableRef):
        readable = readable.objects
    refs = [readable] if isinstance(readable, ObjectRef) else list(readable)
    if not refs:
        msg = "there is nothing to hand over"
        raise ConfigurationError(msg, hint="give at least one object")
    stores = {id(ref.store): ref for ref in refs}
    first, *others = stores.values()
    access = access_to(first.store)
    for other in others:
        if access_to(other.store) != access:
            msg = f"{first.uri} and {other.uri} are read with different settings"
            hint = "hand the partitions over one by one: TableRef.by_partition, dict[str, TableRef]"
            raise ConfigurationError(msg, uri=other.uri, hint=hint)
    return refs, access


def _path(uri: str) -> str:
    """The URI; of a file its path, which no client decodes."""
    return uri.removeprefix("file://")


def _no_pattern(uri: str, marks: str, engine: str) -> str:
    """The URI, which the engine would take for a pattern if it held one of these."""
    if found := next((mark for mark in marks if mark in uri), None):
        msg = f"{engine} takes {uri} for a pattern, because of its {found!r}"
        hint = "keep it under a root, a prefix and a name without such characters"
        raise ConfigurationError(msg, uri=uri, hint=hint)
    return uri
