"""Object schemas: what the columns of stored objects are, read many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import pyarrow as pa

from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.object_files import WHOLE_SIZE, check_version
from dagster_buckets.formats.parquet_limits import check_footer
from dagster_buckets.formats.parquet_plans import read_footer, with_footer
from dagster_buckets.formats.ranged_files import open_ranges
from dagster_buckets.formats.tables import reading
from dagster_buckets.references import ObjectRef
from dagster_buckets.threads import Pool

__all__ = ["Kind", "read_schemas"]

#: The name of the format that all objects of a dataset have.
Kind: TypeAlias = Literal["parquet", "arrow"]

#: How many schemas are read at the same time.
_MAX_CONCURRENCY = 32

#: In an object of up to so many bytes Arrow reads all of it to find the schema.
_FOOTER = 64 * 1024


def read_schemas(
    kind: Kind, refs: Sequence[ObjectRef], wanted: Sequence[str] | None, limit: Limit
) -> tuple[list[pa.Schema], list[ObjectRef]]:
    """The schemas, and the references with what is going to be read again of large objects.

    Of those that come with their schema nothing is read.

    Args:
        kind: The format of all objects.
        refs: The objects; at least one.
        wanted: The columns that are going to be read; ``None`` if all may be.
        limit: What these may become in a group of rows, as far as the footer of Parquet tells.

    Raises:
        ObjectNotFoundError: An object was deleted.
        DecodeError: An object is not in this format, or a group of its rows is too large.
    """
    schemas, found = [ref.schema for ref in refs], list(refs)
    unknown = [place for place, schema in enumerate(schemas) if schema is None]
    pool = Pool(min(_MAX_CONCURRENCY, len(refs)), "buckets-schema")
    try:
        futures = [pool.submit(_read_schema, kind, refs[at], wanted, limit) for at in unknown]
        for at, future in zip(unknown, futures, strict=True):
            schemas[at], found[at] = future.result()
    finally:
        pool.shutdown()
    return schemas, found


def _read_schema(
    kind: Kind, ref: ObjectRef, wanted: Sequence[str] | None, limit: Limit
) -> tuple[pa.Schema, ObjectRef]:
    with reading(ref.uri, f"{kind} format"):
        if ref.size <= _FOOTER and len(ref.tail) != ref.size:
            payload = ref.get()
            check_version(ref, payload.info)
            ref = replace(ref, tail=bytes(payload.data))
        elif kind == "parquet":
            ref = with_footer(ref)
        if kind == "parquet":
            footer = read_footer(ref)
            check_footer(footer, wanted, limit.of(ref.size, ref.uri))
            schema = footer.schema.to_arrow_schema()
            ref = replace(ref, rows=footer.num_rows)
        else:
            with open_ranges(ref) as file:
                schema = pa.ipc.open_file(file).schema
        # Objects that are fetched whole later need not be held in part until then.
        return schema, ref if ref.size > WHOLE_SIZE else replace(ref, tail=b"")
