"""Definitions: what Dagster's assets, partition keys and metadata mean here, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import dagster as dg

from dagster_buckets.address import Address, AssetAddress
from dagster_buckets.choosing import AROUND
from dagster_buckets.errors import ConfigurationError, PartitionError, concerning
from dagster_buckets.formats.describing import MOST_ROWS
from dagster_buckets.plugins import all_options, format_by_extension, option_owners
from dagster_buckets.requests import Options

__all__ = [
    "AssetLike",
    "AssetLocation",
    "PartitionLike",
    "address_of",
    "dimensions_of",
    "location_of",
    "options_of",
    "settings_of",
]

#: An asset: its key in any spelling of Dagster, or its definition, which also tells its settings.
AssetLike: TypeAlias = str | Sequence[str] | dg.AssetKey | dg.AssetSpec | dg.AssetsDefinition
#: A partition: its key (a ``MultiPartitionKey`` for several dimensions), or ``{dimension: key}``.
PartitionLike: TypeAlias = str | Mapping[str, str] | None

_NAMESPACE = "dagster_buckets/"


class _Rule(NamedTuple):
    """What a metadata value may be: its types, their name for people, and its only values."""

    types: tuple[type, ...]
    spelled: str
    choices: tuple[Any, ...] = ()


_TEXT = _Rule((str,), "a string")
_FLAG = _Rule((bool,), "True or False")

#: What is known under ``dagster_buckets/``.
_KNOWN: dict[str, _Rule] = {
    "allow_empty_partitions": _FLAG,
    "format": _TEXT,
    "layout": _TEXT,
    "mask_columns": _Rule((list, tuple), "a list of columns"),
    "on_missing": _Rule((str,), "'error' or 'skip' or 'none'", ("error", "skip", "none")),
    "partition_columns": _FLAG,
    "partition_name": _TEXT,
    "preview_rows": _Rule((int,), f"0 to {MOST_ROWS}", tuple(range(MOST_ROWS + 1))),
    "shape": _Rule((str,), "'value' or 'partitions'", ("value", "partitions")),
    "split_by": _Rule((str, list, tuple, dict), "a column, a list of them or {dimension: column}"),
}


class AssetLocation(NamedTuple):
    """Whose value lies at a URI.

    Attributes:
        asset_key: The asset.
        partition_key: The partition (a ``MultiPartitionKey`` for several dimensions), or ``None``.
        format: The name of the format; ``None`` if the URI does not tell, or no installed one has
            this extension.
    """

    asset_key: dg.AssetKey
    partition_key: str | None
    format: str | None


def address_of(asset: AssetLike, partition: PartitionLike) -> tuple[AssetAddress, Options]:
    """The address of a value, and what the asset's metadata says, if its definition is given.

    Raises:
        PartitionError: The definition is given, and has no such partitions.
        ConfigurationError: See :func:`settings_of`.
    """
    path, options = settings_of(asset)
    spec = _one_spec(asset) if isinstance(asset, dg.AssetSpec | dg.AssetsDefinition) else None
    definition = spec.partitions_def if spec else None
    with concerning(str(AssetAddress(path))):
        if spec and (definition is None) != (partition is None):
            has = "has no partitions" if definition is None else "has partitions"
            msg = f"the asset {has}, and partition_key is {partition!r}"
            raise PartitionError(msg, hint="give a partition_key for an asset with partitions only")
        if partition is None:
            return AssetAddress(path), options
        dimensions = dimensions_of(partition, definition, options.partition_name)
        return AssetAddress.of(path, dimensions), options


def settings_of(asset: AssetLike) -> tuple[tuple[str, ...], Options]:
    """The parts of the asset key, and what the metadata says, if the definition is given.

    Raises:
        ConfigurationError: There are several assets in the definition, or its metadata is wrong.
    """
    if isinstance(asset, dg.AssetSpec | dg.AssetsDefinition):
        spec = _one_spec(asset)
        return tuple(spec.key.path), options_of(spec.metadata)
    # Dagster's own coercion, which makes one part of a string with slashes.
    return tuple(dg.AssetKey.from_coercible(asset).path), Options()


def dimensions_of(
    partition: str | Mapping[str, str],
    definition: dg.PartitionsDefinition[Any] | None,
    single_name: str,
) -> Mapping[str, str]:
    """A partition key as ``{dimension: key}``.

    Args:
        partition: In any spelling of Dagster.
        definition: What it is a key of, if that is known.
        single_name: What the only dimension is called.

    Raises:
        PartitionError: It has other dimensions than the definition.
    """
    if isinstance(partition, dg.MultiPartitionKey):
        partition = partition.keys_by_dimension
    if isinstance(definition, dg.MultiPartitionsDefinition):
        if isinstance(partition, str):
            return definition.get_partition_key_from_str(partition).keys_by_dimension
        names = set(definition.partition_dimension_names)
        if set(partition) != names:
            msg = f"the partition {dict(partition)} has other dimensions than the asset"
            raise PartitionError(msg, hint=f"give one key for each of {', '.join(sorted(names))}")
        return partition
    return {single_name: partition} if isinstance(partition, str) else partition


def location_of(address: Address, extension: str) -> AssetLocation | None:
    """An address in Dagster's terms; ``None`` for the output of an op."""
    if not isinstance(address, AssetAddress):
        return None
    found = dict(address.partition)
    key: str | None = dg.MultiPartitionKey(found) if len(found) > 1 else None
    if len(found) == 1:
        key = next(iter(found.values()))
    known = format_by_extension(extension)
    return AssetLocation(dg.AssetKey(list(address.path)), key, known[0].name if known else None)


