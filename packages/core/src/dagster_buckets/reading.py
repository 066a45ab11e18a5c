"""Reading: from what was fetched to the values: decoded, joined, scanned or only referred to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from dagster_buckets.address import asset_of
from dagster_buckets.errors import (
    DecodeError,
    FormatError,
    PartitionError,
    UnsupportedTypeError,
    concerning,
)
from dagster_buckets.fetching import Fetcher, Piece, keys_of
from dagster_buckets.formats.base import (
    Format,
    Parts,
    SupportsListedParts,
    SupportsStreaming,
)
from dagster_buckets.formats.batches import Rows, begun, stream_batches
from dagster_buckets.formats.dask_types import delayed_class, is_delayed
from dagster_buckets.formats.frames import is_reader_type
from dagster_buckets.formats.limits import Tally
from dagster_buckets.joining import can_join, concat_parts, of_objects, part_of, scan_refs
from dagster_buckets.objects import Payload
from dagster_buckets.parts import verified_part
from dagster_buckets.placing import Located
from dagster_buckets.powers import has_power
from dagster_buckets.references import ObjectRef
from dagster_buckets.transfer import run_all, run_each

__all__ = ["Reader", "fitting"]

#: How many parts of a value are read at once.
_PARTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reader(Fetcher):
    """Reads values as one class; see :class:`~dagster_buckets.fetching.Fetcher`."""

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
            if (piece.ref and self.scans(chosen)) or self._dimensions(piece):
                return self._together([piece])
            if piece.ref and has_power(chosen, SupportsStreaming):
                return cast("SupportsStreaming", chosen).stream(piece.ref, self.as_type)
            if piece.payload is None:  # pragma: no cover - one of the three is there
                raise piece.located.places.nothing_stored(piece.located.address, piece.located)
            wanted = self.annotation if self.structures(piece.located) else self.as_type
            with self.decoding:
                return chosen.decode(piece.payload, wanted)

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
        formats = [self.seen(place).format for place in located]
        kinds = sorted({chosen.name for chosen in formats})
        if can_join(formats, self.as_type) or (len(kinds) == 1 and self.scans(formats[0])):
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
            with self.decoding:
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
        with self.decoding:
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
            if not (self.as_type and self.scans(pieces[0].located.format)):
                outcomes = run_all(self._of_part, pieces, max_concurrency=_PARTS_AT_ONCE)
                for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
                pieces = [outcome.result for outcome in outcomes if outcome.result]
        formats, cls = [piece.located.format for piece in pieces], self.as_type
        columns = [self.dimensions(piece.located) for piece in pieces] if self.columns else None
        refs = [piece.ref for piece in pieces if piece.ref]
        if cls is not None and refs and self.scans(formats[0]):
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
    keys = keys_of(piece.located)
    return [
        Piece(
            replace(piece.located, key=ref.info.key, format=inner, old_keys=()),
            ref=replace(ref, partition=keys),
            tally=tally,
        )
        for ref in piece.parts.refs
    ]


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
