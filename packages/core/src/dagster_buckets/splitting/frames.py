"""Splitting: one frame into the partitions of a run, by columns that say where each row belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dagster_buckets.errors import ConfigurationError, PartitionError
from dagster_buckets.splitting.assigning import Dimension, assign, counted, plain
from dagster_buckets.splitting.rows import Rows, counts_of, rows_of
from dagster_buckets.splitting.timelines import Window
from dagster_buckets.transfer import shortened

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dimension", "SplitBy", "Window", "Windows", "dimensions_for", "split"]

#: Which columns split a frame: one, one for each dimension of its name, or ``{dimension: column}``.
SplitBy: TypeAlias = str | Sequence[str] | Mapping[str, str]
#: Of each time dimension, what time each key stands for.
Windows: TypeAlias = Mapping[str, Mapping[str, Window]]

#: How many names a message has of each kind.
_FEW = 5
#: In how many rows those names are looked for.
_LOOKED_AT = 10_000


def split(
    frame: Any,
    dimensions: Sequence[Dimension],
    wanted: Mapping[str, Mapping[str, str]],
    *,
    allow_empty: bool = False,
) -> dict[str, Any]:
    """Split a frame into partitions: each row goes to exactly one, or nothing is returned.

    The parts have the class, the schema and the order of the frame; in pandas also its index,
    except that rows which are merely numbered are numbered anew in each part.

    Args:
        frame: A pandas or Polars frame, an Arrow table or record batch, or anything that Arrow can
            read, which is split into Arrow tables.
        dimensions: Of the partitions, with the column of each; :func:`dimensions_for`.
        wanted: The partitions, as ``{partition key: {dimension: key}}``.
        allow_empty: Whether a partition may have no row, and is an empty frame.

    Returns:
        ``{partition key: rows}``, in the order of ``wanted``.

    Raises:
        PartitionError: A column is missing or cannot name partitions, some rows are in none of
            them, or some partitions have no row.
        UnsupportedTypeError: The value is not a frame, or Arrow cannot rearrange its rows.
        ConfigurationError: The windows of a dimension overlap, or two partitions are the same.

    Example:
        >>> import pyarrow as pa
        >>> sales = pa.table({"country": ["fr", "de", "fr"], "amount": [1, 2, 3]})
        >>> by = dimensions_for("country", ["partition"])
        >>> parts = split(sales, by, {"de": {"partition": "de"}, "fr": {"partition": "fr"}})
        >>> {key: part["amount"].to_pylist() for key, part in parts.items()}
        {'de': [2], 'fr': [1, 3]}
    """
    table = rows_of(frame)
    keys = {
        dimension.name: list(dict.fromkeys(place[dimension.name] for place in wanted.values()))
        for dimension in dimensions
    }
    columns = [_column(table, dimension.column) for dimension in dimensions]
    if wanted and len(table):
        named = [
            assign(column, dimension, keys[dimension.name])
            for dimension, column in zip(dimensions, columns, strict=True)
        ]
    else:
        named = [_nowhere(column) for column in columns]
    places = _joined(named, dimensions, keys, wanted)
    counts = counts_of(places, len(wanted))
    troubles = _strays(columns, named, places, dimensions)
    hints = ["drop these rows, or materialize the partitions that they belong to"] * bool(troubles)
    empty = [repr(key) for key, count in zip(wanted, counts, strict=True) if not count]
    if empty and not allow_empty:
        troubles.append(f"missing, because no row belongs there: {shortened(empty, _FEW)}")
        hints.append(
            "return dict[partition_key, frame] with empty frames for partitions without rows, or "
            "set the metadata dagster_buckets/allow_empty_partitions to True"
        )
    if troubles:
        msg = f"the rows of the frame are not those of the run's partitions ({'; '.join(troubles)})"
        raise PartitionError(msg, hint="; ".join(hints))
    return dict(zip(wanted, table.divided(places, counts), strict=True))


def dimensions_for(
    split_by: SplitBy, names: Sequence[str], windows: Windows | None = None
) -> tuple[Dimension, ...]:
    """What the metadata ``dagster_buckets/split_by`` says: one column for each dimension.

    Args:
        split_by: The column for the only dimension; a list of the columns, each named like its
            dimension (of an only dimension as it likes); or ``{dimension: column}``.
        names: Of the dimensions.
        windows: Of those of time, what time each key stands for.

    Returns:
        In the order of ``names``.

    Raises:
        ConfigurationError: It is none of these, or has a column too few or too many.

    Example:
        >>> by = dimensions_for({"date": "sold_at", "country": "country"}, ["country", "date"])
        >>> [(dimension.name, dimension.column) for dimension in by]
        [('country', 'country'), ('date', 'sold_at')]
    """
    listed = ", ".join(repr(name) for name in names)
    hint = f"give {{dimension: column}} for {listed}" + ", or one column" * (len(names) == 1)
    given = [split_by] if isinstance(split_by, str) else split_by
    if not isinstance(given, Mapping | list | tuple) or not all(
        isinstance(text, str)
        for text in [*given, *(given.values() if isinstance(given, Mapping) else ())]
    ):
        msg = "the metadata dagster_buckets/split_by must be a column, a list of columns or "
        msg += f"{{dimension: column}}, not {split_by!r:.200}"
        raise ConfigurationError(msg, hint=hint)
    if isinstance(given, Mapping):
        columns = dict(given)
    elif len(given) == len(names) == 1:
        columns = {names[0]: given[0]}
    else:
        columns = {column: column for column in given}
    unknown = [repr(name) for name in columns if name not in names]
    missing = [repr(name) for name in names if name not in columns]
    twice = len(columns) < len(given)
    if unknown or missing or twice:
        parts = [f"unknown: {shortened(unknown, _FEW)}"] * bool(unknown)
        parts += [f"missing: {shortened(missing, _FEW)}"] * bool(missing) + [
            "one is named twice"
        ] * twice
        msg = f"the metadata dagster_buckets/split_by, {split_by!r:.200}, does not give one column "
        msg += f"for each dimension of the partitions ({'; '.join(parts)})"
        raise ConfigurationError(msg, hint=hint)
    times = windows or {}
    return tuple(Dimension(name, columns[name], times.get(name)) for name in names)


def _column(table: Rows, name: str) -> pa.ChunkedArray[Any]:
    found = table.names.count(name)
    if found != 1:
        there = "has no column" if not found else f"has {found} columns"
        msg = f"the frame {there} {name!r}, which dagster_buckets/split_by names; "
        msg += f"its columns: {shortened([repr(name) for name in table.names], 20) or 'none'}"
        raise PartitionError(msg, hint="name a column that every frame of the asset has, once")
    return table.column(name)


def _nowhere(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    import pyarrow as pa

    return pa.nulls(len(column), pa.int32())


def _joined(
    named: Sequence[pa.Array[Any]],
    dimensions: Sequence[Dimension],
    keys: Mapping[str, Sequence[str]],
    wanted: Mapping[str, Mapping[str, str]],
) -> pa.Array[Any]:
    """Of each row, the place of its partition in ``wanted``; null if it belongs to none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places, numbers = named[0], [0] * len(wanted)
    for depth, (dimension, found) in enumerate(zip(dimensions, named, strict=True)):
        known = {key: number for number, key in enumerate(keys[dimension.name])}
        # Number the keys so far together: the numbers stay below the square of the partitions.
        pairs = [
            number * len(known) + known[place[dimension.name]]
            for number, place in zip(numbers, wanted.values(), strict=True)
        ]
        distinct = list(dict.fromkeys(pairs))
        order = {pair: number for number, pair in enumerate(distinct)}
        numbers = [order[pair] for pair in pairs]
        if depth:
            pair = pc.add(pc.multiply(places.cast(pa.int64()), len(known)), found)
            value_set = pa.array(distinct, pa.int64())
            places = pc.index_in(pair, value_set=value_set, skip_nulls=True)
    if numbers != list(range(len(wanted))):
        same = [
            key for key, number in zip(wanted, numbers, strict=True) if numbers.count(number) > 1
        ]
        msg = f"the partitions {shortened([repr(key) for key in same], _FEW)} have the same keys"
        raise ConfigurationError(msg, hint="give each partition keys of its own")
    return places


