"""Object files: stored objects as the files of an Arrow file system, read when Arrow opens them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from dagster_buckets.formats import leaving
from dagster_buckets.formats.frames import arrow_buffer
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.parquet_limits import check_footer
from dagster_buckets.formats.parquet_plans import read_footer, with_footer
from dagster_buckets.formats.ranged_files import Range, open_ranges
from dagster_buckets.formats.readahead import Readahead
from dagster_buckets.objects import ObjectInfo
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.base import changed

__all__ = ["WHOLE_SIZE", "FooterCheck", "ObjectFiles", "Planner", "check_version", "paths_of"]

#: Tells the ranges of an object that will be read; none where it does not know.
Planner: TypeAlias = Callable[[ObjectRef], Sequence[Range]]

#: Objects of up to so many bytes are fetched whole and verified: what one request carries.
WHOLE_SIZE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FooterCheck:
    """What groups of rows of Parquet may become, as far as the footer tells.

    Attributes:
        wanted: The columns that count; ``None`` for all.
        limit: What they may become.
    """

    wanted: Sequence[str] | None
    limit: Limit

    def of(self, ref: ObjectRef, footer: pq.FileMetaData) -> None:
        """Refuse an object.

        Raises:
            DecodeError: A group of its rows is too large.
        """
        check_footer(footer, self.wanted, self.limit.of(ref.size, ref.uri))


def _read_only(*_: object) -> NoReturn:
    msg = "the objects of a scan cannot be changed"
    raise io.UnsupportedOperation(msg)


_refuse: Any = _read_only


class ObjectFiles(pyarrow.fs.FileSystemHandler):
    """The objects of one scan as read-only files; a file's path is the URI of the object.

    Objects of up to :data:`WHOLE_SIZE` bytes are fetched whole, verified, and fetched ahead when
    they are opened in order. Of larger ones only those ranges are fetched that Arrow asks for.
    What Arrow gets lies in memory of its own. Opening an object that was written again since the
    reference was made is an error. Can be pickled.

    Args:
        refs: The objects, in the order in which they are going to be opened.
        complete: Whether all of them will be opened, unless the reader stops.
        planner: Tells which ranges of a large object will be read.
        check: What the footers of Parquet have to pass, of objects that came with their schema:
            those of others were read when that was learned.

    Example:
        >>> from dagster_buckets import Body, MemoryStore
        >>> store = MemoryStore("object-files")
        >>> files = ObjectFiles([ObjectRef(store.put("a.bin", Body.of(b"hello")), store)])
        >>> pyarrow.fs.PyFileSystem(files).open_input_file("memory://object-files/a.bin").read()
        b'hello'
    """

    def __init__(
        self,
        refs: Sequence[ObjectRef],
        *,
        complete: bool = False,
        planner: Planner | None = None,
        check: FooterCheck | None = None,
    ) -> None:
        self._refs = tuple(refs)
        self._planner = planner
        self._check = check
        self._positions = {path: position for position, path in enumerate(paths_of(refs))}
        sizes = [ref.size if ref.size <= WHOLE_SIZE else None for ref in refs]
        self._ahead = Readahead(self._fetch, sizes, complete=complete)
        leaving.held(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(ObjectFiles, check=self._check), (self._refs,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectFiles) and self._refs == other._refs

    def __hash__(self) -> int:
        return hash(self._refs)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Called by Arrow, mostly on its own threads."""
        position = self._positions[path]
        ref = self._refs[position]
        with leaving.called():
            if ref.size <= WHOLE_SIZE:
                data = self._ahead.take(position)
                self._checked(ref, lambda: pq.read_metadata(pa.BufferReader(data)))
                return pa.BufferReader(data)
            if self._check is not None:
                ref = with_footer(ref)
                self._checked(ref, lambda: read_footer(ref))
            return open_ranges(ref, self._planner(ref) if self._planner else ())

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """As :meth:`open_input_file`."""
        return self.open_input_file(path)

    def get_file_info(self, paths: str | list[str]) -> list[pyarrow.fs.FileInfo]:
        """What the references say; no request."""
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: pyarrow.fs.FileSelector) -> NoReturn:
        """There are no folders."""
        raise io.UnsupportedOperation(selector.base_dir)

    def get_type_name(self) -> str:
        """The name of this kind of file system."""
        return "dagster-buckets"

    def normalize_path(self, path: str) -> str:
        """A URI is what it is."""
        return path

    def _checked(self, ref: ObjectRef, read: Callable[[], pq.FileMetaData]) -> None:
        if self._check is None or ref.schema is None:
            return
        footer = None
        with suppress(pa.ArrowException, OSError):  # Arrow itself says what is wrong
            footer = read()
        if footer is not None:
            self._check.of(ref, footer)

    def _info(self, path: str) -> pyarrow.fs.FileInfo:
        if path not in self._positions:
            return pyarrow.fs.FileInfo(path, pyarrow.fs.FileType.NotFound)
        ref = self._refs[self._positions[path]]
        return pyarrow.fs.FileInfo(
            path, pyarrow.fs.FileType.File, size=ref.size, mtime=ref.modified
        )

    def _fetch(self, position: int) -> pa.Buffer:
        ref = self._refs[position]
        payload = ref.get()
        check_version(ref, payload.info)
        return arrow_buffer(payload.data)

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse


def paths_of(refs: Sequence[ObjectRef]) -> list[str]:
    """The paths of these objects: their URIs, with a number for one that was there before."""
    seen: set[str] = set()
    paths = []
    for number, ref in enumerate(refs):
        path = f"{ref.uri}#{number}" if ref.uri in seen else ref.uri
        seen.add(ref.uri)
        paths.append(path)
    return paths


def check_version(ref: ObjectRef, info: ObjectInfo) -> None:
    """Refuse an object that is not the one that a reference describes any more.

    Raises:
        StoreUnavailableError: It was written again.
    """
    if ref.etag and info.etag and ref.etag != info.etag:
        raise changed(ref.uri)
