"""Previews: what is in a stored value, told from as few of its bytes as its format allows."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from dagster_buckets.cli.manifests import folder_of
from dagster_buckets.errors import BucketsError
from dagster_buckets.fetching import is_none
from dagster_buckets.formats.base import SupportsConcat, SupportsFirstRows, SupportsParts
from dagster_buckets.formats.describing import columns_of, values_of
from dagster_buckets.manifests import Manifest
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import Column, Payload
from dagster_buckets.plugins import format_by_extension, get_format
from dagster_buckets.powers import has_power
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.cli.inventory import Entry
    from dagster_buckets.formats.base import Format
    from dagster_buckets.formats.compression import Codec
    from dagster_buckets.stores.base import ObjectStore
    from dagster_buckets.values import ValueStore

__all__ = ["Kind", "Preview", "preview"]

Kind = Literal["table", "text", "arrays", "none", "code", "opaque"]

#: The end of an object that comes with what is known of it: most footers, and small objects whole.
_END = 128 * 1024
#: Larger objects are not read in full.
_WHOLE = 16 * 1024 * 1024
#: Of text so many bytes are shown.
_TEXT = 2000
_ARRAYS = ("npy", "npz", "safetensors")


@dataclass(frozen=True, slots=True)
class Preview:
    """What there is to see of a value.

    Attributes:
        kind: ``table``, ``text``, ``arrays``, ``none`` (a stored ``None``), ``code`` (a format that
            runs code when it is read, so it is not) or ``opaque``.
        rows: How many; ``None`` where nothing short of reading it tells.
        columns: Of a table.
        head: Its first rows.
        text: The beginning of a text.
        arrays: Name, type and shape of each.
        note: What is not shown, and why.
    """

    kind: Kind
    rows: int | None = None
    columns: tuple[Column, ...] | None = None
    head: tuple[dict[str, Any], ...] | None = None
    text: str | None = None
    arrays: tuple[dict[str, Any], ...] | None = None
    note: str | None = None


def preview(values: ValueStore, entry: Entry, rows: int) -> Preview:
    """What is in a value; nothing that runs code is ever decoded.

    Of Parquet the footer is read, and the first group of rows if rows are wanted; of Arrow IPC the
    schema and the first batches; of text the beginning. Other formats are read in full up to
    16 MiB, and not above it.

    Args:
        values: The data path.
        entry: The value.
        rows: How many rows to give.

    Raises:
        ObjectNotFoundError: It was deleted.
        DecodeError: It is not in its format.
    """
    found = _format_of(entry)
    if found is None:
        return Preview("opaque", note="no installed format reads it")
    plain, codec = found
    if getattr(plain, "runs_code", False):
        note = f"{plain.name} runs code of whoever wrote it when it is read, so it was not read; "
        note += "load it in Python, with defs.load_asset_value(…), if you trust the bucket"
        return Preview("code", note=note)
    chosen = values.formats.found(entry.extension) or plain
    end = values.store.peek(entry.info.key, _END)
    if _whole(end) and is_none(end):
        return Preview("none", note="None was stored")
    if entry.is_manifest and has_power(chosen, SupportsParts):
        return _of_parts(cast("SupportsParts", chosen), end, values, entry, rows)
    if _is_text(plain) and not isinstance(plain, SupportsConcat):
        return _text(values.store, end, codec)
    return (
        _table(chosen, end, values.store, rows)
        or (_text(values.store, end, codec) if _is_text(plain) else None)
        or _arrays(chosen, end, values.store)
    )


def _format_of(entry: Entry) -> tuple[Format, Codec | None] | None:
    if entry.extension:
        return format_by_extension(entry.extension.removesuffix(f".{MANIFEST}"))
    name = entry.info.header.format if entry.info.header else None
    try:
        return None if name is None else (get_format(name), None)
    except BucketsError:
        return None


def _whole(end: Payload) -> bool:
    return memoryview(end.data).nbytes == end.info.size


def _table(chosen: Format, end: Payload, store: ObjectStore, rows: int) -> Preview | None:
    """The preview of what a format can give as a table; ``None`` for other formats."""
    if not isinstance(chosen, SupportsConcat):
        return None
    import pyarrow as pa

    if not chosen.can_concat(pa.Table):
        return None
    if _whole(end):
        return _of_table(chosen.decode(end, pa.Table), rows)
    if isinstance(chosen, SupportsFirstRows):
        first = chosen.first_rows(ObjectRef(end.info, store, bytes(end.data)), rows)
        return replace(_of_table(first.table, rows), rows=first.total)
    if end.info.size > _WHOLE:
        return None
    return _of_table(chosen.decode(store.get(end.info.key), pa.Table), rows)


def _of_parts(
    chosen: SupportsParts, end: Payload, values: ValueStore, entry: Entry, rows: int
) -> Preview:
    """What the manifest tells: of a table rows and columns, and the first rows of the first part.

    Of a list the text of its first part, if it has one.
    """
    payload = end if _whole(end) else values.store.get(entry.info.key)
    manifest = Manifest.of(payload)
    first = folder_of(values.store, entry).key(manifest.parts[0].name)
    count = len(manifest.parts)
    if manifest.holds != "rows":
        end = values.store.peek(first, _END)
        seen = Preview("opaque")
        if _is_text(chosen.inner):
            codec = cast("Codec | None", getattr(chosen.inner, "compression", None))
            seen = _text(values.store, end, codec)
        told = f"a list of {manifest.rows:,} in {count:,} parts"
        return replace(seen, note=f"{told}, of which the first is shown" if seen.text else told)
    found = _table(chosen.inner, values.store.peek(first, _END), values.store, rows)
    note = f"in {count:,} parts" if count > 1 else None
    head = found.head if found else None
    return Preview("table", manifest.rows, columns_of(manifest.schema), head, note=note)


def _of_table(table: pa.Table, rows: int) -> Preview:
    head = _dicts(table.slice(0, rows)) if rows else None
    return Preview("table", table.num_rows, columns_of(table.schema), head)


def _dicts(table: pa.Table) -> tuple[dict[str, Any], ...]:
    columns = [values_of(column) for column in table.columns]
    names = table.column_names
    return tuple(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _is_text(chosen: Format) -> bool:
    media_type = chosen.media_type.partition(";")[0]
    return media_type.startswith("text/") or media_type.endswith(("json", "jsonl", "ndjson"))


def _text(store: ObjectStore, end: Payload, codec: Codec | None) -> Preview:
    whole = io.BytesIO(end.data) if _whole(end) else None
    with whole or store.open(end.info.key, end.info) as file:
        data = _unpacked(file, codec) if codec else file.read(_TEXT + 1)
    note = "only the beginning is shown" if len(data) > _TEXT else None
    # A letter may be cut in two.
    return Preview("text", text=data[:_TEXT].decode("utf-8", "replace").rstrip("\ufffd"), note=note)


def _unpacked(file: BinaryIO, codec: Codec) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(cast("Any", file), mode="r"), codec) as packed:
        return bytes(packed.read(_TEXT + 1))


def _arrays(chosen: Format, end: Payload, store: ObjectStore) -> Preview:
    if chosen.name not in _ARRAYS:
        return Preview("opaque")
    if end.info.size > _WHOLE:
        return Preview("opaque", note=f"{chosen.name} of more than 16 MiB is not looked into")
    value = chosen.decode(end if _whole(end) else store.get(end.info.key), None)
    named = value if isinstance(value, dict) else {None: value}
    arrays = tuple(
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in named.items()
    )
    return Preview("arrays", arrays=arrays)
