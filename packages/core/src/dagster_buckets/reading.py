"""Reading: from where values lie to the values: decoded, joined, scanned or only referred to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dagster_buckets.address import AssetAddress, asset_of
from dagster_buckets.errors import (
    DecodeError,
    FormatError,
    ObjectNotFoundError,
    PartitionError,
    StoreUnavailableError,
    UnsupportedTypeError,
    concerning,
)
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
from dagster_buckets.formats.batches import Rows, begun, stream_batches
from dagster_buckets.formats.dask_types import delayed_class, is_bag, is_delayed
from dagster_buckets.formats.frames import is_reader_type
from dagster_buckets.formats.lazy import is_lazy_type
from dagster_buckets.formats.limits import Tally
from dagster_buckets.joining import can_join, concat_parts, of_objects, part_of, scan_refs
from dagster_buckets.objects import ObjectInfo, Payload
from dagster_buckets.parts import verified_part
from dagster_buckets.placing import Located
from dagster_buckets.powers import has_power
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.base import ObjectStore
from dagster_buckets.transfer import run_all, run_each

__all__ = ["NONE", "Piece", "Reader", "fitting", "is_none"]

#: The bytes of a stored ``None`` in formats that have none of their own: a value, not a gap.
NONE = b"dagster-buckets:none:6f1d0c5e9b7a4e02\n"


#: Of an object that is scanned so much comes along with what the store says of it: most footers.
_SCANNED_FIRST = 128 * 1024
#: How many parts of a value are read at once.
_PARTS_AT_ONCE = 8
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
class Reader:
    """Reads values as one class.

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
    _decoding: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(os.cpu_count() or 1), repr=False, compare=False
    )

    def piece(self, located: Located) -> Piece:
        """Fetch a value's bytes, or only what the store says of it where nothing is read yet.

        One request. A 404 can be transient, so before a value counts as missing the store is asked
        in another way; what it has is then asked for again.

        Raises:
            ObjectNotFoundError: Nothing is stored under this address in this format.
        """
        named, located = located, self._seen(located)
        for wait in _WAITS:
            try:
                return self._piece(located)
            except ObjectNotFoundError:
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

    def _seen(self, located: Located) -> Located:
        """The value as what it is asked for: a list in any format is a piece of a bag."""
        chosen = located.format
        if not is_bag(self.as_type) or isinstance(
            chosen, SupportsConcat | SupportsLazy | SupportsParts
        ):
            return located
        from dagster_buckets.formats.listed import ListPiece

        return replace(located, format=ListPiece(chosen))

    def value(self, piece: Piece) -> Any:
        """The value of one piece.

        Raises:
            FormatError: It cannot be decoded, or not as this class.
        """
        with concerning(piece.located.address, lambda: piece.located.uri):
            if self.as_type is ObjectRef:
                return piece.ref
            if piece.holds_none:
                return None
            self._check_delayed(piece)
            chosen = piece.located.format
            if piece.parts is not None:
                return self._of_parts(piece, piece.parts)
            if (piece.ref and self._scans(chosen)) or self._dimensions(piece):
                return self._together([piece])
            if piece.ref and has_power(chosen, SupportsStreaming):
                return cast("SupportsStreaming", chosen).stream(piece.ref, self.as_type)
            if piece.payload is None:  # pragma: no cover - one of the three is there
                raise piece.located.places.nothing_stored(piece.located.address, piece.located)
            wanted = self.annotation if self.structures(piece.located) else self.as_type
            with self._decoding:
                return chosen.decode(piece.payload, wanted)

    def structures(self, located: Located) -> bool:
        """Whether the value's format makes what the annotation describes."""
        chosen = located.format
        return has_power(chosen, SupportsStructures) and cast(
            "SupportsStructures", chosen
        ).can_structure(self.annotation)

    def _check_delayed(self, piece: Piece) -> None:
        asked = is_delayed(self.annotation) or delayed_class(self.annotation) is not None
        if asked and not self.structures(piece.located):
            msg = f"{piece.located.uri} is no list of Dask's, so it cannot be loaded as Delayed"
            hint = "annotate the input with the class of its value; where each of several "
            hint += "partitions is such a list, with dict[str, list[Delayed]]"
            raise UnsupportedTypeError(msg, uri=piece.located.uri, hint=hint)

    def check_joined(self, located: Sequence[Located]) -> None:
        """Refuse what cannot become one value, before anything is read.

        Raises:
            PartitionError: The formats of these objects differ, or do not join to this class.
        """
        formats = [self._seen(place).format for place in located]
        kinds = sorted({chosen.name for chosen in formats})
        if can_join(formats, self.as_type) or (len(kinds) == 1 and self._scans(formats[0])):
            return
        if len(kinds) > 1:
            msg = f"the partitions are stored in different formats: {', '.join(kinds)}"
            hint = "load them as dict[str, …], or materialize them again in one format"
            raise PartitionError(msg, hint=hint)
        spelled = getattr(self.as_type, "__name__", "value")
        msg = f"{len(located)} partitions in format {kinds[0]!r} cannot be one {spelled}"
        raise PartitionError(msg, hint=f"annotate the input with dict[str, {spelled}]")

    def joined(self, pieces: Sequence[Piece]) -> Any:
        """One value of many pieces, in this order; those that hold ``None`` are left out.

        ``None`` if all of them do.

        Raises:
            PartitionError: See :meth:`check_joined`.
            DecodeError: They do not fit together.
        """
        with concerning(asset_of(pieces[0].located.address)):
            self.check_joined([piece.located for piece in pieces])
            full = [piece for piece in pieces if not piece.holds_none]
            return self._together(full) if full else None

    def dimensions(self, located: Located) -> Mapping[str, str]:
        """The partition columns of a value, if they are asked for."""
        return _keys_of(located) if self.columns else {}

    def _piece(self, located: Located) -> Piece:
        places, store = located.places, located.places.store
        with concerning(located.address, lambda: located.uri):
            for key in (located.key, *located.old_keys):
                try:
                    info, payload, tail = self._fetched(store, located.format, key)
                except ObjectNotFoundError as error:
                    missing = error
                    continue
                places.check_owner(located.address, info)
                if payload is None:
                    ref = ObjectRef(info, store, tail, partition=_keys_of(located))
                    if self.joins and not self._scans(located.format):
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
                    with self._decoding:
                        part = part_of(located.format, payload)
                    return Piece(located, info.size, part=part)
                return Piece(located, info.size, payload)
            raise places.nothing_stored(located.address, located) from missing

    def _fetched(
        self, store: ObjectStore, chosen: Format, key: str
    ) -> tuple[ObjectInfo, Payload | None, bytes]:
        """What the store says of an object, and its bytes, or the last ones of them."""
        if self.as_type is ObjectRef or (is_bag(self.as_type) and self._scans(chosen)):
            return store.head(key), None, b""
        if self._scans(chosen):
            end = store.peek(key, _SCANNED_FIRST)
            return end.info, None, bytes(end.data)
        above = None
        if has_power(chosen, SupportsStreaming):
            above = cast("SupportsStreaming", chosen).streams_above(self.as_type)
        if above is None:
            payload = store.get(key)
            return payload.info, payload, b""
        end = store.peek(key, above)
        if end.info.size <= above:
            return end.info, end, b""
        return end.info, None, bytes(end.data)

    def _reads_later(self) -> bool:
        """Whether the parts of a value are read by who uses it."""
        cls = self.as_type
        if cls is None:
            return delayed_class(self.annotation) is not None
        return is_reader_type(cls) or is_lazy_type(cls) or is_bag(cls)

    def _scans(self, chosen: object) -> bool:
        return (
            self.as_type is not None
            and has_power(chosen, SupportsLazy)
            and cast("SupportsLazy", chosen).can_scan(self.as_type)
        )

    def _dimensions(self, piece: Piece) -> Mapping[str, str]:
        found = self.dimensions(piece.located)
        if found:
            with concerning(asset_of(piece.located.address)):
                if not can_join([piece.located.format], self.as_type):
                    msg = (
                        "partition columns are asked for, and the input is not annotated as a frame"
                    )
                    hint = "annotate it with pandas.DataFrame, polars.DataFrame or pyarrow.Table"
                    raise PartitionError(msg, hint=f"{hint}, or in dict[str, …] of it")
        return found

    def _of_parts(self, piece: Piece, parts: Parts) -> Any:
        if has_power(piece.located.format, SupportsListedParts):
            self._dimensions(piece)
            wanted = self.annotation if self.structures(piece.located) else self.as_type
            return cast("SupportsListedParts", piece.located.format).gathered(parts.refs, wanted)
        if self.as_type is not None and is_reader_type(self.as_type):
            return stream_batches(self._rows_of(piece, parts.refs))
        return self._together([piece])

    def _rows_of(self, piece: Piece, refs: Sequence[ObjectRef]) -> Iterator[Rows]:
        """The rows of one part after another.

        The next one is fetched meanwhile: all of it if one request carries it, else its beginning.
        """
        inner = of_objects(piece.located.format)
        constants = self.dimensions(piece.located)

        def opened(ref: ObjectRef) -> Rows:
            source = self._source_of(inner, ref)
            if isinstance(source, ObjectRef):
                reader = begun(cast("SupportsStreaming", inner).stream(source, self.as_type))
                return Rows(ref.uri, reader, constants)
            with self._decoding:
                return Rows(ref.uri, inner.decode(source, self.as_type), constants)

        for outcome in run_each(opened, refs, max_concurrency=2, weigh=lambda _: 0):
            if outcome.error is not None:
                raise outcome.error
            if outcome.result is not None:
                yield outcome.result

    def _of_part(self, piece: Piece) -> Piece:
        """What a part adds: its bytes, verified, or only the columns and rows that are wanted."""
        ref, chosen, tally = piece.ref, piece.located.format, piece.tally
        if ref is None or tally is None:
            return piece
        tally.add(0)  # of those before it, which may be too much
        source = self._source_of(chosen, ref)
        with self._decoding:
            part = part_of(chosen, source)
        tally.add(part.size if part else 0)
        return Piece(piece.located, part=part)

    def _source_of(self, chosen: Format, ref: ObjectRef) -> Payload | ObjectRef:
        """All of a part, verified; or itself, if it is one that need not be held."""
        above = None
        if has_power(chosen, SupportsStreaming):
            above = cast("SupportsStreaming", chosen).streams_above(self.as_type)
        return ref if above is not None and ref.size > above else verified_part(ref)

    def _together(self, pieces: Sequence[Piece]) -> Any:
        if any(piece.parts is not None for piece in pieces):
            pieces = [each for piece in pieces for each in _expanded(piece)]
            if not (self.as_type and self._scans(pieces[0].located.format)):
                outcomes = run_all(self._of_part, pieces, max_concurrency=_PARTS_AT_ONCE)
                for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
                pieces = [outcome.result for outcome in outcomes if outcome.result]
        formats, cls = [piece.located.format for piece in pieces], self.as_type
        columns = [self.dimensions(piece.located) for piece in pieces] if self.columns else None
        refs = [piece.ref for piece in pieces if piece.ref]
        if cls is not None and refs and self._scans(formats[0]):
            return scan_refs(formats, refs, cls, columns)
        made = [
            piece.part or part_of(chosen, piece.payload or piece.ref)
            for chosen, piece in zip(formats, pieces, strict=True)
        ]
        parts = [part for part in made if part is not None]
        if len(parts) == len(pieces):
            return concat_parts(formats, parts, cls, columns)
        msg = f"format {formats[0].name!r} joins nothing"  # pragma: no cover - see check_joined
        raise PartitionError(msg)  # pragma: no cover