def _strays(
    columns: Sequence[pa.ChunkedArray[Any]],
    named: Sequence[pa.Array[Any]],
    places: pa.Array[Any],
    dimensions: Sequence[Dimension],
) -> list[str]:
    """What is wrong with the rows that belong to no partition."""
    import pyarrow.compute as pc

    troubles = []
    known = pc.is_valid(named[0])
    for dimension, column, found in zip(dimensions, columns, named, strict=True):
        known = pc.and_(known, pc.is_valid(found))
        if not found.null_count:
            continue
        strays = plain(column).filter(pc.is_null(found))
        values = strays.drop_null()
        if strays.null_count:
            troubles.append(
                f"null in the column {dimension.column!r}: {counted(strays.null_count)}"
            )
        if len(values):
            zone = dimension.zone if _is_local(values.type) else None
            such_as = ", ".join(list(dict.fromkeys(_texts(values[:_LOOKED_AT])))[:_FEW])
            what = f"other values of {dimension.column!r}" + (f", read in {zone}" if zone else "")
            troubles.append(f"{what}: {counted(len(values))}, such as {such_as}")
    lost = pc.and_(known, pc.is_null(places))
    count = lost.true_count
    if count:
        texts = [_texts(plain(column).filter(lost)[:_LOOKED_AT]) for column in columns]
        pairs = list(dict.fromkeys(zip(*texts, strict=True)))[:_FEW]
        such_as = ", ".join(f"({', '.join(pair)})" for pair in pairs)
        named_by = ", ".join(repr(dimension.column) for dimension in dimensions)
        troubles.append(f"other combinations of {named_by}: {counted(count)}, such as {such_as}")
    return troubles


def _is_local(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None))


def _texts(values: pa.ChunkedArray[Any]) -> list[str]:
    """How a message shows the values; of times that are not local, in UTC."""
    import pyarrow as pa
    from pyarrow import types

    if not types.is_temporal(values.type):
        return [f"{value!r:.80}" for value in values.to_pylist()]
    suffix = ""
    if types.is_timestamp(values.type) and values.type.tz is not None:
        # Arrow writes UTC without its database of time zones, which not every machine has.
        values, suffix = values.cast(pa.timestamp(values.type.unit)), "Z"
    return [f"{value}{suffix}" for value in values.cast(pa.string()).to_pylist()]
