"""Part reading: what a manifest tells before any of its parts is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.projection import Projection
from dagster_buckets.objects import ObjectInfo
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.formats.object_schemas import Kind
    from dagster_buckets.formats.tables import TableFormat

__all__ = ["least_bytes", "not_excluded", "with_schema"]


def not_excluded(
    refs: Sequence[ObjectRef], schema: pa.Schema, projection: Projection
) -> Sequence[ObjectRef]:
    """The parts that can have rows which the filters leave; one of them if none can.

    Filters that do not fit the columns exclude nothing: whoever reads a part says what is wrong.
    """
    rows = projection.expression(schema)
    if rows is None or len(refs) == 1:
        return refs
    import pyarrow as pa

    from dagster_buckets.formats.datasets import Objects

    objects = Objects("parquet", tuple(refs), ({},) * len(refs))
    try:
        left = objects.left(schema, rows)
    except (pa.ArrowException, TypeError, ValueError):
        return refs
    return [refs[position] for position in left] or refs[:1]


def with_schema(
    refs: Sequence[ObjectRef], inner: TableFormat, schema: pa.Schema
) -> Sequence[ObjectRef]:
    """The parts with the schema that a scan finds in them: that of one without rows.

    It is not always the one that was written, because formats lack some types. Where one without
    rows cannot be made, the parts are asked.
    """
    from dagster_buckets.formats.object_schemas import read_schemas

    try:
        empty = schema.empty_table()
    except NotImplementedError:  # Arrow 17 for some dictionaries within lists
        return refs
    data = inner.write_table(empty).joined()
    info = ObjectInfo("", refs[0].uri, len(data), "", refs[0].modified)
    made = ObjectRef(info, refs[0].store, bytes(data))
    (found,), _ = read_schemas(cast("Kind", inner.name), [made], None, Limit())
    return [replace(ref, schema=found) for ref in refs]


def least_bytes(schema: pa.Schema, rows: int, columns: Sequence[str] | None) -> int:
    """What these columns have in memory at least; texts and lists may have much more."""
    chosen = [field.type for field in schema if columns is None or field.name in columns]
    return sum(map(_bits, chosen)) * rows // 8


def _bits(kind: pa.DataType) -> int:
    """Of a value: of what may have any length, those that tell where it begins."""
    import pyarrow as pa

    types = pa.types
    if types.is_string(kind) or types.is_binary(kind) or types.is_list(kind):
        return 32
    if types.is_large_string(kind) or types.is_large_binary(kind) or types.is_large_list(kind):
        return 64
    try:
        return int(kind.bit_width)
    except ValueError:
        return 0