def _expanded(piece: Piece) -> list[Piece]:
    """A piece for each of its parts; itself if it has none."""
    if piece.parts is None:
        return [piece]
    inner, tally = of_objects(piece.located.format), Tally(piece.parts.bound)
    keys = _keys_of(piece.located)
    return [
        Piece(
            replace(piece.located, key=ref.info.key, format=inner, old_keys=()),
            ref=replace(ref, partition=keys),
            tally=tally,
        )
        for ref in piece.parts.refs
    ]


def _keys_of(located: Located) -> Mapping[str, str]:
    """The key of the value's partition for each dimension."""
    address = located.address
    return dict(address.partition) if isinstance(address, AssetAddress) else {}


def fitting(piece: Piece, readers: Mapping[str, Reader]) -> list[tuple[str | None, Any]]:
    """What a piece can mean: the values that it gives, each with the name of its reader.

    Args:
        piece: What was read.
        readers: Of different annotations. If the format makes what none of them describes, there is
            only the value of the first, and no name.

    Raises:
        FormatError: It fits none of them.
    """
    able = {name: reader for name, reader in readers.items() if reader.structures(piece.located)}
    if not able:
        return [(None, next(iter(readers.values())).value(piece))]
    fits: list[tuple[str | None, Any]] = []
    errors: list[FormatError] = []
    for name, reader in able.items():
        try:
            fits.append((name, reader.value(piece)))
        except FormatError as error:
            errors.append(error)
    if fits:
        return fits
    if len(errors) == 1:
        raise errors[0]
    both = "; ".join(error.message for error in errors)
    raise DecodeError(both, uri=errors[0].uri, hint=errors[0].hint) from errors[0]


def is_none(payload: Payload) -> bool:
    """Whether the object is the mark of a stored ``None``."""
    return payload.info.size == len(NONE) and bytes(payload.data) == NONE
