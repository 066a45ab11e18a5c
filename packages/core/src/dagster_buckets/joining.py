"""Joining: one value of several objects, whose formats may differ in name or in settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.formats.base import (
    Format,
    Part,
    SupportsConcat,
    SupportsLazy,
    SupportsParts,
)
from dagster_buckets.formats.dask_types import is_bag
from dagster_buckets.formats.frames import concat_tables, from_arrow, is_frame_type
from dagster_buckets.objects import Payload
from dagster_buckets.powers import has_power
from dagster_buckets.references import ObjectRef

if TYPE_CHECKING:
    from dagster_buckets.formats.listed import ListPiece

__all__ = ["can_join", "concat_parts", "of_objects", "part_of", "scan_refs"]

Columns = Sequence[Mapping[str, str]] | None


def of_objects(chosen: Format) -> Format:
    """The format of the objects that hold a value's bytes: that of its parts, if it has any."""
    return cast("SupportsParts", chosen).inner if has_power(chosen, SupportsParts) else chosen


def can_join(formats: Sequence[Format], cls: type | None) -> bool:
    """Whether objects in these formats become one value of a class when they are read."""
    named = {chosen.name: of_objects(chosen) for chosen in formats}
    if cls is None or (len(named) > 1 and not is_frame_type(cls)):
        return False
    return all(
        (isinstance(chosen, SupportsConcat) and chosen.can_concat(cls))
        or (isinstance(chosen, SupportsLazy) and chosen.can_scan(cls))
        for chosen in named.values()
    )


def concat_parts(
    formats: Sequence[Format], parts: Sequence[Part], cls: type | None, columns: Columns
) -> Any:
    """One value of all parts, in this order; of several formats by way of Arrow.

    Args:
        formats: Of each part its own.
        parts: At least one.
        cls: What :func:`can_join` says yes to; ``None`` for the class that was written.
        columns: As of :meth:`~dagster_buckets.formats.base.SupportsConcat.concat`.

    Raises:
        DecodeError: They do not fit together.
    """
    if len({chosen.name for chosen in formats}) == 1:
        return cast("SupportsConcat", formats[0]).concat(parts, cls, columns)
    import pyarrow as pa

    tables, uris = [], []
    for _, group in groupby(range(len(parts)), key=lambda at: formats[at].name):
        of = list(group)
        more = None if columns is None else [columns[at] for at in of]
        chosen = cast("SupportsConcat", formats[of[0]])
        tables.append(chosen.concat([parts[at] for at in of], pa.Table, more))
        uris.append(parts[of[0]].uri)
    return from_arrow(concat_tables(tables, uris), cls, uris[0])


def scan_refs(
    formats: Sequence[Format], refs: Sequence[ObjectRef], cls: type, columns: Columns
) -> Any:
    """One scan over all objects, in this order.

    Each object has to keep the limits that its own format is set to, too: its schema is read twice
    where these differ.

    Args:
        formats: Of each object its own; all of one name.
        refs: At least one.
        cls: A class that they scan to.
        columns: As of :meth:`~dagster_buckets.formats.base.SupportsLazy.scan`.

    Raises:
        DecodeError: They do not fit together, or one exceeds a limit.
    """
    if is_bag(cls):
        # Each partition of it is read as its own object is, which can be a part or a value.
        from dagster_buckets.formats.dask_lists import bag_of

        return bag_of(cast("Sequence[ListPiece]", formats), refs, columns)
    # Settings are those of a manager, and so of a store.
    settings = {id(ref.store): chosen for chosen, ref in zip(formats, refs, strict=True)}
    for store, chosen in settings.items():
        if len(settings) > 1 and chosen != formats[0]:
            cast("SupportsLazy", chosen).scan([ref for ref in refs if id(ref.store) == store], cls)
    return cast("SupportsLazy", formats[0]).scan(refs, cls, columns)


def part_of(chosen: object, source: Payload | ObjectRef | None) -> Part | None:
    """What an object adds to the value of many; ``None`` without either."""
    if source is None or not has_power(chosen, SupportsConcat):
        return None
    return cast("SupportsConcat", chosen).part(source)
