"""Projection: which columns and which rows of a table a load wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.errors import ConfigurationError, DecodeError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["Filters", "Projection"]

#: ``[(column, op, value), …]`` that must all hold, a list of such lists of which one must hold, or
#: an expression of Arrow or Polars. It must tell of each row by itself whether to keep it: a mean,
#: a shift or a window sees only those rows that are read together.
Filters = Any

_OPERATORS = ("=", "==", "!=", "<", ">", "<=", ">=", "in", "not in")


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns and rows of a table to keep.

    Args:
        columns: Their names, in the order wanted; ``None`` for all.
        filters: See :data:`Filters`; ``None`` for all rows. A comparison with a null is not true,
            and as a null is in no list, "not in" keeps it.

    Raises:
        ConfigurationError: No column is named, or the filters are none of these.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"n": [1, 2, 3], "s": ["a", "b", "c"]})
        >>> Projection(["s"], [("n", ">", 1)]).of(table, "memory://x").to_pydict()
        {'s': ['b', 'c']}
    """

    columns: Sequence[str] | None = None
    filters: Filters = None

    def __post_init__(self) -> None:
        if self.columns is not None and not self.columns:
            msg = "columns names none, and a table without columns has no rows"
            raise ConfigurationError(msg, hint="name one, or leave dagster_buckets/columns out")
        if not self._is_polars and not self._is_arrow:
            _check_tuples(self.filters)

    def __bool__(self) -> bool:
        return self.columns is not None or self.filters is not None

    def of(self, table: pa.Table, uri: str, *, keep: Sequence[str] = ()) -> pa.Table:
        """The table with these columns and rows.

        Args:
            table: All there is.
            uri: Of the object, for errors.
            keep: More columns to keep, after the others.

        Raises:
            DecodeError: A column is missing, or the filters do not fit the types.
        """
        names = self.names(table.schema, uri, keep=keep)
        if self.filters is not None:
            table = self._filtered(table, uri)
        return table if names is None else table.select(names)

    def names(self, schema: pa.Schema, uri: str, *, keep: Sequence[str] = ()) -> list[str] | None:
        """The columns to read; ``None`` for all.

        Raises:
            DecodeError: One of them is missing.
        """
        if self.columns is None:
            return None
        names = list(schema.names)
        found = set(names)
        if len(found) < len(names) and (
            twice := [name for name in self.columns if names.count(name) > 1]
        ):
            msg = f"{uri} has several columns {', '.join(map(repr, twice))}"
            raise DecodeError(msg, uri=uri, hint="load all columns, and rename them")
        missing = [name for name in self.columns if name not in found]
        if missing:
            msg = f"{uri} has no column {', '.join(map(repr, missing))}"
            hint = f"it has {', '.join(schema.names[:50])}; change dagster_buckets/columns"
            raise DecodeError(msg, uri=uri, hint=hint)
        return list(dict.fromkeys([*self.columns, *keep]))

    def expression(self, schema: pa.Schema) -> ds.Expression | None:
        """What Arrow may leave out of the rows before :meth:`of` does so exactly."""
        if self.filters is None:
            return None
        if self._is_polars:
            from dagster_buckets.formats.polars_scans import pushed_down

            return pushed_down(schema, self.filters)
        return cast("ds.Expression", self._of_arrow())

    def used(self, schema: pa.Schema) -> list[str]:
        """The columns that the filters need."""
        if self.filters is None:
            return []
        if self._is_polars:
            names, found = _named(self.filters), dict.fromkeys(schema.names)
            return list(found) if names is None else [n for n in names if n in found]
        if self._is_arrow:
            return _needed(self.filters, schema)
        return list(dict.fromkeys(name for terms in _groups(self.filters) for name, *_ in terms))

    @property
    def is_exact(self) -> bool:
        """Whether :meth:`expression` leaves out all rows that the filters do."""
        return not self._is_polars

    @property
    def _is_polars(self) -> bool:
        return type(self.filters).__module__.startswith("polars.")

    @property
    def _is_arrow(self) -> bool:
        return type(self.filters).__module__.startswith("pyarrow.")

    def _of_arrow(self) -> Any:
        if self._is_arrow:
            return self.filters
        import pyarrow.parquet as pq

        groups: Any = [
            [each for term in terms for each in _bounded(term)] for terms in _groups(self.filters)
        ]
        try:
            return pq.filters_to_expression(groups)
        except OverflowError as error:
            msg = f"filters cannot be {self.filters!r}: {error}"
            hint = "write the number as pyarrow.scalar(…, pyarrow.uint64()), or one that fits"
            raise ConfigurationError(msg, hint=hint) from error

    def _filtered(self, table: pa.Table, uri: str) -> pa.Table:
        import pyarrow as pa

        try:
            if not self._is_polars:
                return table.filter(self._of_arrow())
            import polars as pl

            used = table.select(self.used(table.schema)).replace_schema_metadata()
            frame = pl.DataFrame(used)
            if frame.width:
                return table.filter(frame.with_columns(self.filters.alias(""))[""].to_arrow())
            # Of no column: it holds of every row, or of none.
            return table if frame.select(self.filters).item() else table.slice(0, 0)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise self.misfit(uri, error) from error
        except Exception as error:
            if not self._is_polars:
                raise
            # Polars raises what it likes.
            raise self.misfit(uri, error) from error

    def misfit(self, uri: str, error: Exception) -> DecodeError:
        """The error for filters that an object's columns do not go with."""
        msg = f"the filters {self.filters!s} do not fit {uri}: {error}"
        hint = "compare each column with values of its own type; change dagster_buckets/filters"
        return DecodeError(msg, uri=uri, hint=hint)


