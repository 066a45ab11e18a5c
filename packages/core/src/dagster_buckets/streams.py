"""Streams: the partitions of an asset, one ``(partition key, value)`` after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

__all__ = ["PartitionStream"]

T = TypeVar("T")


class _StreamType(type):
    """Lets a plain stream pass for every subscripted one: it says nothing of its values."""

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or type(instance) is PartitionStream


class PartitionStream(Generic[T], metaclass=_StreamType):
    """The values of many partitions, without all of them in memory.

    As an output of an asset with partitions: each value is written as it comes, at most
    ``max_concurrency`` at once and about 64 MiB of encoded bytes in flight. What was written stays
    when the stream fails later, and Dagster shows it as materialized. As an input: the values come
    in the order of the partitions definition; the next ones are read ahead, within the same bounds.
    A stream can be iterated once.

    ``PartitionStream[T]`` is a class of its own, because Dagster takes no other generics, and an
    ordinary generic to type checkers.

    Args:
        pairs: ``(partition_key, value)``. A key of several dimensions is a ``MultiPartitionKey``,
            its text (``a|b``, sorted by dimension), or ``{dimension: key}``.
        partition_keys: The keys that will come, in this order, if they are known: they are then
            compared with those of the run before the first value is written.

    Attributes:
        partition_keys: Those keys; of a stream that was loaded those of the partitions in it.

    Raises:
        TypeError: ``pairs`` cannot be iterated, or is a mapping, which needs no stream.

    Example:
        >>> import dagster as dg
        >>> days = dg.DailyPartitionsDefinition("2024-01-01")
        >>> @dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
        ... def events(context) -> PartitionStream[list]:
        ...     return PartitionStream((key, [key]) for key in context.partition_keys)
        >>> @dg.asset
        ... def count(events: PartitionStream[list]) -> int:
        ...     return sum(len(values) for _, values in events)
    """

    #: What the values are, of a subscripted class; ``None`` if it is not said.
    item: Any = None

    def __init__(
        self,
        pairs: Iterable[tuple[str | Mapping[str, str], T]],
        *,
        partition_keys: Sequence[str | Mapping[str, str]] | None = None,
    ) -> None:
        if isinstance(pairs, Mapping):
            msg = "a PartitionStream takes (partition_key, value) pairs; return the dict itself"
            raise TypeError(msg)
        self.partition_keys = None if partition_keys is None else tuple(partition_keys)
        self._pairs: Iterator[tuple[Any, T]] = iter(pairs)

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item: Any) -> type:
            return _subscripted(item)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self

    def __next__(self) -> tuple[str, T]:
        return next(self._pairs)

    def __repr__(self) -> str:
        known = "" if self.partition_keys is None else f" of {len(self.partition_keys)} partitions"
        return f"<{type(self).__name__}{known}>"


@cache
def _subscripted(item: Any) -> type[PartitionStream[Any]]:
    name = f"PartitionStream[{item.__name__ if isinstance(item, type) else item}]"
    namespace = {"item": item, "__module__": __name__, "__doc__": PartitionStream.__doc__}
    return cast("type[PartitionStream[Any]]", _StreamType(name, (PartitionStream,), namespace))
