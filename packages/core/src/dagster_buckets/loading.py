"""Loading: one value or many, in the shape that the consumer's annotation asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dagster_buckets.address import OpAddress, asset_of, path_of
from dagster_buckets.chain import Chain
from dagster_buckets.errors import ObjectNotFoundError, PartitionError, concerning
from dagster_buckets.fetching import Piece
from dagster_buckets.formats.batches import Rows, stream_batches
from dagster_buckets.formats.dask_types import empty_bag, is_bag
from dagster_buckets.formats.frames import can_convert, empty_frame, is_frame_type
from dagster_buckets.formats.lazy import empty_scan, is_lazy_type
from dagster_buckets.placing import Located
from dagster_buckets.reading import Reader, fitting
from dagster_buckets.requests import LoadRequest, Target
from dagster_buckets.shapes import Shape, ambiguous, judge_single, read_annotation
from dagster_buckets.stores.base import Answered, SupportsPrefetch
from dagster_buckets.streams import PartitionStream
from dagster_buckets.transfer import Outcome, Progress, failure, run_ahead, run_all, run_each
from dagster_buckets.values import OnMissing

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gave.

    Attributes:
        value: In the shape that was asked for.
        missing: The keys of the partitions (or the name of the value) that were not there.
        uris: Of the objects that were read, or will be where the value is a stream or a scan.
        counts: How many each store gave, by what its URIs begin with; of a single one nothing.
        size: The bytes that were read; those of streams and scans come later.
        seconds: How long it took.
        cache_hits: Of how many objects no body moved, because the cache had it.
    """

    value: Any
    missing: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    seconds: float = field(default=0.0, compare=False)
    cache_hits: int = 0


def load(
    chain: Chain,
    request: LoadRequest,
    *,
    default_on_missing: OnMissing,
    log: Callable[[str], None],
) -> Loaded:
    """Read the input of one step.

    ======================  ============  =================  =====================================
    annotation              0 partitions  1 partition        N partitions
    ======================  ============  =================  =====================================
    none, ``Any``           ``None``      the value          ``{key: value}``
    ``dict[str, T]``        ``{}``        ``{key: value}``   ``{key: value}``
    ``list[T]``             ``[]``        ``[value]``        in the order of the definition
    ``PartitionStream[T]``  empty         ``(key, value)``   one after another, read ahead
    a frame                 empty         the frame          one frame, one below the other
    a lazy frame, dataset   empty         a scan             one scan, no values read yet
    or relation
    ``RecordBatchReader``   empty         its batches        one partition after another
    ``ObjectRef``           ``None``      the reference      ``PartitionError``: use dict or list
    another class           ``None``      the value          ``PartitionError``: use dict or list
    ======================  ============  =================  =====================================

    Args:
        chain: Where from.
        request: What.
        default_on_missing: The manager's setting, where no metadata says otherwise.
        log: Takes lines about the progress of long loads.

    Raises:
        ObjectNotFoundError: The only value is missing, and neither ``on_missing`` nor an
            ``Optional`` annotation allows that.
        PartitionError: Some of many are missing or could not be read; all are named.
    """
    begun, hits = time.monotonic(), chain.cache_hits
    found = _load(chain, request, default_on_missing, log)
    return replace(found, seconds=time.monotonic() - begun, cache_hits=chain.cache_hits - hits)


def _load(
    chain: Chain, request: LoadRequest, default_on_missing: OnMissing, log: Callable[[str], None]
) -> Loaded:
    shape = read_annotation(request.annotation)
    if not request.targets:
        with concerning(f"the input annotated {request.annotation}"):
            return Loaded(_of_nothing(shape))
    if shape.kind == "stream" and not request.partitioned:
        with concerning(str(request.targets[0].address)):
            msg = "a PartitionStream reads partitions, and what the input reads has none"
            raise PartitionError(msg, hint="annotate the input with the class of its value")
    chain = chain.laid_out(request.options.layout, path_of(request.targets[0].address))
    chain = chain.having(request.options.format_options)
    on_missing = request.options.on_missing or default_on_missing
    streams = shape.kind == "stream" or _chains(request, shape)
    tolerant = on_missing != "error" or (len(request.targets) == 1 and shape.optional)
    located = chain.locate(
        [target.address for target in request.targets],
        format_name=request.options.format,
        annotation=_written_as(request),
        # What a stream leaves out has to be known before it begins, to be told.
        listed=streams and tolerant,
    )
    progress = Progress(log, "read", len(request.targets))
    one_load = _Load(chain, request, shape, on_missing, progress, tolerant)
    pairs = list(zip(request.targets, located, strict=True))
    return one_load.streamed(pairs) if streams else one_load.at_once(pairs)