def options_of(
    metadata: Mapping[str, Any] | None, of_input: Mapping[str, Any] | None = None
) -> Options:
    """Options from definition metadata.

    Args:
        metadata: Of the asset, or of the output of an op.
        of_input: Of the input that reads it; wins.

    Raises:
        ConfigurationError: A name or a value that we do not know.
    """
    merged = {**_spelled_by(metadata), **_spelled_by(of_input, of_input=True)}
    own = {name: value for name, value in merged.items() if name in _KNOWN}
    for_formats = {name: value for name, value in merged.items() if name not in _KNOWN}
    unknown = [n for n in sorted(for_formats) if n not in AROUND and not option_owners(n)]
    if unknown:
        known = sorted({*_KNOWN, *AROUND, *all_options()})
        msg = f"unknown metadata {', '.join(_NAMESPACE + name for name in unknown)}"
        spelled = ", ".join(_NAMESPACE + name for name in known)
        raise ConfigurationError(msg, hint=f"these are known: {spelled}")
    for name, value in own.items():
        rule = _KNOWN[name]
        if not isinstance(value, rule.types) or (rule.choices and value not in rule.choices):
            msg = f"the metadata {_NAMESPACE}{name} must be {rule.spelled}, not {value!r}"
            raise ConfigurationError(msg, hint="correct it on the asset, Out, AssetIn or In")
    return Options(**own, format_options=for_formats)


def _spelled_by(source: Mapping[str, Any] | None, *, of_input: bool = False) -> dict[str, Any]:
    """The settings in one place; our own names win over those that other managers know."""
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in (source or {}).items():
        plain = value.value if isinstance(value, dg.MetadataValue) else value
        if name.startswith(_NAMESPACE):
            own[name.removeprefix(_NAMESPACE)] = plain
        elif name == "allow_missing_partitions" and plain is True:
            others["on_missing"] = "skip"
        elif name == "columns" and of_input and isinstance(plain, list):
            # As dagster-polars spells it. On an asset it may mean anything.
            others["columns"] = plain
    return {**others, **own}


def _one_spec(asset: dg.AssetSpec | dg.AssetsDefinition) -> dg.AssetSpec:
    if isinstance(asset, dg.AssetSpec):
        return asset
    specs = list(asset.specs)
    if len(specs) != 1:
        names = ", ".join(spec.key.to_user_string() for spec in specs)
        msg = f"the definition makes {len(specs)} assets ({names}), not one"
        raise ConfigurationError(msg, hint="give one of them: definition.get_asset_spec(key)")
    return specs[0]
