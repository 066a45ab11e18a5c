"""References: stored values that were not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from dagster_buckets.objects import ObjectInfo, Payload
from dagster_buckets.stores.base import ObjectStore

__all__ = ["ObjectRef"]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A stored value of which nothing was read: where it lies, and two ways to read it.

    What an input annotated ``ObjectRef`` gets, for values too large for memory and for tools that
    take a URI or a file. Can be pickled into another process. Two references are equal if they
    describe the same version of the same object.

    Args:
        info: What the store said of the object when it was found.
        store: Where it lies.
        tail: Its last bytes, if they came along.
        statistics: What a manifest tells of its columns, by which a scan can leave it out:
            ``{column: {"nulls": …, "min": …, "max": …}}``, or ``{"value": …}`` where all rows have
            one value.
        partition: The key of its partition for each dimension; empty without partitions. In a
            :class:`~dagster_buckets.TableRef` the columns that are not stored in it.
        rows: How many, where something has told it.
        schema: The Arrow schema that a scan finds in it, where a manifest tells that, too.

    Example:
        >>> from dagster_buckets import Body, MemoryStore
        >>> store = MemoryStore("references")
        >>> ref = ObjectRef(store.put("notes/data.txt", Body.of(b"hello")), store)
        >>> ref.uri, ref.size
        ('memory://references/notes/data.txt', 5)
        >>> with ref.open() as file:
        ...     file.read(4)
        b'hell'
    """

    info: ObjectInfo
    store: ObjectStore = field(repr=False, compare=False)
    tail: bytes = field(default=b"", repr=False, compare=False)
    statistics: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict, repr=False, compare=False
    )
    partition: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    rows: int | None = field(default=None, repr=False, compare=False)
    schema: Any = field(default=None, repr=False, compare=False)

    @property
    def uri(self) -> str:
        """Absolute, with the store's scheme (``s3://…``, ``gs://…``, ``file://…``)."""
        return self.info.uri

    @property
    def size(self) -> int:
        """Bytes."""
        return self.info.size

    @property
    def etag(self) -> str:
        """Another one for every version; empty where the store gives none."""
        return self.info.etag

    @property
    def modified(self) -> datetime:
        """When it was written, with a time zone."""
        return self.info.modified

    def open(self) -> BinaryIO:
        """A seekable reader that fetches only what is read, always of this version.

        The bytes are not verified: use it for formats with checksums of their own.

        Raises:
            ObjectNotFoundError: The object was deleted; also raised by the reader.
            StoreUnavailableError: It was written again; also raised by the reader.
        """
        return self.store.open(self.info.key, self.info)

    def get(self) -> Payload:
        """All bytes, verified, and what the store says of the version that they come from.

        Raises:
            ObjectNotFoundError: The object was deleted.
            IntegrityError: It did not verify, twice.
        """
        return self.store.get(self.info.key)
