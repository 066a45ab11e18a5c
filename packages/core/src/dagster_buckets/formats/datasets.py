"""Datasets: many stored objects as one Arrow dataset that reads what a query needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import and_
from typing import Any, Literal, TypeAlias, cast

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from dagster_buckets.errors import BucketsError, DecodeError
from dagster_buckets.formats.frames import arrow_buffer, shared_notes, without_note
from dagster_buckets.formats.object_files import ObjectFiles, check_version, open_ranges
from dagster_buckets.formats.schemas import check_castable, constants_of, unified, without_order
from dagster_buckets.references import ObjectRef

__all__ = ["Kind", "ObjectsDataset", "open_dataset"]

#: The name of the format that all objects of a dataset have.
Kind: TypeAlias = Literal["parquet", "arrow"]

#: How many schemas are read at the same time.
_MAX_CONCURRENCY = 32

#: In an object of up to so many bytes Arrow reads all of it to find the schema.
_FOOTER = 64 * 1024


def open_dataset(
    kind: Kind, refs: Sequence[ObjectRef], columns: Sequence[Mapping[str, str]] | None = None
) -> ObjectsDataset:
    """One dataset over all objects, in this order; only their schemas are read.

    Raises:
        ObjectNotFoundError: An object was deleted.
        DecodeError: An object is not in this format, or a column of it does not go together with
            those before it; names the object and the column.
    """
    schemas = _read_schemas(kind, refs)
    uris = [ref.uri for ref in refs]
    schema = unified(schemas, uris)
    check_castable(schemas, uris, schema)
    constants = constants_of(schemas, uris, columns)
    fields = [without_order(field) for field in schema]
    fields += [
        pa.field(name, pa.string()) for name in dict.fromkeys(n for c in constants for n in c)
    ]
    return ObjectsDataset(
        kind, refs, constants, pa.schema(fields, without_note(shared_notes(schemas[0])))
    )


class ObjectsDataset(ds.FileSystemDataset):
    """An Arrow dataset whose files are objects of a store.

    Everything that the methods of a dataset give works. Each scan fetches only objects that its
    filter on partition columns leaves, and reads small ones ahead, in parallel. Can be pickled.

    Args:
        kind: The format of all objects.
        refs: The objects.
        constants: The constant columns of each.
        schema: What all of them fit into, with the constant columns.
    """

    _kind: Kind
    #: ``None`` in what Arrow derives from a dataset, such as ``dataset.filter(…)``.
    _refs: tuple[ObjectRef, ...] | None = None

    def __init__(
        self,
        kind: Kind,
        refs: Sequence[ObjectRef],
        constants: Sequence[Mapping[str, str]],
        schema: pa.Schema,
    ) -> None:
        files = pyarrow.fs.PyFileSystem(ObjectFiles(refs))
        pairs = list(zip(refs, constants, strict=True))
        super().__init__(_fragments(kind, pairs, files), schema, _file_format(kind), files)
        self._kind = kind
        self._refs = tuple(refs)
        self._constants = tuple(constants)
        self._positions = {ref.uri: position for position, ref in enumerate(refs)}

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectsDataset, (self._kind, self._refs, self._constants, self.schema)

    def scanner(  # type: ignore[override]  # its options differ between Arrow's versions
        self,
        columns: Any = None,
        filter: Any = None,  # noqa: A002 - Arrow's name
        **options: Any,
    ) -> ds.Scanner:
        """A scan over the objects that the filter leaves; see Arrow's ``Dataset.scanner``."""
        if self._refs is None:
            return super().scanner(columns=columns, filter=filter, **options)
        left = [self._positions[fragment.path] for fragment in self.get_fragments(filter)]
        refs = [self._refs[position] for position in left]
        # Files of its own: they know the order in which this very scan opens them.
        files = pyarrow.fs.PyFileSystem(ObjectFiles(refs, complete=True))
        pairs = [(self._refs[position], self._constants[position]) for position in left]
        dataset = ds.FileSystemDataset(
            _fragments(self._kind, pairs, files), self.schema, self.format, files
        )
        return cast(
            "ds.Scanner", _Scanner(dataset.scanner(columns=columns, filter=filter, **options))
        )


class _Scanner:
    """A scanner of Arrow's, except for one method that can block for ever."""

    def __init__(self, scanner: ds.Scanner) -> None:
        self._scanner = scanner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_reader(self) -> pa.RecordBatchReader:
        """All batches as a stream.

        Arrow's own method starts the scan while it holds the interpreter's lock, which the threads
        that open our files need before they let go of locks that the method waits for.
        """
        batches = self._scanner.to_batches()
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, batches)


def _fragments(
    kind: Kind, pairs: Sequence[tuple[ObjectRef, Mapping[str, str]]], files: pyarrow.fs.FileSystem
) -> list[ds.Fragment]:
    file_format = _file_format(kind)
    return [
        file_format.make_fragment(ref.uri, files, partition_expression=_expression(constants))
        for ref, constants in pairs
    ]


def _expression(constants: Mapping[str, str]) -> ds.Expression | None:
    terms = [ds.field(name) == pa.scalar(value, pa.string()) for name, value in constants.items()]
    return reduce(and_, terms) if terms else None


def _file_format(kind: Kind) -> ds.FileFormat:
    if kind == "arrow":
        return ds.IpcFileFormat()
    options = ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)


def _read_schemas(kind: Kind, refs: Sequence[ObjectRef]) -> list[pa.Schema]:
    workers = min(_MAX_CONCURRENCY, len(refs))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="buckets-schema")
    try:
        futures = [pool.submit(_read_schema, kind, ref) for ref in refs]
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_schema(kind: Kind, ref: ObjectRef) -> pa.Schema:
    try:
        if ref.size <= _FOOTER:
            payload = ref.get()
            check_version(ref, payload.info)
            return _schema_of(kind, pa.BufferReader(arrow_buffer(payload.data)))
        with open_ranges(ref) as file:
            return _schema_of(kind, file)
    except BucketsError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        msg = f"{ref.uri} is not a readable file of format {kind!r}: {error}"
        hint = "materialize it again, or name the format it has in dagster_buckets/format"
        raise DecodeError(msg, uri=ref.uri, hint=hint) from error


def _schema_of(kind: Kind, file: pa.NativeFile) -> pa.Schema:
    if kind == "arrow":
        return pa.ipc.open_file(file).schema
    return pq.ParquetFile(file).schema_arrow
