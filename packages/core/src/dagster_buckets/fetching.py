"""Fetching: from where values lie to their bytes, or what there is to know before any are read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import ObjectNotFoundError, StoreUnavailableError, concerning
from dagster_buckets.formats.base import (
    Format,
    Part,
    Parts,
    SupportsConcat,
    SupportsLazy,
    SupportsListedParts,
    SupportsParts,
    SupportsStreaming,
    SupportsStructures,
)
from dagster_buckets.formats.dask_types import delayed_class, is_bag
from dagster_buckets.formats.frames import is_reader_type
from dagster_buckets.formats.lazy import is_lazy_type
from dagster_buckets.formats.limits import Tally
from dagster_buckets.joining import part_of
from dagster_buckets.objects import ObjectInfo, Payload
from dagster_buckets.placing import Located
from dagster_buckets.powers import has_power
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.base import Answered, ObjectStore, SupportsPrefetch

__all__ = ["NONE", "Fetcher", "Piece", "is_none", "keys_of"]

#: The bytes of a stored ``None`` in formats that have none of their own: a value, not a gap.
NONE = b"dagster-buckets:none:6f1d0c5e9b7a4e02\n"
#: Of an object that is scanned so much comes along with what the store says of it: most footers.
_SCANNED_FIRST = 128 * 1024
#: Seconds between the tries of what is said to be missing, and is not.
_WAITS = (0.0, 0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one request brought of a value: one of the four.

    Attributes:
        located: Where it lies.
        size: The bytes that were transferred.
        payload: Its bytes.
        part: What it adds to the value of many.
        ref: What there is to know of it without reading it, or before.
        parts: The objects that its manifest names.
        tally: Counts what they become in memory, if it is one of them.
    """

    located: Located
    size: int = 0
    payload: Payload | None = None
    part: Part | None = None
    ref: ObjectRef | None = None
    parts: Parts | None = None
    tally: Tally | None = None

    @property
    def holds_none(self) -> bool:
        """Whether the value is a stored ``None``. Reads a reference of just that size."""
        if self.ref is not None and self.ref.size == len(NONE):
            return is_none(self.ref.get())
        return self.payload is not None and is_none(self.payload)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches values that one class shall be made of.

    Args:
        as_type: The class that each value, or all of them together, shall be; ``None`` for the one
            that was written.
        columns: Whether a frame gets the keys of its partition as columns.
        joins: Whether several values become one, and are prepared for it as they come.
        annotation: What each value shall be, for formats that know more than classes; comes before
            ``as_type`` there.
    """

    as_type: type | None = None
    columns: bool = False
    joins: bool = False
    annotation: Any = None
    #: As many threads decode as there are processors: those that wait for bytes are many more, and
    #: all of them at once would only take Python's lock from each other.
    decoding: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(os.cpu_count() or 1), repr=False, compare=False
    )

    def can_prefetch(self, located: Located) -> bool:
        """Whether the value's object is read as a whole, and its store needs no thread for that."""
        chosen = self.seen(located).format
        return (
            has_power(located.places.store, SupportsPrefetch)
            and not has_power(chosen, SupportsParts)
            and not self._only_head(chosen)
            and self._first_of(chosen) is None
        )

    def piece(self, located: Located, answered: Answered | None = None) -> Piece:
        """Fetch a value's bytes, or only what the store says of it where nothing is read yet.

        One request. A 404 can be transient, so before a value counts as missing the store is asked
        in another way; what it has is then asked for again.

        Args:
            located: Where it lies.
            answered: What its store has said already, if it was asked for the object.

        Raises:
            ObjectNotFoundError: Nothing is stored under this address in this format.
        """
        named, located = located, self.seen(located)
        for wait in _WAITS:
            try:
                return self._piece(located, answered)
            except ObjectNotFoundError:
                answered = None
                if not located.places.exists(located):
                    other = named.places.in_parts(named)
                    if other is None:
                        raise
                    return self._piece(other)
                time.sleep(wait)
        try:
            return self._piece(located)
        except ObjectNotFoundError as error:
            msg = f"{located.uri} is there, but was not found each of {len(_WAITS) + 1} times"
            hint = "is a proxy or a rule of the bucket in the way?"
            raise StoreUnavailableError(msg, uri=located.uri, hint=hint) from error

    def seen(self, located: Located) -> Located:
        """The value as what it is asked for: a list in any format is a piece of a bag."""
        chosen = located.format
        if not is_bag(self.as_type) or isinstance(
            chosen, SupportsConcat | SupportsLazy | SupportsParts
        ):
            return located
        from dagster_buckets.formats.listed import ListPiece

        return replace(located, format=ListPiece(chosen))

    def structures(self, located: Located) -> bool:
        """Whether the value's format makes what the annotation describes."""
        chosen = located.format
        return has_power(chosen, SupportsStructures) and cast(
            "SupportsStructures", chosen
        ).can_structure(self.annotation)

    def dimensions(self, located: Located) -> Mapping[str, str]:
        """The partition columns of a value, if they are asked for."""
        return keys_of(located) if self.columns else {}

    def _piece(self, located: Located, answered: Answered | None = None) -> Piece:
        places, store = located.places, located.places.store
        with concerning(located.address, lambda: located.uri):
            for key in (located.key, *located.old_keys):
                try:
                    info, payload, tail = self._fetched(store, located.format, key, answered)
                except ObjectNotFoundError as error:
                    missing, answered = error, None
                    continue
                places.check_owner(located.address, info)
                if payload is None:
                    ref = ObjectRef(info, store, tail, partition=keys_of(located))
                    if self.joins and not self.scans(located.format):
                        return Piece(located, part=part_of(located.format, ref))
                    return Piece(located, ref=ref)
                if has_power(located.format, SupportsParts) and not is_none(payload):
                    folder = places.parts_of(key, located.format)
                    of_value = cast("SupportsParts", located.format)
                    parts = of_value.parts(payload, folder, self.as_type)
                    if has_power(located.format, SupportsListedParts):
                        listing = cast("SupportsListedParts", located.format)
                        located = replace(located, format=listing.told_by(payload))
                    later = self._reads_later()
                    size = info.size + (0 if later else sum(ref.size for ref in parts.refs))
                    return Piece(located, size, parts=parts)
                if self.joins and not is_none(payload):
                    with self.decoding:
                        part = part_of(located.format, payload)
                    return Piece(located, info.size, part=part)
                return Piece(located, info.size, payload)
            raise places.nothing_stored(located.address, located) from missing

    def _fetched(
        self, store: ObjectStore, chosen: Format, key: str, answered: Answered | None
    ) -> tuple[ObjectInfo, Payload | None, bytes]:
        """What the store says of an object, and its bytes, or the last ones of them."""
        if self._only_head(chosen):
            return store.head(key), None, b""
        first = self._first_of(chosen)
        if first is None:
            payload = answered.get() if answered else store.get(key)
            return payload.info, payload, b""
        end = store.peek(key, first)
        if end.info.size <= first and not self.scans(chosen):
            return end.info, end, b""
        return end.info, None, bytes(end.data)

    def _only_head(self, chosen: Format) -> bool:
        """Whether nothing of an object is read yet."""
        return self.as_type is ObjectRef or (is_bag(self.as_type) and self.scans(chosen))

    def _first_of(self, chosen: Format) -> int | None:
        """How many bytes of an object are asked for at first, at its end; ``None`` for all."""
        if self.scans(chosen):
            return _SCANNED_FIRST
        if has_power(chosen, SupportsStreaming):
            return cast("SupportsStreaming", chosen).streams_above(self.as_type)
        return None

    def _reads_later(self) -> bool:
        """Whether the parts of a value are read by who uses it."""
        cls = self.as_type
        if cls is None:
            return delayed_class(self.annotation) is not None
        return is_reader_type(cls) or is_lazy_type(cls) or is_bag(cls)

    def scans(self, chosen: object) -> bool:
        """Whether objects in this format are scanned instead of read."""
        return (
            self.as_type is not None
            and has_power(chosen, SupportsLazy)
            and cast("SupportsLazy", chosen).can_scan(self.as_type)
        )


def keys_of(located: Located) -> Mapping[str, str]:
    """The key of the value's partition for each dimension."""
    address = located.address
    return dict(address.partition) if isinstance(address, AssetAddress) else {}


def is_none(payload: Payload) -> bool:
    """Whether the object is the mark of a stored ``None``."""
    return payload.info.size == len(NONE) and bytes(payload.data) == NONE