_Pair = tuple[Target, Located | None]


@dataclass(frozen=True, slots=True)
class _Load:
    chain: Chain
    request: LoadRequest
    shape: Shape
    on_missing: OnMissing
    progress: Progress
    tolerant: bool

    def reader(self, *, joins: bool = False) -> Reader:
        columns, shape = self.request.options.partition_columns, self.shape
        # Of several partitions a bare dict or list holds the values, whatever they are.
        holds = len(self.request.targets) > 1 and shape.kind == "value" and not joins
        as_type = None if holds else shape.as_type
        one = len(self.request.targets) == 1 and shape.kind != "stream"
        annotation = shape.whole if one else None if holds else shape.item
        return Reader(as_type, columns, joins, annotation)

    def at_once(self, pairs: Sequence[_Pair]) -> Loaded:
        joins = _joins(self.request, self.shape)
        reader = self.reader(joins=joins)
        places = [located for _, located in pairs if located is not None]
        if joins and places:
            with concerning(asset_of(places[0].address)):
                reader.check_joined(places)

        def work(pair: _Pair, answered: Answered | None = None) -> tuple[Any, int]:
            piece = self.piece(reader, pair, answered)
            return (piece if joins else self.value(reader, piece)), piece.size

        def count(outcome: Outcome[_Pair, tuple[Any, int]]) -> None:
            self.progress.add(outcome.result[1] if outcome.result else 0)

        bound = self.chain.max_concurrency
        if len(places) == len(pairs) > 1 and all(map(reader.can_prefetch, places)):
            outcomes = run_ahead(_begin, work, pairs, max_concurrency=bound, then=count)
        else:
            outcomes = run_all(work, pairs, max_concurrency=bound, then=count)
        allowed = ObjectNotFoundError if self.tolerant else ()
        failed = {
            o.item[0].name: o.error
            for o in outcomes
            if o.error and not isinstance(o.error, allowed)
        }
        present = [(o.item, o.result[0]) for o in outcomes if o.result]
        if failed:
            raise failure(failed, [target.name for (target, _), _ in present], "read")
        missing = tuple(o.item[0].name for o in outcomes if o.error)
        if joins:
            value = reader.joined([piece for _, piece in present]) if present else None
            value = _of_nothing(self.shape) if not present else value
        elif len(pairs) == 1:
            value = self.of_one(present[0][1] if present else None, missing)
        else:
            value = _many(
                self.shape,
                {
                    o.item[0].name: o.result[0] if o.result else None
                    for o in outcomes
                    if o.result or self.on_missing == "none"
                },
            )
        return self.loaded(value, missing, [item for item, _ in present])

    def streamed(self, pairs: Sequence[_Pair]) -> Loaded:
        absent = [pair for pair in pairs if pair[1] is None]
        missing = tuple(target.name for target, _ in absent) if self.tolerant else ()
        kept = pairs
        if self.tolerant and (self.on_missing != "none" or self.shape.kind == "value"):
            kept = [pair for pair in pairs if pair[1] is not None]
        value = self.batches(kept) if self.shape.kind == "value" else self.stream(kept)
        return self.loaded(value, missing, kept)

    def stream(self, pairs: Sequence[_Pair]) -> PartitionStream[Any]:
        reader = self.reader()

        def work(pair: _Pair) -> tuple[Any, int]:
            if pair[1] is None and self.tolerant:
                return None, 0
            piece = self.piece(reader, pair)
            return reader.value(piece), piece.size

        def values() -> Iterator[tuple[str, Any]]:
            for (target, _), value in self.ahead(work, pairs):
                yield target.name, value
                del value

        return PartitionStream(values(), partition_keys=[target.name for target, _ in pairs])

    def batches(self, pairs: Sequence[_Pair]) -> Any:
        import pyarrow as pa

        reader = Reader(pa.RecordBatchReader)
        columned = Reader(columns=self.request.options.partition_columns)

        def work(pair: _Pair) -> tuple[Any, int]:
            piece = self.piece(reader, pair)
            return reader.value(piece), piece.size

        def objects() -> Iterator[Rows]:
            for (_, located), found in self.ahead(work, pairs):
                if found is not None and located is not None:
                    yield Rows(located.uri, found, columned.dimensions(located))

        return stream_batches(objects())

    def ahead(
        self, work: Callable[[_Pair], tuple[Any, int]], pairs: Sequence[_Pair]
    ) -> Iterator[tuple[_Pair, Any]]:
        bound = self.chain.max_concurrency
        for outcome in run_each(work, pairs, max_concurrency=bound, weigh=lambda found: found[1]):
            if outcome.error:
                raise outcome.error
            if outcome.result:
                self.progress.add(outcome.result[1])
                found = outcome.item, outcome.result[0]
                # Not one more in memory while the next one is read.
                del outcome
                yield found
                del found

    def piece(self, reader: Reader, pair: _Pair, answered: Answered | None = None) -> Piece:
        target, located = pair
        if located is None:
            raise self.chain.nothing_stored(target.address)
        return reader.piece(located, answered)

    def value(self, reader: Reader, piece: Piece) -> Any:
        """The value of a piece; of the only one in the shape that is asked for."""
        targets, shape = self.request.targets, self.shape
        if len(targets) > 1 or shape.kind == "value":
            return reader.value(piece)
        item = replace(reader, annotation=shape.item)
        if not self.request.partitioned:
            # Of an op that fans in this is one item, and Dagster makes the list.
            fans_in = shape.kind == "list" and isinstance(targets[0].address, OpAddress)
            readers = {"value": reader, "item": item} if fans_in else {"value": reader}
            return fitting(piece, readers)[0][1]
        key, wanted = targets[0].name, self.request.options.shape
        readers = {"value": reader, "partitions": item}
        with concerning(str(targets[0].address)):
            if wanted is not None:
                readers = {wanted: readers[wanted]}
            (how, value), *others = fitting(piece, readers)
            if others and value is not None:
                raise ambiguous(shape, key)
            return judge_single(shape, key, value, wanted if value is None else wanted or how)

    def of_one(self, value: Any, missing: tuple[str, ...]) -> Any:
        (target,) = self.request.targets
        if not missing or not self.request.partitioned or self.shape.kind == "value":
            return value
        if self.on_missing == "error":
            return None
        skipped = self.on_missing == "skip"
        return _of_nothing(self.shape) if skipped else _many(self.shape, {target.name: None})

    def loaded(self, value: Any, missing: tuple[str, ...], pairs: Sequence[_Pair]) -> Loaded:
        places = [located for _, located in pairs if located]
        uris = tuple(at.uri for at in places)
        return Loaded(value, missing, uris, self.chain.counts(places), self.progress.size)


