"""Datasets: many stored objects as one Arrow dataset that reads what a query needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from dagster_buckets.formats.frames import shared_notes, without_note
from dagster_buckets.formats.known_values import known_of, plain_type, typed_value
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.object_files import FooterCheck, ObjectFiles, Planner, paths_of
from dagster_buckets.formats.object_schemas import Kind, read_schemas
from dagster_buckets.formats.parquet_plans import groups_left, ranges_of
from dagster_buckets.formats.projection import Projection
from dagster_buckets.formats.ranged_files import Range, open_ranges
from dagster_buckets.formats.schemas import (
    check_castable,
    constants_of,
    only,
    unified,
    without_order,
)
from dagster_buckets.references import ObjectRef

__all__ = ["Kind", "Objects", "ObjectsDataset", "open_dataset"]


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a dataset.

    Attributes:
        kind: The format of all of them.
        refs: Where they lie.
        constants: Of each the columns that have one value in it.
        check: What footers are compared with that were not read before.
    """

    kind: Kind
    refs: tuple[ObjectRef, ...]
    constants: tuple[Mapping[str, str], ...]
    check: FooterCheck | None = None

    @property
    def names(self) -> list[str]:
        """Of the constant columns."""
        return list(dict.fromkeys(name for constants in self.constants for name in constants))

    def at(self, positions: Sequence[int]) -> Objects:
        """Those at these positions."""
        refs = tuple(self.refs[position] for position in positions)
        return replace(
            self, refs=refs, constants=tuple(self.constants[position] for position in positions)
        )

    def left(self, schema: pa.Schema, rows: ds.Expression | None) -> list[int]:
        """The positions of those that can have such rows, by what is known of their columns."""
        fragments, kind, files = self.as_files(schema, complete=False)
        dataset = ds.FileSystemDataset(fragments, schema, kind, files)
        positions = {path: place for place, path in enumerate(paths_of(self.refs))}
        return [positions[fragment.path] for fragment in dataset.get_fragments(rows)]

    def settled(self, schema: pa.Schema) -> Mapping[str, pa.Array[Any]]:
        """The columns that have one value in each object: that of each; texts of dictionaries."""
        found: dict[str, pa.Array[Any]] = {
            name: pa.array([constants.get(name) for constants in self.constants], pa.string())
            for name in self.names
        }
        for name, first in self.refs[0].statistics.items():
            told = [ref.statistics.get(name, {}) for ref in self.refs] if "value" in first else []
            if told and name in schema.names and all("value" in of for of in told):
                kind = plain_type(schema.field(name).type)
                found[name] = pa.array([typed_value(of["value"], kind) for of in told], kind)
        return found

    def as_files(
        self, schema: pa.Schema, *, complete: bool, planner: Planner | None = None
    ) -> tuple[list[ds.Fragment], ds.FileFormat, pyarrow.fs.FileSystem]:
        """What Arrow makes a dataset of this schema of; see :class:`ObjectFiles`."""
        handler = ObjectFiles(self.refs, complete=complete, planner=planner, check=self.check)
        files = pyarrow.fs.PyFileSystem(handler)
        kind = _file_format(self.kind)
        fragments = [
            kind.make_fragment(path, files, partition_expression=known_of(constants, ref, schema))
            for path, ref, constants in zip(
                paths_of(self.refs), self.refs, self.constants, strict=True
            )
        ]
        return fragments, kind, files


def open_dataset(
    kind: Kind,
    refs: Sequence[ObjectRef],
    columns: Sequence[Mapping[str, str]] | None = None,
    *,
    wanted: Sequence[str] | None = None,
    limit: Limit | None = None,
) -> ObjectsDataset:
    """One dataset over all objects, in this order; only their schemas are read.

    Args:
        kind: The format of all objects.
        refs: The objects.
        columns: Of each object the constant columns to add.
        wanted: The columns that are going to be read; ``None`` if all may be.
        limit: What these may become in a group of rows, as far as the footer of Parquet tells.

    Raises:
        ObjectNotFoundError: An object was deleted.
        DecodeError: An object is not in this format, a group of its rows is too large, or a column
            of it does not go together with those before it; names the object and the column.
    """
    schemas, refs = read_schemas(kind, refs, wanted, limit or Limit())
    uris = [ref.uri for ref in refs]
    schema = unified(schemas, uris)
    check_castable(schemas, uris, schema)
    check = FooterCheck(wanted, limit or Limit()) if kind == "parquet" else None
    objects = Objects(kind, tuple(refs), tuple(constants_of(schemas, uris, columns)), check)
    fields = [without_order(field) for field in schema]
    fields += [pa.field(name, pa.string()) for name in objects.names]
    notes = without_note(shared_notes(schemas[0]))
    return ObjectsDataset(objects, pa.schema(fields, notes))


