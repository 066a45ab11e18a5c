"""Addresses: what is stored, independent of where and how.

An address names a value the way Dagster does. A layout turns it into an object key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dagster_buckets.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "DEFAULT_DIMENSION",
    "Address",
    "AssetAddress",
    "OpAddress",
    "address_of_label",
    "asset_of",
    "label_of",
    "path_of",
]

#: The dimension name of a partitions definition that has only one and does not name it.
DEFAULT_DIMENSION = "partition"

#: The longest label, in bytes: S3 keeps 2 KB beside an object, all names and values together.
_LABEL_LIMIT = 1000


@dataclass(frozen=True, slots=True, init=False)
class AssetAddress:
    """One asset, or one partition of it.

    Two addresses are equal exactly if Dagster means the same value by them: the order in which
    dimensions were declared does not matter.

    Attributes:
        path: The parts of the asset key; at least one.
        partition: ``(dimension, value)`` pairs in the alphabetical order of their dimensions;
            empty for an asset without partitions.

    Example:
        >>> address = AssetAddress.of(["orders"], {"date": "2024-01-01", "country": "fr"})
        >>> address.partition
        (('country', 'fr'), ('date', '2024-01-01'))
    """

    path: tuple[str, ...]
    partition: tuple[tuple[str, str], ...] = ()

    # There are as many as an asset has partitions: one call instead of the generated two.
    def __init__(self, path: tuple[str, ...], partition: tuple[tuple[str, str], ...] = ()) -> None:
        if not path:
            msg = "an asset address needs at least one key part"
            raise ConfigurationError(msg)
        if len(partition) > 1:
            _check_order(partition)
        _set_path(self, path)
        _set_partition(self, partition)

    @classmethod
    def of(
        cls, path: Sequence[str], partition: Mapping[str, str] | str | None = None
    ) -> AssetAddress:
        """Build an address from Dagster's terms.

        Args:
            path: The parts of the asset key.
            partition: ``None``, the key of a one-dimensional partition, or
                ``{dimension: value}``, in any order.
        """
        if isinstance(partition, str):
            return cls(tuple(path), ((DEFAULT_DIMENSION, partition),))
        return cls(tuple(path), tuple(sorted((partition or {}).items())))

    def __str__(self) -> str:
        name = "/".join(self.path)
        if not self.partition:
            return f"asset {name!r}"
        if len(self.partition) == 1:
            return f"asset {name!r}, partition {self.partition[0][1]!r}"
        keys = ", ".join(f"{dimension}={value!r}" for dimension, value in self.partition)
        return f"asset {name!r}, partition ({keys})"


# What sets the fields of a class that cannot be changed: its slots themselves, the fastest way.
_set_path: Callable[[AssetAddress, tuple[str, ...]], None] = vars(AssetAddress)["path"].__set__
_set_partition: Callable[[AssetAddress, tuple[tuple[str, str], ...]], None] = vars(AssetAddress)[
    "partition"
].__set__


def _check_order(partition: tuple[tuple[str, str], ...]) -> None:
    names = [name for name, _ in partition]
    if names != sorted(set(names)):
        msg = f"partition dimensions must be unique and in alphabetical order, got {names!r}"
        raise ConfigurationError(msg, hint="build the address with AssetAddress.of")


@dataclass(frozen=True, slots=True)
class OpAddress:
    """One output of an op in one run.

    Attributes:
        run_id: The run that produced it (of a re-execution, the run that ran the step).
        step_key: The step, with brackets for mapped steps (``double[two]``).
        output_name: The output's name (``result`` by default).
        mapping_key: The key of a dynamic output, ``None`` otherwise.
    """

    run_id: str
    step_key: str
    output_name: str
    mapping_key: str | None = None

    def __str__(self) -> str:
        mapped = "" if self.mapping_key is None else f"[{self.mapping_key}]"
        return f"output {self.output_name!r}{mapped} of step {self.step_key!r}, run {self.run_id}"


Address: TypeAlias = AssetAddress | OpAddress


def asset_of(address: Address) -> str:
    """The asset alone, for messages about several of its partitions."""
    return str(AssetAddress(address.path)) if isinstance(address, AssetAddress) else str(address)


def path_of(address: Address) -> tuple[str, ...] | None:
    """The parts of the asset key; ``None`` for the output of an op."""
    return address.path if isinstance(address, AssetAddress) else None


def label_of(address: Address) -> str:
    """The address as one line of printable ASCII without spaces, to be kept beside the bytes.

    JSON, or a digest of it where it has more than 1,000 bytes. Two addresses with one label are
    equal.
    """
    if isinstance(address, AssetAddress):
        content: dict[str, object] = {"asset": address.path}
        if address.partition:
            content["partition"] = dict(address.partition)
    else:
        content = {"run": address.run_id, "step": address.step_key, "output": address.output_name}
        if address.mapping_key is not None:
            content["mapping_key"] = address.mapping_key
    text = json.dumps(content, separators=(",", ":"))
    # Servers fold spaces in headers before they check a signature; JSON leaves DEL as it is.
    text = text.replace(" ", r"\u0020").replace("\x7f", r"\u007f")
    if len(text) <= _LABEL_LIMIT:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def address_of_label(label: str) -> Address | None:
    """The inverse of :func:`label_of`; ``None`` for a digest and for what it never makes.

    Example:
        >>> str(address_of_label('{"asset":["orders"],"partition":{"day":"2024-01-31"}}'))
        "asset 'orders', partition '2024-01-31'"
    """
    try:
        content = json.loads(label)
        if "asset" in content:
            address: Address = AssetAddress.of(content["asset"], content.get("partition"))
        else:
            run, step, output = (content[name] for name in ("run", "step", "output"))
            address = OpAddress(run, step, output, content.get("mapping_key"))
        # Anybody may have written it, of any types and with other members.
        return address if _is_text(address) and label_of(address) == label else None
    except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError):
        return None


def _is_text(address: Address) -> bool:
    if isinstance(address, AssetAddress):
        parts: tuple[object, ...] = (
            *address.path,
            *(part for pair in address.partition for part in pair),
        )
    else:
        parts = (address.run_id, address.step_key, address.output_name, address.mapping_key or "")
    return all(isinstance(part, str) for part in parts)
