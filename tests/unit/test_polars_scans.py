from __future__ import annotations

import operator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets.formats import object_files, polars_scans
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.polars_scans import _filter
from dagster_buckets.references import ObjectRef
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lazy_store import ReadingStore

NAN = pl.lit(float("nan"))
NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001
ROWS = 12
DAYS = [f"{i:02}" for i in range(4)]


def part(i: int) -> pl.DataFrame:
    numbers = [i * ROWS + j for j in range(ROWS)]
    holes = [None if n % 5 == 0 else n for n in numbers]
    return pl.DataFrame(
        {
            "n": holes,
            "f": [float("nan") if n % 7 == 0 else None if n % 5 == 0 else n / 2 for n in numbers],
            "s": [None if n % 4 == 0 else chr(97 + n % 26) for n in numbers],
            "b": [n % 2 == 0 for n in numbers],
            "d": [date(2024, 1, 1) + timedelta(days=n) for n in numbers],
            "t": [NOON + timedelta(hours=n) for n in numbers],
            "z": [NOON.replace(tzinfo=UTC) + timedelta(hours=n) for n in numbers],
            "m": [Decimal(n) / 10 for n in numbers],
            "l": [[n] for n in numbers],
            "u": pl.Series(numbers, dtype=pl.UInt8),
            "c": pl.Series(
                [None if n % 9 == 0 else "xyz"[n % 3] for n in numbers], dtype=pl.Categorical
            ),
        }
    )


STORE = ReadingStore()
REFS = [
    ObjectRef(STORE.put(f"day={day}/data", ParquetFormat().encode(part(i))), STORE)
    for i, day in enumerate(DAYS)
]
KEYS = [{"day": day} for day in DAYS]
LAZY: pl.LazyFrame = ParquetFormat().scan(REFS, pl.LazyFrame, KEYS)
PARTS = [ParquetFormat().part(ref.get()) for ref in REFS]
EAGER: pl.DataFrame = ParquetFormat().concat(PARTS, pl.DataFrame, KEYS)

n, f, s, d, t, z, day = (pl.col(name) for name in ("n", "f", "s", "d", "t", "z", "day"))


def same(query: Any) -> None:
    expected = query(EAGER)
    for options in ({}, {"engine": "streaming"}):
        found = query(LAZY).collect(**options)
        assert found.schema == expected.schema
        assert found.equals(expected)


def test_all_of_it() -> None:
    assert LAZY.collect_schema() == EAGER.schema
    same(lambda frame: frame)