class ObjectsDataset(ds.FileSystemDataset):
    """An Arrow dataset whose files are the objects of a store.

    All methods of a dataset work, from any thread and any number of times. A scan fetches only
    objects that its filter on constant columns leaves, and reads small ones ahead, in parallel. Can
    be pickled.

    Args:
        objects: What to read.
        schema: What all of them fit into, with the constant columns.
        names: The columns that it has of these; ``None`` for all.
        rows: The rows that it has; ``None`` for all. May use all columns.

    Example:
        >>> from dagster_buckets import MemoryStore
        >>> from dagster_buckets.formats.parquet import ParquetFormat
        >>> store = MemoryStore("datasets")
        >>> bodies = [ParquetFormat().encode(pa.table({"n": [n]})) for n in (1, 2)]
        >>> infos = [store.put(f"day={i}/data.parquet", body) for i, body in enumerate(bodies)]
        >>> refs = [ObjectRef(info, store) for info in infos]
        >>> dataset = open_dataset("parquet", refs, [{"day": "0"}, {"day": "1"}])
        >>> dataset.to_table(filter=ds.field("day") == "1").to_pydict()
        {'n': [2], 'day': ['1']}
    """

    #: ``None`` in what Arrow derives from this dataset, such as ``dataset.filter(…)``.
    _objects: Objects | None = None

    def __init__(
        self,
        objects: Objects,
        schema: pa.Schema,
        names: Sequence[str] | None = None,
        rows: ds.Expression | None = None,
    ) -> None:
        fragments, kind, files = objects.as_files(schema, complete=False)
        super().__init__(fragments, only(schema, names), kind, files)
        self._objects = objects
        self._whole, self._names, self._rows = schema, names, rows
        self._all = ds.FileSystemDataset(fragments, schema, kind, files)
        if rows is not None:
            # Arrow's own note of a filter, which all that it derives from this dataset keeps.
            self._scan_options = {"filter": rows}
        self._positions = {path: place for place, path in enumerate(paths_of(objects.refs))}

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectsDataset, (self._objects, self._whole, self._names, self._rows)

    @property
    def objects(self) -> Objects:
        """What it reads."""
        return self._known()

    def having(
        self, names: Sequence[str] | None = None, rows: ds.Expression | None = None
    ) -> ObjectsDataset:
        """The same objects with these columns and rows only."""
        return ObjectsDataset(self._known(), self._whole, names, rows)

    def filter(self, expression: ds.Expression) -> ObjectsDataset:
        """The rows of this dataset of which the expression is true."""
        if self._objects is None:
            return super().filter(expression)
        rows = expression if self._rows is None else self._rows & expression
        return self.having(self._names, rows)

    def left(self, rows: ds.Expression | None) -> list[int]:
        """The positions of the objects that can hold such rows, by what is known of each."""
        return [self._positions[fragment.path] for fragment in self._all.get_fragments(rows)]

    def at(self, positions: Sequence[int]) -> ObjectsDataset:
        """The same columns and rows of the objects at these positions."""
        return self.of(self._known().at(positions))

    def of(self, objects: Objects) -> ObjectsDataset:
        """The same columns and rows of other objects, which have the same schema."""
        return ObjectsDataset(objects, self._whole, self._names, self._rows)

    def _known(self) -> Objects:
        if self._objects is None:
            msg = "this dataset was derived from another, which has the objects"
            raise AttributeError(msg)
        return self._objects

    def scanner(  # type: ignore[override]  # its options differ between Arrow's versions
        self,
        columns: Any = None,
        filter: Any = None,  # noqa: A002 - Arrow's name
        **options: Any,
    ) -> ds.Scanner:
        """A scan over the objects that the filter leaves; see Arrow's ``Dataset.scanner``."""
        if self._objects is None:
            return super().scanner(columns=columns, filter=filter, **options)
        if columns is None:
            columns = self._names
        if self._rows is not None:
            filter = self._rows if filter is None else self._rows & filter  # noqa: A001
        left = self.left(filter)
        # Files of its own: they know the order in which this very scan opens them.
        planner = self._planner(columns, filter)
        fragments, kind, files = self._objects.at(left).as_files(
            self._whole, complete=True, planner=planner
        )
        dataset = ds.FileSystemDataset(fragments, self._whole, kind, files)
        scanner = dataset.scanner(columns=columns, filter=filter, **options)
        # Arrow's own class cannot be inherited from.
        return cast("ds.Scanner", _Scanner(scanner))

    def _planner(self, columns: Any, rows: ds.Expression | None) -> Planner | None:
        """What tells the ranges that a scan reads of a large object, if that can be told."""
        if self._known().kind != "parquet" or not (columns is None or isinstance(columns, list)):
            return None
        projection = Projection(columns, rows)
        used = None
        if columns is not None:
            used = {*columns, *projection.used(self._whole)}

        def plan(ref: ObjectRef) -> Sequence[Range]:
            if not ref.tail:
                return ()
            try:
                groups, footer = groups_left(open_ranges(ref), rows)
                return ranges_of(footer, groups, used)
            except (pa.ArrowException, OSError, TypeError, ValueError):
                # Arrow itself says what is wrong, if it finds something wrong.
                return ()

        return plan

    def _scanner_options(self, options: dict[str, Any]) -> dict[str, Any]:
        # Arrow calls this for scanners that it makes without asking us, as DuckDB before version 2
        # does: those go on to the method that can block for ever (see below). Where the thread
        # that reads is the only one it never does: 7,800 scans, of some hundred with threads.
        chosen = super()._scanner_options({**options, "use_threads": False})  # type: ignore[misc]
        return dict(chosen)


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


def _file_format(kind: Kind) -> ds.FileFormat:
    if kind == "arrow":
        return ds.IpcFileFormat()
    options = ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)
