"""Loading: one value or many, in the shape that the consumer's annotation asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dagster_buckets.address import asset_of, path_of
from dagster_buckets.errors import ObjectNotFoundError, PartitionError, concerning
from dagster_buckets.formats.frames import empty_frame, is_frame_type
from dagster_buckets.placing import Located
from dagster_buckets.requests import LoadRequest, Target
from dagster_buckets.shapes import Shape, judge_single, read_annotation
from dagster_buckets.transfer import Outcome, failure, run_all
from dagster_buckets.values import OnMissing, ValueStore, first_named

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gave.

    Attributes:
        value: In the shape that was asked for.
        missing: The keys of the partitions (or the name of the value) that were not there.
        uris: Of the objects that were read.
    """

    value: Any
    missing: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def load(
    values: ValueStore, request: LoadRequest, *, default_format: str, default_on_missing: OnMissing
) -> Loaded:
    """Read the input of one step.

    ===============  ============  =========================  ==================================
    annotation       0 partitions  1 partition                N partitions
    ===============  ============  =========================  ==================================
    none, ``Any``    ``None``      the value                  ``{key: value}``
    ``dict[str, T]`` ``{}``        ``{key: value}``           ``{key: value}``
    ``list[T]``      ``[]``        ``[value]``                in the order of the definition
    a frame          empty         the frame                  one frame, one below the other
    another class    ``None``      the value                  ``PartitionError``
    ===============  ============  =========================  ==================================

    Raises:
        ObjectNotFoundError: The only value is missing, and neither ``on_missing`` nor an
            ``Optional`` annotation allows that.
        PartitionError: Some of many are missing or could not be read; all are named.
    """
    shape = read_annotation(request.annotation)
    on_missing = request.options.on_missing or default_on_missing
    targets = request.targets
    if not targets:
        return Loaded(_of_nothing(shape))
    joined = _joined_class(shape, targets)
    values = values.laid_out(request.options.layout, path_of(targets[0].address))

    def read(target: Target, located: Located | None) -> Any:
        if located is None:
            raise values.places.nothing_stored(target.address)
        return values.fetch(located) if joined else values.load(located, shape.as_type)

    def attempt(pair: tuple[Target, Located | None]) -> Any:
        target, located = pair
        try:
            return read(target, located)
        except ObjectNotFoundError:
            # A 404 can be transient: ask once more before a value counts as missing.
            if located is not None and values.places.exists(located):
                return read(target, located)
            raise

    name = first_named(request.options.format, default_format)
    addresses = [target.address for target in targets]
    places = values.locate(addresses, format_name=name, annotation=_written_as(request))
    pairs = list(zip(targets, places, strict=True))
    outcomes = run_all(attempt, pairs, max_concurrency=values.max_concurrency)
    tolerant = on_missing != "error" or (len(targets) == 1 and shape.optional)
    absent = [o for o in outcomes if isinstance(o.error, ObjectNotFoundError)]
    allowed = ObjectNotFoundError if tolerant else ()
    failed = [o for o in outcomes if o.error and not isinstance(o.error, allowed)]
    if failed:
        done = tuple(o.item[0].name for o in outcomes if not o.error)
        raise failure({o.item[0].name: o.error for o in failed if o.error}, done, "read")
    present = [o for o in outcomes if not o.error]
    missing = tuple(o.item[0].name for o in absent)
    uris = tuple(values.store.uri(o.item[1].key) for o in present if o.item[1])
    if joined:
        value = _joined(values, shape, present, joined)
    elif len(targets) == 1:
        value = _one(request, shape, present[0].result if present else None, missing, on_missing)
    else:
        kept = [o for o in outcomes if on_missing == "none" or not o.error]
        value = _many(shape, {o.item[0].name: o.result for o in kept})
    return Loaded(value, missing, uris)


def _joined(
    values: ValueStore, shape: Shape, present: Sequence[Outcome[Any, Any]], cls: type
) -> Any:
    if not present:
        return _of_nothing(shape)
    located = [outcome.item[1] for outcome in present]
    return values.concat(located, [o.result for o in present if o.result], cls)


def _one(
    request: LoadRequest, shape: Shape, value: Any, missing: tuple[str, ...], on_missing: OnMissing
) -> Any:
    (target,) = request.targets
    if not request.partitioned or shape.kind == "value":
        return value
    if missing:
        return _of_nothing(shape) if on_missing == "skip" else _many(shape, {target.name: None})
    with concerning(str(target.address)):
        return judge_single(shape, target.name, value, request.options.shape)


def _many(shape: Shape, values: dict[str, Any]) -> Any:
    return list(values.values()) if shape.kind == "list" or shape.item is list else values


def _joined_class(shape: Shape, targets: Sequence[Target]) -> type | None:
    """The frame class to join several partitions into; ``None`` to keep them apart."""
    if len(targets) == 1 or shape.kind != "value" or shape.item in (None, dict, list):
        return None
    cls = shape.as_type
    if cls is not None and is_frame_type(cls):
        return cls
    spelled = getattr(shape.item, "__name__", str(shape.item))
    msg = f"{len(targets)} partitions cannot be one {spelled}"
    with concerning(asset_of(targets[0].address)):
        raise PartitionError(msg, hint=f"annotate the input with dict[str, {spelled}]")


def _written_as(request: LoadRequest) -> Any:
    """The producer's annotation of one object: in a run over several partitions, of each."""
    shape = read_annotation(request.producer_annotation)
    of_each = len(request.targets) > 1 or (request.partitioned and shape.splits_frame)
    return shape.item if of_each else request.producer_annotation


def _of_nothing(shape: Shape) -> Any:
    if shape.kind != "value":
        return {} if shape.kind == "mapping" else []
    cls = shape.as_type
    if cls is not None and is_frame_type(cls) and not shape.optional:
        return empty_frame(cls)
    return None
