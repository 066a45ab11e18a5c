"""Writing: one value, or one for each partition of the run, checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dagster_buckets.address import AssetAddress, asset_of, path_of
from dagster_buckets.choosing import first_named
from dagster_buckets.errors import FormatError, PartitionError, concerning
from dagster_buckets.requests import Target, WriteRequest
from dagster_buckets.shapes import Shape, read_annotation
from dagster_buckets.splitting import SplitBy, dimensions_for, split
from dagster_buckets.storing import Stored
from dagster_buckets.streams import PartitionStream
from dagster_buckets.together import write_together
from dagster_buckets.transfer import Outcome, failure, run_all, run_each, shortened
from dagster_buckets.values import ValueStore

__all__ = ["Record", "write"]

#: Told of every value, in the order of the partitions, as soon as it is stored.
Record: TypeAlias = Callable[[Target, Stored], None]


def write(
    values: ValueStore, request: WriteRequest, value: Any, *, default_format: str, record: Record
) -> None:
    """Write the output of one step.

    What fails leaves all other partitions written, and their old values in the failed ones.

    Args:
        values: Where to.
        request: Under which addresses.
        value: The value; for a run over several partitions ``{partition_key: value}``, a
            :class:`PartitionStream` or, with ``split_by``, a frame.
        default_format: The manager's format, where the output's metadata names none.
        record: Told of what is stored.

    Raises:
        PartitionError: The keys of the value are not those of the run (nothing was written, or of a
            stream without known keys what came before), or some partitions failed; what was written
            is named.
    """
    shape = read_annotation(request.annotation)
    values = values.laid_out(request.options.layout, path_of(request.targets[0].address))
    values = values.having(request.options.format_options)
    name = first_named(request.options.format, default_format)

    def put(target: Target, item: Any, annotation: Any) -> Stored:
        return values.write(target.address, item, format_name=name, annotation=annotation)

    bound = values.max_concurrency
    with concerning(asset_of(request.targets[0].address)):
        if isinstance(value, PartitionStream):
            stream = _Stream(request, value)
            written = run_each(
                lambda pair: put(*pair, shape.item),
                stream.pairs(),
                max_concurrency=bound,
                weigh=lambda stored: stored.info.size,
            )
            stream.finish(written, record)
            return
        by_key = _by_partition(request, shape, value)
    if by_key is None:
        (target,) = request.targets
        record(target, put(target, value, request.annotation))
        return
    # A bare dict says nothing of its items; a frame that is split is what it was.
    item = shape.item if shape.kind == "mapping" else None
    item = item if isinstance(value, Mapping) else request.annotation

    def count(outcome: Outcome[Target, Stored]) -> None:
        if outcome.result:
            record(outcome.item, outcome.result)

    outcomes = write_together(
        lambda target: values.begin(
            target.address, by_key[target.name], format_name=name, annotation=item
        ),
        request.targets,
        by_key,
        max_concurrency=bound,
        then=count,
    )
    done = {outcome.item for outcome in outcomes}
    outcomes += run_all(
        lambda target: put(target, by_key[target.name], item),
        [each for each in request.targets if each not in done] if done else request.targets,
        max_concurrency=bound,
        then=count,
    )
    errors = {o.item.name: o.error for o in outcomes if o.error}
    if errors:
        raise failure(errors, [o.item.name for o in outcomes if not o.error], "written")


def _by_partition(request: WriteRequest, shape: Shape, value: Any) -> Mapping[str, Any] | None:
    """The value of each partition, or ``None`` if it is one value for the only one."""
    several, split_by = len(request.targets) > 1, request.options.split_by
    if request.targets[0].partition_key is None:
        if split_by is not None:
            msg = "dagster_buckets/split_by splits a frame into partitions, and there are none"
            raise PartitionError(msg, hint="give the asset a partitions_def")
        return None
    if isinstance(value, Mapping):
        by_key = {str(key): item for key, item in value.items()}
        if several or _holds_partitions(request, shape, by_key):
            _compare(request, list(by_key))
            return by_key
        return None
    if split_by is not None:
        return _split(request, value, split_by)
    if several:
        msg = f"the run has {len(request.targets):,} partitions, its value is a "
        msg += type(value).__name__
        hint = "return dict[partition_key, value] or a PartitionStream, or name the column of a "
        hint += "frame that tells the partition in the metadata dagster_buckets/split_by"
        raise PartitionError(msg, hint=hint)
    return None


def _holds_partitions(request: WriteRequest, shape: Shape, by_key: Mapping[str, Any]) -> bool:
    """Whether a dict holds the value of the run's only partition, or is that value."""
    wanted = request.options.shape
    if wanted is not None or shape.splits_frame:
        return wanted != "value"
    if not request.over_many:
        return False
    # The asset is made for runs over many partitions, and this one has a single one.
    return shape.kind == "mapping" or set(by_key) == {request.targets[0].name}


