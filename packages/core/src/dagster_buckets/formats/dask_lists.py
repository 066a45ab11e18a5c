"""Dask: bags and lists of ``Delayed``, whose parts its workers write and read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import PartitionError
from dagster_buckets.formats.plans import Plan
from dagster_buckets.manifests import Holds, Manifest, PartEntry
from dagster_buckets.objects import Body, Description
from dagster_buckets.parts import PartFolder, new_write_id, verified_part

if TYPE_CHECKING:
    from dagster_buckets.formats.base import Format
    from dagster_buckets.formats.listed import ListPiece
    from dagster_buckets.references import ObjectRef

__all__ = ["bag_of", "delayed_of", "plan_of_bag", "plan_of_list"]


def plan_of_bag(bag: Any, folder: PartFolder, inner: Format, label: str | None) -> Plan:
    """What writes each partition of a bag as a part: a list in this format."""
    import dask.bag as db

    write = _Writer(folder, inner, new_write_id(), label)
    numbers = db.from_sequence(range(bag.npartitions), partition_size=1)
    report = bag.map_partitions(write.piece, numbers)
    return Plan(type(bag), report, _manifest(inner, "lists"), folder, write.write_id)


def plan_of_list(
    values: Sequence[Any], folder: PartFolder, inner: Format, label: str | None
) -> Plan:
    """What writes each of these ``Delayed`` as a part: a value in this format."""
    import dask

    write = _Writer(folder, inner, new_write_id(), label)
    holds: Holds = "items" if values else "lists"
    task = dask.delayed(write.item, pure=False)
    # There is at least one part, of a list without items too.
    tasks = [task(value, number) for number, value in enumerate(values or [[]])]
    report = dask.delayed(list, pure=False)(tasks)
    return Plan(type(report), report, _manifest(inner, holds), folder, write.write_id)


def bag_of(
    formats: Sequence[ListPiece],
    refs: Sequence[ObjectRef],
    columns: Sequence[Mapping[str, str]] | None = None,
) -> Any:
    """A bag with a partition for each object, of which nothing is read yet.

    Args:
        formats: Of each object its own.
        refs: The objects; at least one.
        columns: As of :meth:`~dagster_buckets.formats.base.SupportsLazy.scan`.

    Raises:
        PartitionError: Partition columns are asked for, which a bag cannot have.
    """
    import dask
    import dask.bag as db

    if any(columns or ()):
        msg = "partition columns are asked for, and a bag has no columns"
        raise PartitionError(msg, hint="annotate the input with dict[str, dask.bag.Bag]")
    pairs = zip(formats, refs, strict=True)
    return db.from_delayed(
        [
            dask.delayed(partial(how.items, replace(ref, tail=b"")), pure=False)()
            for how, ref in pairs
        ]
    )


def delayed_of(inner: Format, refs: Sequence[ObjectRef]) -> list[Any]:
    """A ``Delayed`` for each part, in order, of which nothing is read yet."""
    import dask

    return [dask.delayed(partial(_read, inner, ref), pure=False)() for ref in refs]


def _read(inner: Format, ref: ObjectRef) -> Any:
    return inner.decode(verified_part(ref), None)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What a task does with a part, and what it needs for that."""

    folder: PartFolder
    inner: Format
    write_id: str
    label: str | None

    def piece(self, items: Iterable[Any], number: Iterable[int]) -> list[PartEntry]:
        found, (at,) = list(items), number
        return [self._put(found, at, len(found))]

    def item(self, value: Any, number: int) -> PartEntry:
        return self._put(value, number, 1)

    def _put(self, value: Any, number: int, count: int) -> PartEntry:
        # Held in full, because a stream has no digest beforehand.
        body = Body.of(self.inner.encode(value).joined())
        name = f"part-{self.write_id}-{number:05}-{uuid.uuid4().hex[:8]}.{self.inner.extension}"
        info = self.folder.put(name, body, self.inner.name, self.label)
        digest = (info.header.digest if info.header else None) or ""
        return PartEntry(name, info.size, digest, count)

    def __dask_tokenize__(self) -> str:
        return self.write_id


def _manifest(inner: Format, holds: Holds) -> Any:
    def body(entries: Iterable[PartEntry]) -> Body:
        manifest = Manifest.of_list(inner.name, holds, tuple(entries))
        told = Description(parts=len(manifest.parts), parts_size=manifest.size)
        return Body.of(manifest.to_bytes(), description=lambda _: told)

    return body
