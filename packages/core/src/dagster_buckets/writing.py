"""Writing: one value, or one for each partition of the run, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_buckets.address import asset_of, path_of
from dagster_buckets.errors import PartitionError, concerning
from dagster_buckets.requests import Target, WriteRequest
from dagster_buckets.shapes import read_annotation
from dagster_buckets.transfer import failure, run_all
from dagster_buckets.values import Stored, ValueStore, first_named

__all__ = ["write"]


def write(
    values: ValueStore, request: WriteRequest, value: Any, *, default_format: str
) -> list[tuple[Target, Stored]]:
    """Write the output of one step.

    Args:
        values: Where to.
        request: Under which addresses.
        value: The value; for a run over several partitions ``{partition_key: value}``.
        default_format: The manager's format, where the output's metadata names none.

    Raises:
        PartitionError: The keys of the value are not those of the run (nothing was written), or
            some partitions failed (the others were written, and are named).
    """
    name = first_named(request.options.format, default_format)
    shape = read_annotation(request.annotation)
    values = values.laid_out(request.options.layout, path_of(request.targets[0].address))
    partitioned = request.targets[0].partition_key is not None
    if len(request.targets) == 1 and not (partitioned and shape.splits_frame):
        (target,) = request.targets
        stored = values.write(
            target.address, value, format_name=name, annotation=request.annotation
        )
        return [(target, stored)]
    by_key = _by_partition(request, value)

    def put(target: Target) -> Stored:
        return values.write(
            target.address, by_key[target.name], format_name=name, annotation=shape.item
        )

    outcomes = run_all(put, request.targets, max_concurrency=values.max_concurrency)
    errors = {o.item.name: o.error for o in outcomes if o.error}
    if errors:
        raise failure(errors, tuple(o.item.name for o in outcomes if not o.error), "written")
    return [(o.item, o.result) for o in outcomes if o.result]


def _by_partition(request: WriteRequest, value: Any) -> Mapping[str, Any]:
    expected = [target.name for target in request.targets]
    with concerning(asset_of(request.targets[0].address)):
        hint = "return dict[partition_key, value], with exactly the run's partition keys"
        if not isinstance(value, Mapping):
            msg = f"the run has {len(expected)} partitions, its value is a {type(value).__name__}"
            raise PartitionError(msg, hint=hint)
        by_key = {str(key): item for key, item in value.items()}
        missing = [key for key in expected if key not in by_key]
        unknown = sorted(set(by_key) - set(expected))
        if missing or unknown:
            parts = [f"missing: {missing}"] * bool(missing) + [f"unknown: {unknown}"] * bool(
                unknown
            )
            msg = f"the partition keys of the value are not those of the run ({'; '.join(parts)})"
            raise PartitionError(msg, hint=hint)
        return by_key