@pytest.mark.parametrize(
    "predicate",
    [
        # NaN is the greatest number to Polars, and nothing to Arrow.
        f > 20, f >= 20, f < 20, f == 10, f != 10, f == NAN, f > NAN, f.is_nan(),
        f.is_between(5, 20), ~(f < 20), f.eq_missing(None), f.is_null(), f > 20.0,
        n > 30, n == 11, n != 11, n <= 3, n > 2**40, n.is_in([1, 2, 40]), n.is_null(), n.is_not_null(),
        n.eq_missing(None), n.ne_missing(3), n == pl.lit(None), n > 10.5, n % 2 == 0, n.is_between(20, 30),
        pl.lit(30) < n, pl.lit(30) >= n, (n > 3) & (n < 40) & (f < 10), (n > 40) | (f < 3), ~(n > 40), n + 1 > n,
        n.cast(pl.Float64) > 12.5, n > pl.col("u"), n.cast(pl.Int8) == 7, n.cast(pl.String) == "7",
        s == "c", s > "x", s.is_in(["a", "b"]), s.str.starts_with("b"), s != "c", s.is_null(),
        pl.col("b"), ~pl.col("b"), pl.col("b") == True,  # noqa: E712
        d == date(2024, 1, 5), d > date(2024, 2, 1), d.dt.month() == 2, d > NOON,
        t > NOON + timedelta(hours=30), t == NOON, t < pl.lit(NOON).cast(pl.Datetime("ns")),
        z > NOON.replace(tzinfo=UTC) + timedelta(hours=30),
        pl.col("m") > Decimal("1.5"), pl.col("m") == 2, pl.col("u") > 20, pl.col("u") < 300,
        pl.col("c") == "x", pl.col("c").cast(pl.String) > "x", pl.col("l").list.first() > 30,
        day == "02", day > "01", day.is_in(["00", "03", "x"]), day.str.ends_with("1"), day != "02",
        day.cast(pl.Int32) >= 2, (day == "02") & (n > 30), (day == "02") | (n > 40), ~(day == "02"),
        day.is_null(), (day > "00") & (day < "03") & (f > 8), pl.lit(True), pl.lit(False),  # noqa: FBT003
        day == s, day.str.len_bytes() == n, pl.lit(value=True) & (n > 3),
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_leaves_what_it_leaves_of_a_frame(predicate: pl.Expr) -> None:
    same(lambda frame: frame.filter(predicate))
    same(lambda frame: frame.filter(predicate).select("s", "day"))
    same(lambda frame: frame.select("n", "f", "s", "day").filter(pl.col("n") > 1).select("day"))


@pytest.mark.parametrize(
    ("predicate", "left"),
    [
        (day == "02", [2]),
        (day >= "02", [2, 3]),
        (day.str.ends_with("1"), [1]),
        (day.cast(pl.Int32) % 2 == 0, [0, 2]),
        ((day > "00") & (n > 3) & (day != "02"), [1, 3]),
        ((day == "01") | (day == "03"), [1, 3]),
        (day == "none", []),
        (day.is_in(["00", "03"]) & n.is_in([2, 40]), [0, 3]),
        ((day == "02") | (n > 40), [0, 1, 2, 3]),
    ],
)
def test_only_objects_that_can_match_are_read(predicate: pl.Expr, left: list[int]) -> None:
    STORE.gets.clear()
    LAZY.filter(predicate).collect()
    assert sorted(STORE.gets) == [f"day={DAYS[i]}/data" for i in left]


_CONSTANTS = {
    "n": st.integers(-5, 60),
    "f": st.floats(-5, 30) | st.just(float("nan")),
    "s": st.sampled_from(["", "a", "m", "z", "é"]),
    "u": st.integers(0, 60),
    "d": st.dates(date(2023, 12, 1), date(2024, 4, 1)),
    "t": st.datetimes(NOON, NOON + timedelta(days=3)),
    "day": st.sampled_from([*DAYS, "", "x"]),
}


@st.composite
def predicates(draw: st.DrawFn) -> pl.Expr:
    def leaf() -> pl.Expr:
        name = draw(st.sampled_from(sorted(_CONSTANTS)))
        value = pl.lit(draw(_CONSTANTS[name]))
        compare = draw(
            st.sampled_from(
                [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
            )
        )
        left, right = draw(st.permutations([pl.col(name), value]))
        found: pl.Expr = compare(left, right)
        if draw(st.booleans()):
            found = pl.col(name).is_in(draw(st.lists(_CONSTANTS[name], max_size=3)))
        return ~found if draw(st.booleans()) else found

    expression = leaf()
    for _ in range(draw(st.integers(0, 3))):
        expression = draw(st.sampled_from([operator.and_, operator.or_]))(expression, leaf())
    return expression


@settings(max_examples=150)
@given(predicates())
def test_any_filter(predicate: pl.Expr) -> None:
    assert LAZY.filter(predicate).collect().equals(EAGER.filter(predicate))


def test_other_queries() -> None:
    same(lambda frame: frame.head(15))
    same(lambda frame: frame.tail(3))
    same(lambda frame: frame.slice(10, 5))
    same(lambda frame: frame.head(0))
    same(lambda frame: frame.select(pl.len()))
    same(lambda frame: frame.select(pl.col("n").sum(), pl.col("f").max()))
    same(lambda frame: frame.filter(n > 20).head(2))
    same(lambda frame: frame.head(20).filter(n > 10))
    same(lambda frame: frame.group_by("day", maintain_order=True).agg(pl.col("n").sum()))
    same(lambda frame: frame.with_columns(twice=n * 2).filter(pl.col("twice") > 40).select("twice"))
    same(lambda frame: frame.sort("n", descending=True, nulls_last=True).head(3))
    same(lambda frame: frame.join(frame.select("n", other=pl.col("s")), on="n").sort("n"))


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (n > 3, "(n > 3)"),
        (pl.lit(3) < n, "(n > 3)"),
        ((n > 3) & (s == "a") & (n % 2 == 0), '((n > 3) and (s == "a"))'),
        (f < 3, "(f < 3)"),
        (f > 3, "None"),
        (f != 3, "None"),
        (n.is_null(), "None"),
        ((n > 3) | (n < 1), "((n > 3) or (n < 1))"),
        ((n > 3) | (n < 1) | ((s == "a") & (n % 2 == 0)), '(((n > 3) or (n < 1)) or (s == "a"))'),
        ((n > 3) | (n % 2 == 0), "None"),
        (
            n.is_in([2, 3]),
            "is_in(n, {value_set=int64:[\n  2,\n  3\n], null_matching_behavior=MATCH})",
        ),
        (n.is_in([2, None]), "None"),
        (~n.is_in([2, 3]), "None"),
        (f.is_in([0.0]), "None"),
        (pl.col("u").is_in([2, 300]), "None"),
        (n > pl.col("u"), "None"),
        (n > pl.lit(None, dtype=pl.Int64), "None"),
        (t > pl.lit(NOON).dt.cast_time_unit("ns").dt.offset_by("1ns"), "None"),
        (pl.col("m") > Decimal("1.5"), "None"),
        (pl.col("c") == "x", "None"),
    ],
    ids=str,
)
def test_what_arrow_may_leave_out(predicate: pl.Expr, expected: str) -> None:
    from dagster_buckets.formats.polars_scans import _conjuncts

    schema = ParquetFormat().concat(PARTS, pa.Table).schema
    found = str(_filter(schema, _conjuncts(predicate))).replace("<pyarrow.compute.Expression ", "")
    assert found.removesuffix(">") == expected


def test_errors_are_those_of_the_query() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        LAZY.filter(pl.col("other") > 1).collect()
    with pytest.raises(pl.exceptions.PolarsError):
        LAZY.filter(pl.col("day").cast(pl.Date) > date(2024, 1, 1)).collect()


def test_row_groups_of_large_objects_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_files, "WHOLE_SIZE", 1000)
    store = ReadingStore()
    table = pa.table({"n": range(1_000_000)})
    refs = [ObjectRef(store.put("x", ParquetFormat().encode(table)), store)]
    lazy = ParquetFormat().scan(refs, pl.LazyFrame)
    store.ranged = 0
    assert lazy.filter(pl.col("n") == 5).collect()["n"].to_list() == [5]
    assert store.ranged < refs[0].size / 4


@pytest.mark.parametrize("closed", ["both", "left", "right", "none"])
def test_between_is_two_comparisons(closed: Any) -> None:
    schema = pa.table({"n": [1], "x": [0.5]}).schema
    found = str(polars_scans.pushed_down(schema, pl.col("n").is_between(2, 5, closed)))
    low = ">=" if closed in ("both", "left") else ">"
    high = "<=" if closed in ("both", "right") else "<"
    assert f"n {low} 2" in found
    assert f"n {high} 5" in found
    # To Polars NaN is greater than all others, so only one side may be left to Arrow.
    assert ">" not in str(polars_scans.pushed_down(schema, pl.col("x").is_between(2, 5, closed)))
    assert polars_scans.pushed_down(schema, pl.col("n").clip(2, 5)) is None
    assert polars_scans.pushed_down(schema, pl.col("unknown") > 1) is None
