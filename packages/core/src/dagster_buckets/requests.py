"""Requests: what one ``handle_output`` or ``load_input`` has to do, free of Dagster's contexts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, overload

from dagster_buckets.address import DEFAULT_DIMENSION, Address, AssetAddress
from dagster_buckets.names import AUTO
from dagster_buckets.splitting import SplitBy, Windows
from dagster_buckets.values import OnMissing

__all__ = ["LoadRequest", "Options", "Partitions", "Target", "WriteRequest"]


@dataclass(frozen=True, slots=True)
class Options:
    """What definition metadata says about one value: input before asset, asset before manager.

    Attributes:
        format: A format's name; ``auto`` if nothing says so.
        layout: A layout, as the manager's setting; ``None`` if nothing says so.
        on_missing: ``None`` if nothing says so.
        partition_name: What the only dimension of a partitions definition is called in keys.
        partition_columns: Whether a frame gets the keys of its partition as columns on load.
        shape: How ``dict[str, T]`` is meant for one partition, where that is ambiguous.
        split_by: Which columns split a frame into the partitions of the run; ``None`` for none.
        allow_empty_partitions: Whether a partition without rows in that frame is an empty frame.
        preview_rows: How many of its first rows the metadata shows; ``None`` if nothing says so.
        mask_columns: The columns whose values the metadata does not show, beside the manager's.
        format_options: Of whichever format the value has, by name.
    """

    format: str = AUTO
    layout: str | None = None
    on_missing: OnMissing | None = None
    partition_name: str = DEFAULT_DIMENSION
    partition_columns: bool = False
    shape: Literal["value", "partitions"] | None = None
    split_by: SplitBy | None = None
    allow_empty_partitions: bool = False
    preview_rows: int | None = None
    mask_columns: Sequence[str] = ()
    format_options: Mapping[str, Any] = field(default_factory=dict)


class Target(NamedTuple):
    """One value and the partition key that Dagster knows it by (``None`` without partitions)."""

    partition_key: str | None
    address: Address

    @property
    def name(self) -> str:
        """The partition key, or what the address says where there are no partitions."""
        return str(self.address) if self.partition_key is None else self.partition_key


@dataclass(frozen=True, slots=True)
class Partitions(Sequence[Target]):
    """Partitions of one asset and one dimension, each made when it is asked for.

    Made at once, those of a large asset would cost less than Python's looking for cycles in them.

    Attributes:
        path: The parts of the asset key.
        dimension: The name of the dimension.
        keys: In order.
    """

    path: tuple[str, ...]
    dimension: str
    keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Target]:
        path, dimension, made = self.path, self.dimension, tuple.__new__
        # Without the call of Python's that a named tuple makes for each.
        return (made(Target, (key, AssetAddress(path, ((dimension, key),)))) for key in self.keys)

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> Partitions: ...
    def __getitem__(self, index: int | slice) -> Target | Partitions:
        if isinstance(index, slice):
            return Partitions(self.path, self.dimension, self.keys[index])
        return self._made(self.keys[index])

    def _made(self, key: str) -> Target:
        return Target(key, AssetAddress(self.path, ((self.dimension, key),)))


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What one ``handle_output`` has to write.

    Attributes:
        targets: One, or as many as the run has partitions, in the order of their definition.
        annotation: What the producer says that it returns.
        options: From the definition metadata of the output.
        over_many: Whether the asset is made for runs over several partitions
            (``BackfillPolicy.single_run()``), also where this one has a single one.
        windows: Of time dimensions; needed only to split a frame.
    """

    targets: Sequence[Target]
    annotation: Any
    options: Options
    over_many: bool = False
    windows: Windows = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What one ``load_input`` has to read.

    Attributes:
        targets: None to many, in the order of their definition.
        partitioned: Whether the asset has partitions, however many are asked for.
        annotation: What the consumer asks for.
        producer_annotation: What the producer of these very objects says that it returned; known
            only in the run that wrote them.
        options: From the definition metadata of the input and of the output that it reads.
    """

    targets: Sequence[Target]
    partitioned: bool
    annotation: Any
    producer_annotation: Any
    options: Options
