"""Polars scans: a dataset of objects as a ``LazyFrame`` that reads what its query needs.

Through Polars' interface for sources and not ``polars.scan_pyarrow_dataset``, which lets Arrow
decide what a filter means: ``x > 1`` loses the rows where ``x`` is NaN, to Polars the greatest of
all numbers. Here Arrow leaves out what no row of can pass, and Polars filters the rest.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from polars.io.plugins import register_io_source

from dagster_buckets.formats.datasets import Objects, ObjectsDataset

__all__ = ["lazy_frame"]

_Comparison = Callable[[Any, Any], Any]

#: Each with what it is called when its operands are exchanged.
_COMPARISONS: dict[_Comparison, _Comparison] = {
    operator.eq: operator.eq,
    operator.ne: operator.ne,
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
}

_CLOSED: tuple[tuple[Any, _Comparison, _Comparison], ...] = (
    ("both", operator.ge, operator.le),
    ("left", operator.ge, operator.lt),
    ("right", operator.gt, operator.le),
    ("none", operator.gt, operator.lt),
)

#: Of more of them than that Arrow is told nothing.
_MOST_ALTERNATIVES = 100

#: Those that a NaN does not pass in Polars, where it is the greatest number, nor in Arrow.
_WITHOUT_NAN: frozenset[_Comparison] = frozenset({operator.eq, operator.lt, operator.le})


def lazy_frame(dataset: ObjectsDataset) -> pl.LazyFrame:
    """A frame that reads the dataset when it is collected, each time anew.

    It gives what a ``DataFrame`` of the same values would. Filters on partition columns, and on
    columns by which a value in parts is split, leave out whole objects, whatever function they are;
    comparisons of a column with a constant leave out row groups; columns that the query does not
    use are not decoded.
    """

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - a hint; a row group is a good batch
    ) -> Iterator[pl.DataFrame]:
        # The first rows are counted before any is filtered, so none may be left out then.
        conjuncts = _conjuncts(predicate) if predicate is not None and n_rows is None else []
        left = dataset.at(_left(objects, conjuncts, settled))
        # Polars 1 needs a frame, if only for the columns.
        empty = dataset.schema.empty_table()
        yield pl.DataFrame(empty if with_columns is None else empty.select(with_columns))
        remaining = n_rows
        scanner = left.scanner(columns=with_columns, filter=_filter(dataset.schema, conjuncts))
        for batch in scanner.to_batches():
            frame = pl.DataFrame(pa.Table.from_batches([batch]))
            if remaining is not None:
                frame = frame.head(remaining)
                remaining -= frame.height
            if predicate is not None:
                frame = frame.filter(predicate)
            if frame.height:
                yield frame
            if remaining == 0:
                return

    objects = dataset.objects
    schema = pl.DataFrame(dataset.schema.empty_table()).schema
    settled = {
        name: pl.Series(name, values).cast(schema[name])
        for name, values in objects.settled(dataset.schema).items()
    }
    return register_io_source(read, schema=schema)


def pushed_down(schema: pa.Schema, predicate: pl.Expr) -> ds.Expression | None:
    """What Arrow may leave out because of the predicate: nothing that Polars would keep."""
    return _filter(schema, _conjuncts(predicate))


def _conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """The expressions that must all be true for a row to pass."""
    found, pending = [], [predicate]
    while pending:
        expression = pending.pop()
        operands = expression.meta.pop()
        if len(operands) == 2 and _same(expression, operands[1] & operands[0]):  # noqa: PLR2004
            pending += operands
        elif len(operands) == 3 and (both := _between(expression, operands)):  # noqa: PLR2004
            pending += both
        else:
            found.append(expression)
    return found


def _between(expression: pl.Expr, operands: list[pl.Expr]) -> list[pl.Expr]:
    """The two comparisons that ``is_between`` is; none for another function of three."""
    for value, low, high in (operands, reversed(operands)):
        for closed, below, above in _CLOSED:
            if _same(expression, value.is_between(low, high, closed)):
                return [below(value, low), above(value, high)]
    return []


def _alternatives(expression: pl.Expr) -> list[pl.Expr]:
    """The expressions of which one must be true; the expression itself if it is no such list."""
    found, pending = [], [expression]
    while pending:
        part = pending.pop()
        operands = part.meta.pop()
        if len(operands) == 2 and _same(part, operands[1] | operands[0]):  # noqa: PLR2004
            pending += operands
        else:
            found.append(part)
    return found


def _left(
    objects: Objects, conjuncts: list[pl.Expr], settled: Mapping[str, pl.Series]
) -> list[int]:
    """The objects that the conjuncts on columns with one value in each of them leave."""
    all_of_them = range(len(objects.refs))
    own = [c for c in conjuncts if (used := c.meta.root_names()) and set(used) <= set(settled)]
    if not own:
        return list(all_of_them)
    passes = pl.DataFrame(list(settled.values())).select(reduce(operator.and_, own)).to_series()
    return [position for position in all_of_them if passes[position]]


def _filter(schema: pa.Schema, conjuncts: list[pl.Expr]) -> ds.Expression | None:
    """What Arrow may leave out because of the conjuncts: nothing that Polars would keep."""
    terms = [term for c in conjuncts if (term := _term(schema, c)) is not None]
    return reduce(operator.and_, terms) if terms else None


def _term(schema: pa.Schema, expression: pl.Expr) -> ds.Expression | None:
    """One of the conjuncts, as Arrow writes it; ``None`` if it has no such words."""
    alternatives = _alternatives(expression)
    if len(alternatives) == 1:
        return _comparison(schema, expression)
    if len(alternatives) > _MOST_ALTERNATIVES:
        return None
    terms = [_filter(schema, _conjuncts(each)) for each in alternatives]
    known = [term for term in terms if term is not None]
    return reduce(operator.or_, known) if len(known) == len(terms) else None


def _comparison(schema: pa.Schema, expression: pl.Expr) -> ds.Expression | None:
    """A column compared with a constant or with several; ``None`` for anything else."""
    operands = expression.meta.pop()
    if len(operands) != 2:  # noqa: PLR2004
        return None
    for column, constant in (operands, reversed(operands)):
        names = column.meta.root_names()
        if constant.meta.root_names() or len(names) != 1 or not _same(column, pl.col(names[0])):
            continue
        if names[0] not in schema.names:
            return None
        if _same(expression, column.is_in(constant)):
            return _one_of(schema.field(names[0]), constant)
        for compare, exchanged in _COMPARISONS.items():
            if _same(expression, compare(column, constant)):
                return _translated(schema.field(names[0]), compare, _scalar(constant))
            if _same(expression, compare(constant, column)):
                return _translated(schema.field(names[0]), exchanged, _scalar(constant))
    return None


def _translated(field: pa.Field[Any], compare: _Comparison, value: Any) -> ds.Expression | None:
    kind = field.type
    plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_floating(kind) and compare in _WITHOUT_NAN
    # Of all values NaN alone differs from itself.
    if not (plain or text or number) or value.as_py() is None or value.as_py() != value.as_py():
        return None
    try:
        value = value.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return compare(ds.field(field.name), value)  # type: ignore[no-any-return]


def _scalar(constant: pl.Expr) -> Any:
    return pl.select(constant).to_series().to_arrow()[0]


def _one_of(field: pa.Field[Any], constant: pl.Expr) -> ds.Expression | None:
    values: Any = pl.select(constant).to_series().to_arrow()
    if pa.types.is_large_list(values.type):
        values = values.flatten()
    # Not of decimals and numbers with a point, which are equal in Polars and differ as bytes.
    plain = not pa.types.is_floating(field.type) and not pa.types.is_decimal(field.type)
    if not plain or any(_translated(field, operator.eq, value) is None for value in values):
        return None
    return ds.field(field.name).isin(values.cast(field.type))


def _same(left: pl.Expr, right: pl.Expr) -> bool:
    return left.meta.eq(right)
