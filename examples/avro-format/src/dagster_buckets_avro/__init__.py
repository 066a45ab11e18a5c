"""Format ``avro``: tables as Apache Avro files, through fastavro."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import fastavro
import pyarrow as pa
from dagster_buckets import Body, DecodeError, EncodeError, Payload
from dagster_buckets.formats.tables import TableFormat

__all__ = ["AvroFormat"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIMPLE = {
    "null": "null", "bool": "boolean", "int32": "int", "int64": "long", "float": "float",
    "double": "double", "string": "string", "large_string": "string", "binary": "bytes",
    "date32[day]": {"type": "int", "logicalType": "date"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AvroFormat(TableFormat):
    """Tables as Avro, with their Arrow schema beside them, so that every type comes back.

    Args:
        compression: How the blocks of rows are compressed.
    """

    name: ClassVar[str] = "avro"
    extension: ClassVar[str] = "avro"
    media_type: ClassVar[str] = "application/vnd.apache.avro"

    compression: Literal["none", "deflate"] = "deflate"

    def write_table(self, table: pa.Table) -> Body:
        """The bytes of a table."""
        names = _names(table.column_names)
        fields = [_field(n, f, f.name) for n, f in zip(names, table.schema, strict=True)]
        schema = {"type": "record", "name": "row", "fields": fields}
        arrow = base64.b64encode(table.schema.serialize()).decode()
        metadata = {"arrow.schema": arrow, "rows": str(table.num_rows)}
        sink = io.BytesIO()
        try:
            rows = table.rename_columns(names).to_pylist()
            codec = "null" if self.compression == "none" else self.compression
            fastavro.writer(sink, schema, rows, codec=codec, metadata=metadata)
        except (ValueError, OverflowError) as error:
            msg = f"Avro cannot hold this table: {error}"
            raise EncodeError(msg, hint="are there years before 1 or after 9999?") from error
        return Body.of(sink.getvalue())

    def read_table(self, payload: Payload) -> pa.Table:
        """The table again."""
        try:
            return _table(payload.data)
        except Exception as error:  # fastavro has no error of its own for damaged bytes
            msg = f"{payload.info.uri} is not a readable Avro file: {error}"
            hint = "materialize it again"
            raise DecodeError(msg, uri=payload.info.uri, hint=hint) from error


def _table(data: Any) -> pa.Table:
    file = fastavro.reader(io.BytesIO(data))
    rows: list[Any] = list(file)
    if "arrow.schema" not in file.metadata:  # others wrote it
        return pa.Table.from_pylist(rows)
    if len(rows) != int(file.metadata["rows"]):  # it was cut between two blocks
        msg = f"it has {len(rows)} of {file.metadata['rows']} rows"
        raise ValueError(msg)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(file.metadata["arrow.schema"])))
    fields = zip(_names(schema.names), schema, strict=True)
    columns = [pa.array([row[name] for row in rows], field.type) for name, field in fields]
    return pa.Table.from_arrays(columns, schema=schema)


def _names(columns: Sequence[str]) -> list[str]:
    """What Avro calls the columns: itself, it has only names of letters, digits and underscores."""
    prefix = "column_"
    while any(name.startswith(prefix) for name in columns):
        prefix = f"_{prefix}"
    return [n if _NAME.fullmatch(n) else f"{prefix}{i}" for i, n in enumerate(columns)]


def _field(name: str, field: Any, column: str) -> dict[str, Any]:
    kind = _avro(field.type, name, column)
    return {"name": name, "type": kind if kind == "null" else ["null", kind]}


def _avro(kind: Any, path: str, column: str) -> Any:
    """The Avro schema of an Arrow type; names of records must differ, so they are paths."""
    if str(kind) in _SIMPLE:
        return _SIMPLE[str(kind)]
    if pa.types.is_timestamp(kind) and kind.unit in ("ms", "us"):
        local = "" if kind.tz else "local-"
        unit = {"ms": "millis", "us": "micros"}[kind.unit]
        return {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    if pa.types.is_decimal128(kind) and kind.scale >= 0:
        sizes = {"precision": kind.precision, "scale": kind.scale}
        return {"type": "bytes", "logicalType": "decimal", **sizes}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"type": "array", "items": _field(f"{path}_item", kind.field(0), column)["type"]}
    if pa.types.is_struct(kind) and all(_NAME.fullmatch(member.name) for member in kind):
        members = [_field(m.name, m, column) for m in kind]
        return {"type": "record", "name": path, "fields": members}
    msg = f"Avro cannot hold column {column!r}, a {kind}"
    raise EncodeError(msg, hint="cast it, or choose format='parquet'")
