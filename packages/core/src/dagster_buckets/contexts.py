"""Contexts: from Dagster's input and output contexts to addresses and options.

The only module that reads Dagster's contexts. On the load path nothing depends on a step context:
``load_asset_value`` and ``migrate_io_storage`` have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster import InputContext, OutputContext
from dagster._core.errors import DagsterInvariantViolationError
from dagster_shared.check import CheckError

from dagster_buckets.address import AssetAddress, OpAddress
from dagster_buckets.definitions import dimensions_of, options_of
from dagster_buckets.errors import ConfigurationError, PartitionError, concerning
from dagster_buckets.requests import LoadRequest, Options, Partitions, Target, WriteRequest
from dagster_buckets.windows import windows_of

__all__ = ["load_request", "write_request"]


_NO_PARTITION = "the partition range holds no partition"
_REVERSED = "is the range reversed? its start must not follow its end"


def write_request(context: OutputContext) -> WriteRequest:
    """Read an output context.

    Raises:
        PartitionError: A partitioned asset in a run without a partition (Dagster takes an empty
            partition key for none), or a range that holds none.
        ConfigurationError: Metadata that we do not know, or a context without a name.
    """
    options = options_of(context.definition_metadata)
    annotation = _annotation(context)
    if not context.has_asset_key:
        return WriteRequest((Target(None, _op_address(context)),), annotation, options)
    path = tuple(context.asset_key.path)
    definition = _partitions_def(context)
    if not context.has_asset_partitions:
        if definition is not None:
            msg = "the asset has partitions, but the run has no partition key"
            hint = "materialize it with a partition key that is not empty"
            with concerning(str(AssetAddress(path))):
                raise PartitionError(msg, hint=hint)
        return WriteRequest((Target(None, AssetAddress(path)),), annotation, options)
    keys = _ordered(context.asset_partition_keys, definition, _instance_of_output(context))
    if not keys:
        with concerning(str(AssetAddress(path))):
            raise PartitionError(_NO_PARTITION, hint=_REVERSED)
    windows = {}
    if options.split_by is not None and definition is not None:
        windows = windows_of(definition, keys, options.partition_name)
    return WriteRequest(
        _targets(path, keys, definition, options),
        annotation,
        options,
        over_many=_is_over_many(context),
        windows=windows,
    )


def load_request(context: InputContext) -> LoadRequest:
    """Read an input context, inside a run or outside of one.

    Raises:
        ConfigurationError: Metadata that we do not know, or an input that comes from nowhere.
    """
    upstream = context.upstream_output
    options = options_of(
        upstream.definition_metadata if upstream is not None else {}, context.definition_metadata
    )
    annotation = _annotation(context)
    if not context.has_asset_key:
        if upstream is None:
            msg = f"the input {context.name!r} has neither an asset key nor an upstream output"
            hint = "depend on an asset, or use another input manager for this input"
            raise ConfigurationError(msg, hint=hint)
        target = Target(None, _op_address(upstream))
        producer = _producer_annotation(context, [])
        return LoadRequest((target,), False, annotation, producer, options)  # noqa: FBT003
    path = tuple(context.asset_key.path)
    if not context.has_asset_partitions:
        target = Target(None, AssetAddress(path))
        producer = _producer_annotation(context, [])
        return LoadRequest((target,), False, annotation, producer, options)  # noqa: FBT003
    definition = _partitions_def(context)
    keys = _keys_of_check(context, definition)
    if keys is None:
        keys = _ordered(context.asset_partition_keys, definition, _instance_of_input(context))
    if not keys and _is_reversed(context):
        with concerning(str(AssetAddress(path))):
            raise PartitionError(_NO_PARTITION, hint=_REVERSED)
    return LoadRequest(
        _targets(path, keys, definition, options),
        True,  # noqa: FBT003
        annotation,
        _producer_annotation(context, keys),
        options,
    )


def _targets(
    path: tuple[str, ...],
    keys: Sequence[str],
    definition: dg.PartitionsDefinition[Any] | None,
    options: Options,
) -> Sequence[Target]:
    several = isinstance(definition, dg.MultiPartitionsDefinition)
    if definition is not None and not several and set(map(type, keys)) <= {str}:
        return Partitions(path, options.partition_name, keys)

    def address(key: str) -> AssetAddress:
        if several or isinstance(key, dg.MultiPartitionKey):
            dimensions = dimensions_of(key, definition, options.partition_name)
            return AssetAddress.of(path, dimensions)
        if definition is None and "|" in key:
            # So migrate_io_storage spells keys of several dimensions, unless it makes batches.
            msg = f"whether {key!r} is one partition key or several dimensions is not known"
            hint = "give the context a partitions definition, or a MultiPartitionKey"
            with concerning(str(AssetAddress(path))):
                raise PartitionError(msg, hint=hint)
        return AssetAddress(path, ((options.partition_name, key),))

    return tuple(Target(key, address(key)) for key in keys)


def _keys_of_check(
    context: InputContext, definition: dg.PartitionsDefinition[Any] | None
) -> list[str] | None:
    """The run's partitions, for the inputs of an asset check that declares none of its own.

    Dagster hands such a check every partition that exists. ``None`` for everything else, and for
    inputs with other partitions than the run's.
    """
    try:
        step = context.step_context
    except DagsterInvariantViolationError:
        return None
    outputs = step.step.step_outputs
    checks = [output.properties.asset_check_key for output in outputs]
    if definition is None or not all(checks) or not step.has_partitions:
        return None
    if step.entity_partitions_def is not None:
        return None
    asked, of_run = step.partition_key_range, step.run_partitions_def
    with dg.partition_loading_context(dynamic_partitions_store=step.instance):
        if of_run is None:
            # The job has assets of several definitions: the keys tell whose they are.
            if not all(definition.has_partition_key(key) for key in (asked.start, asked.end)):
                return None
        elif of_run != definition:
            return None
        keys = definition.get_partition_keys_in_range(asked)
    return _ordered(keys, definition, step.instance)


def _is_reversed(context: InputContext) -> bool:
    """Whether there are no partitions because of the range, and not because none maps to the run's.

    Outside of a run somebody has asked for a range.
    """
    try:
        step = context.step_context
    except DagsterInvariantViolationError:
        return True
    definition = step.run_partitions_def
    if definition is None or not step.has_partition_key_range:
        return False
    with dg.partition_loading_context(dynamic_partitions_store=step.instance):
        return not definition.get_partition_keys_in_range(step.partition_key_range)


def _is_over_many(context: OutputContext) -> bool:
    try:
        assets = context.step_context.assets_def
    except DagsterInvariantViolationError:
        return False
    policy = assets.backfill_policy if assets is not None else None
    return policy is not None and policy.max_partitions_per_run != 1


def _ordered(
    keys: Sequence[str],
    definition: dg.PartitionsDefinition[Any] | None,
    instance: dg.DagsterInstance | None,
) -> list[str]:
    # Dagster gives the keys of static, dynamic and multi-dimensional ranges in any order.
    if len(keys) < 2 or definition is None:  # noqa: PLR2004
        return list(keys)
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return sorted(keys, key=definition.start_time_for_partition_key)
    everything = definition.get_partition_keys(dynamic_partitions_store=instance)
    among = set(keys)
    known = [key for key in everything if key in among]
    if len(known) == len(keys):
        return known
    wanted = {str(key): key for key in keys}
    ordered = [wanted.pop(str(key)) for key in everything if str(key) in wanted]
    return ordered + sorted(wanted.values())


def _op_address(context: OutputContext) -> OpAddress:
    try:
        run_id, step_key, name, *mapped = context.get_identifier()
    except (dg.DagsterError, CheckError) as error:
        msg = f"the output has no run, step or name to be stored by: {error}"
        hint = "give build_output_context an asset_key, or a run_id, step_key and name"
        raise ConfigurationError(msg, hint=hint) from error
    return OpAddress(run_id, step_key, name, mapped[0] if mapped else None)


def _annotation(context: InputContext | OutputContext) -> Any:
    try:
        return context.dagster_type.typing_type
    except DagsterInvariantViolationError:
        return None


def _producer_annotation(context: InputContext, keys: Sequence[str]) -> Any:
    """The producer's annotation, if this run is known to have written all of these keys."""
    upstream = context.upstream_output
    if upstream is None:
        return None
    if keys and (not context.has_partition_key or list(keys) != [context.partition_key]):
        return None
    try:
        this_run: str | None = context.step_context.run_id
    except DagsterInvariantViolationError:
        this_run = None
    try:
        # A step that a re-execution skipped was run by its parent, perhaps by other code; and
        # another manager, with other settings, may write what this one reads.
        written_here = this_run is not None and upstream.run_id == this_run
        written_here = written_here and upstream.resource_config == context.resource_config
        annotation = upstream.dagster_type.typing_type
    except DagsterInvariantViolationError:
        return None
    return annotation if written_here else None


def _partitions_def(
    context: InputContext | OutputContext,
) -> dg.PartitionsDefinition[Any] | None:
    try:
        return context.asset_partitions_def
    except DagsterInvariantViolationError:
        return None


def _instance_of_input(context: InputContext) -> dg.DagsterInstance | None:
    try:
        return context.instance
    except DagsterInvariantViolationError:
        return None


def _instance_of_output(context: OutputContext) -> dg.DagsterInstance | None:
    try:
        return context.step_context.instance
    except DagsterInvariantViolationError:
        return None