def _begin(pair: _Pair, then: Callable[[Answered], None]) -> None:
    """Ask the store of a value that is located for its object."""
    located = cast("Located", pair[1])
    with concerning(located.address, lambda: located.uri):
        cast("SupportsPrefetch", located.places.store).prefetch(located.key, then)


def _chains(request: LoadRequest, shape: Shape) -> bool:
    """Whether the batches of several partitions follow one another, or get columns on the way."""
    cls = shape.as_type
    if shape.kind != "value" or cls is None or is_frame_type(cls) or not can_convert(cls):
        return False
    return len(request.targets) > 1 or request.options.partition_columns


def _joins(request: LoadRequest, shape: Shape) -> bool:
    """Whether several partitions become one value."""
    return (
        len(request.targets) > 1 and shape.kind == "value" and shape.item not in (None, dict, list)
    )


def _many(shape: Shape, values: dict[str, Any]) -> Any:
    as_list = shape.kind == "list" or (shape.kind == "value" and shape.item is list)
    return list(values.values()) if as_list else values


def _written_as(request: LoadRequest) -> Any:
    """The producer's annotation of one object."""
    annotation = request.producer_annotation
    if not request.partitioned:
        return annotation
    shape = read_annotation(annotation)
    if shape.kind == "stream" or shape.splits_frame:
        return shape.item
    # A dict can be one value, or hold that of each partition of a run: a listing tells.
    return None if shape.kind == "mapping" else annotation


def _of_nothing(shape: Shape) -> Any:
    if shape.kind == "stream":
        return PartitionStream((), partition_keys=())
    if shape.kind != "value":
        return {} if shape.kind == "mapping" else []
    cls = shape.as_type
    if cls is None or shape.optional:
        return None
    if is_lazy_type(cls):
        return empty_scan(cls)
    if is_bag(cls):
        return empty_bag()
    return empty_frame(cls) if can_convert(cls) else None