def _split(request: WriteRequest, frame: Any, split_by: SplitBy) -> Mapping[str, Any]:
    wanted = {
        target.name: dict(target.address.partition)
        for target in request.targets
        if isinstance(target.address, AssetAddress)
    }
    names = list(next(iter(wanted.values())))
    dimensions = dimensions_for(split_by, names, request.windows)
    return split(frame, dimensions, wanted, allow_empty=request.options.allow_empty_partitions)


def _compare(request: WriteRequest, keys: Sequence[str]) -> None:
    """Refuse keys that are not exactly those of the run."""
    expected, given = [target.name for target in request.targets], set(keys)
    missing = [repr(key) for key in expected if key not in given]
    unknown = [repr(key) for key in sorted(given - set(expected))]
    twice = [] if len(given) == len(keys) else [repr(k) for k in sorted(given) if keys.count(k) > 1]
    found = {"missing": missing, "unknown": unknown, "twice": twice}
    parts = [f"{what}: {shortened(names)}" for what, names in found.items() if names]
    if parts:
        msg = f"the partition keys of the value are not those of the run ({'; '.join(parts)})"
        raise PartitionError(msg, hint="give exactly the run's keys: context.partition_keys")


@dataclass(slots=True)
class _Stream:
    """A stream on its way: what came of it, and what is wrong with it."""

    request: WriteRequest
    stream: PartitionStream[Any]
    written: list[str] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    trouble: str | None = None
    cause: Exception | None = None
    stopped: bool = False

    def pairs(self) -> Iterator[tuple[Target, Any]]:
        """The targets and values, each key checked before its value is written."""
        if self.request.targets[0].partition_key is None:
            msg = "a PartitionStream is written to partitions, and the output has none"
            raise PartitionError(msg, hint="give the asset a partitions_def, or return a list")
        by_key = {target.name: target for target in self.request.targets}
        by_partition = {
            target.address.partition: target
            for target in self.request.targets
            if isinstance(target.address, AssetAddress)
        }

        def named(key: Any) -> str:
            if isinstance(key, Mapping):
                target = by_partition.get(tuple(sorted(key.items())))
                return repr(dict(key)) if target is None else target.name
            return str(key)

        if self.stream.partition_keys is not None:
            _compare(self.request, [named(key) for key in self.stream.partition_keys])
        left = dict(by_key)
        for key, item in self._checked_pairs():
            name = named(key)
            if name not in left:
                self.trouble = f"the stream gives {name!r}, " + (
                    "a second time" if name in by_key else "which is no partition of the run"
                )
                return
            yield left.pop(name), item
            del item
        if left and not (self.cause or self.trouble or self.stopped):
            names = shortened([repr(name) for name in left])
            self.trouble = f"the stream ended without the partitions {names}"

    def finish(
        self, outcomes: Iterable[Outcome[tuple[Target, Any], Stored]], record: Record
    ) -> None:
        """Write it to its end, and raise what went wrong.

        A value that a format refuses stops no other; a store that fails ends the stream, because
        what it would still compute could not be stored either.
        """
        for outcome in outcomes:
            target = outcome.item[0]
            if outcome.result:
                record(target, outcome.result)
                self.written.append(target.name)
            elif outcome.error:
                self.errors[target.name] = outcome.error
                self.stopped = self.stopped or not isinstance(outcome.error, FormatError)
            # It holds the value, and the next one is made now.
            del outcome
        done = f"written: {shortened(self.written) or 'none'}"
        if self.trouble or self.cause:
            total = len(self.request.targets)
            msg = self.trouble or f"the stream failed after {len(self.written):,} of {total:,} "
            msg += "" if self.trouble else f"partitions: {self.cause!r}"
            hint = f"materialize the run again, which is safe; {done}"
            raise PartitionError(
                msg, failures=self.errors, succeeded=tuple(self.written), hint=hint
            ) from self.cause
        if self.errors:
            raise failure(self.errors, self.written, "written")

    def _checked_pairs(self) -> Iterator[tuple[Any, Any]]:
        while not self.stopped:
            try:
                pair: Any = next(self.stream)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - raised by finish, with what was written
                self.cause = error
                return
            if not _is_pair(pair):
                self.trouble = f"the stream gives {pair!r:.80}, not (partition_key, value)"
                return
            yield pair
            del pair


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2  # noqa: PLR2004