def _bounded(term: Any) -> list[tuple[str, str, Any]]:
    """The term, and for "in" the bounds of the list, by which Arrow leaves out groups of rows."""
    name, operator, value = term
    if operator != "in" or not isinstance(value, list | tuple | set | frozenset) or not value:
        return [(name, operator, value)]
    try:
        low, high = min(value), max(value)
    except TypeError:
        return [(name, operator, value)]
    if any(each != each for each in value):  # noqa: PLR0124 - NaN, which has no place in an order
        return [(name, operator, value)]
    return [(name, operator, value), (name, ">=", low), (name, "<=", high)]


def _needed(expression: ds.Expression, schema: pa.Schema) -> list[str]:
    """The columns that an expression of Arrow needs, which does not tell them but by its text."""
    try:
        empty = schema.empty_table()
    except NotImplementedError:  # Arrow 17 for some dictionaries within lists
        return list(schema.names)
    text = str(expression)
    places = [place for place, name in enumerate(schema.names) if name in text]
    told = [schema.names[place] for place in places]
    if not _works(expression, empty.select(places)):
        told = list(schema.names)
    return [name for name in told if not _works(expression, empty.drop_columns([name]))]


def _works(expression: ds.Expression, empty: pa.Table) -> bool:
    """Whether an expression finds all columns that it needs."""
    import pyarrow as pa

    try:
        empty.filter(expression)
    except (pa.ArrowException, TypeError, ValueError):
        return False
    return True


def _named(filters: pl.Expr) -> list[str] | None:
    """The columns that an expression of Polars names; ``None`` if it has other ways to choose."""
    operands = filters.meta.pop()
    if not operands and not filters.meta.is_literal() and not filters.meta.is_column():
        return None  # a selector, or the number of rows
    found = filters.meta.root_names()
    for operand in operands:
        names = _named(operand)
        if names is None:
            return None
        found += names
    return list(dict.fromkeys(found))


def _groups(filters: Any) -> list[list[Any]]:
    """Lists of terms of which one must hold, whichever way they are written."""
    if filters and all(_is_term(term) for term in filters):
        return [list(filters)]
    return [list(terms) for terms in filters]


def _is_term(term: Any) -> bool:
    return (
        isinstance(term, tuple | list)
        and len(term) == 3  # noqa: PLR2004 - column, operator, value
        and isinstance(term[0], str)
        and isinstance(term[1], str)
    )


def _check_tuples(filters: Any) -> None:
    if filters is None:
        return
    right = isinstance(filters, list | tuple) and bool(filters)
    groups = _groups(filters) if right and all(isinstance(t, list | tuple) for t in filters) else []
    right = bool(groups) and all(terms and all(map(_is_term, terms)) for terms in groups)
    if not right:
        msg = f"filters cannot be {filters!r}"
        hint = "write [(column, operator, value), …], lists of such lists, or an expression of "
        raise ConfigurationError(msg, hint=hint + "Arrow or Polars")
    for terms in groups:
        for _, operator, _ in terms:
            if operator not in _OPERATORS:
                msg = f"filters have no operator {operator!r}"
                raise ConfigurationError(msg, hint=f"it can be one of {', '.join(_OPERATORS)}")
