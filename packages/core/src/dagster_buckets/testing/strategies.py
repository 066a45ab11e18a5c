"""Hypothesis strategies: hostile names and addresses, plain values, small tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dagster_buckets.address import DEFAULT_DIMENSION, Address, AssetAddress, OpAddress

__all__ = [
    "HOSTILE_NAMES",
    "addresses",
    "any_arrow_tables",
    "arrow_tables",
    "asset_addresses",
    "extensions",
    "hostile_text",
    "json_values",
    "neighbours",
    "op_addresses",
]

#: Names that were mistaken for something else somewhere, and names of our own.
HOSTILE_NAMES = (
    "", ".", "..", "...", "/", "//", "a/", "/a", "a/b", "../a", "a/../b", "./a", "\\", "a\\b",
    "%", "%%", "%2F", "%2f", "%252F", "a%2Fb", "=", "a=b", "a=", "=b", ":", "a:b", "a|b", "~",
    "~a", " ", "a b", " a", "a ", "+", "?", "#", "&", "*", "'", '"', "a", "A", "b", "ab", "AB",
    "é", "e\u0301", "\u212b", "\u00c5", "ﬁ", "日本", "\U0001f600", "\u200b", "\ufeff",
    "data", "data.", "data.parquet", "data.json", ".runs", ".runs/x", "runs", "partition",
    "partition=x", "partition=", "__HIVE_DEFAULT_PARTITION__", "2024-01-01-00:00", "CON", "nul",
    "a.b", "a.", ".a", "1.5", "-", "_", "[", "]", "double[two]", "\n", "\t", "\0", "\x7f",
    "x" * 200, "x" * 201, "x" * 255, "x" * 1000, "x" * 999 + "y", "é" * 33, "é" * 34, "é" * 500,
    "x" * 198 + "é", "." * 300, "%" * 67, "/" * 100,
)  # fmt: skip


_SPECIAL = st.sampled_from(HOSTILE_NAMES)
_HOSTILE = st.one_of(
    _SPECIAL,
    st.text(alphabet="aAb/.%=~2F-_", max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.builds("{}{}{}".format, _SPECIAL, st.sampled_from("/.=%~|"), _SPECIAL),
)


# Composite for its short repr: Hypothesis warns where it has to write out all the names.
@st.composite
def hostile_text(draw: st.DrawFn) -> str:
    """Text that tests a naming scheme: special names, their joins, and any other Unicode.

    Without lone surrogates, which no object key can carry. The alphabet is small often enough for
    two independent draws to be nearly equal.
    """
    return draw(_HOSTILE)


def asset_addresses() -> SearchStrategy[AssetAddress]:
    """Assets, without partitions, with one dimension (named or not), or with several."""
    names = hostile_text()
    dimensions = st.one_of(st.sampled_from([DEFAULT_DIMENSION, "a", "date", "region"]), names)
    partitions = st.one_of(
        st.none(), names, st.dictionaries(dimensions, names, min_size=1, max_size=3)
    )
    return st.builds(AssetAddress.of, st.lists(names, min_size=1, max_size=4), partitions)


def op_addresses() -> SearchStrategy[OpAddress]:
    """Outputs of ops, with and without a mapping key."""
    names = hostile_text()
    return st.builds(OpAddress, names, names, names, st.none() | names)


def addresses() -> SearchStrategy[Address]:
    """Assets, their partitions, and outputs of ops."""
    return st.one_of(asset_addresses(), op_addresses())


def neighbours(address: Address) -> set[Address]:
    """Other addresses that some naming scheme takes for this one."""
    near: Iterator[Address] = (
        _near_asset(address) if isinstance(address, AssetAddress) else _near_output(address)
    )
    return set(near) - {address}


def _respelled(text: str) -> set[str]:
    """Texts that are equal once encoded, decoded, normalised, folded or cut somewhere."""
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC")}
    folded = {text.upper(), text.lower(), text.casefold(), text.strip(), text.rstrip(".")}
    escaped = {quote(text, safe=""), quote(text), unquote(text), text.replace("%2F", "%2f")}
    paths = {f"{text}/", f"/{text}", f"./{text}", f"{text}/.", text.replace("\\", "/")}
    paths |= {text.replace("//", "/"), text.strip("/"), f"{text}/../{text}"}
    others = {
        f"{text}=",
        f"{text}.parquet",
        f"{text}/data.parquet",
        f"{text}x",
        text[:-1],
        f"~{text}",
    }
    return forms | folded | escaped | paths | others


def _near_asset(address: AssetAddress) -> Iterator[Address]:
    path, partition = address.path, dict(address.partition)
    for last in _respelled(path[-1]):
        yield AssetAddress.of([*path[:-1], last], partition)
    for dimension, value in partition.items():
        for other in _respelled(value):
            yield AssetAddress.of(path, partition | {dimension: other})
        for other in _respelled(dimension):
            yield AssetAddress.of(
                path, {other if d == dimension else d: v for d, v in partition.items()}
            )
    # What is a part here is a partition, a folder, a file or an output there.
    yield AssetAddress.of(["/".join(path)], partition)
    yield AssetAddress.of([piece for part in path for piece in part.split("/")], partition)
    yield AssetAddress.of([*path, *partition.values()])
    yield AssetAddress.of([*path, *(f"{d}={v}" for d, v in partition.items())])
    yield AssetAddress.of(path, "/".join(partition.values()))
    yield AssetAddress.of(path, "|".join(partition.values()))
    yield AssetAddress.of(path, dict(zip(partition, reversed(partition.values()), strict=True)))
    yield AssetAddress.of([*path, "data.parquet"], partition)
    yield AssetAddress.of([*path, "data"], partition)
    if len(path) > 1:
        yield AssetAddress.of(path[:-1], path[-1])
        yield AssetAddress.of(path[:-1], partition)
    if len(path) in (3, 4):
        yield OpAddress(*path)
    if path[0] in (".runs", "storage") and len(path) in (4, 5):
        yield OpAddress(*path[1:])


def _near_output(address: OpAddress) -> Iterator[Address]:
    run, step, name, mapped = (
        address.run_id,
        address.step_key,
        address.output_name,
        address.mapping_key,
    )
    for other in _respelled(step):
        yield OpAddress(run, other, name, mapped)
    for other in _respelled(name):
        yield OpAddress(run, step, other, mapped)
    yield OpAddress(run, step.replace("[", "--").replace("]", ""), name, mapped)
    parts = [run, step, name] if mapped is None else [run, step, name, mapped]
    for folder in ([], [".runs"], ["storage"]):
        yield AssetAddress.of([*folder, *parts])
        yield AssetAddress.of([*folder, *parts[:-1]], parts[-1])
    yield OpAddress(run, step, name, "" if mapped is None else None)
    if mapped is not None:
        for other in _respelled(mapped):
            yield OpAddress(run, step, name, other)
        yield OpAddress(run, step, f"{name}/{mapped}")


def extensions() -> SearchStrategy[str]:
    """Extensions that a format may have."""
    return st.one_of(
        st.sampled_from(["parquet", "json", "txt", "bin", "x", "tar.gz", "data", "data.x"]),
        st.from_regex(r"[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,4})?", fullmatch=True),
    )


def json_values() -> SearchStrategy[Any]:
    """Plain values that JSON holds exactly; no NaN, which equals nothing."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(st.characters()),
        hostile_text(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(hostile_text(), inner, max_size=4)
        ),
        max_leaves=12,
    )


#: Text that looks like something else, and what text is quoted for.
_LOOKALIKES = st.sampled_from(
    ["001", "1.0", "-0", "true", "nan", "null", "NA", "", "2024-01-01", "12:00:00", "\r\n", '",']
)

_COLUMN_TYPES: tuple[tuple[pa.DataType, SearchStrategy[Any]], ...] = (
    (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | _LOOKALIKES),
    (pa.binary(), st.binary(max_size=8)),
    (pa.timestamp("us", tz="UTC"), st.integers(-(2**50), 2**50)),
    (pa.date32(), st.integers(-10_000, 50_000)),
    (pa.list_(pa.int64()), st.lists(st.integers(-5, 5), max_size=3)),
    (pa.struct([pa.field("s", pa.string())]), st.fixed_dictionaries({"s": st.just("v")})),
    (pa.null(), st.none()),
)


@st.composite
def arrow_tables(draw: st.DrawFn, *, max_rows: int = 6) -> pa.Table:
    """Small tables over the common types, nulls included; also without rows."""
    rows = draw(st.integers(0, max_rows))
    columns = draw(st.lists(st.sampled_from(_COLUMN_TYPES), min_size=1, max_size=4))
    names = draw(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6),
            min_size=len(columns),
            max_size=len(columns),
            unique=True,
        )
    )
    arrays = [
        pa.array(
            draw(st.lists(st.none() | values, min_size=rows, max_size=rows)),
            type=data_type,
            from_pandas=False,
        )
        for data_type, values in columns
    ]
    return pa.table(arrays, names=names)


def _fixed(kind: pa.DataType, low: int, high: int) -> tuple[pa.DataType, SearchStrategy[Any]]:
    return kind, st.integers(low, high)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_UNITS: tuple[Any, ...] = ("s", "ms", "us", "ns")
_DECIMALS = st.decimals(-999, 999, places=2)

#: Types that hold no others, with values that they hold exactly.
_LEAVES: tuple[tuple[pa.DataType, SearchStrategy[Any]], ...] = (
    *_COLUMN_TYPES[:10],
    *(_fixed(kind, 0, 100) for kind in (pa.int16(), pa.int32(), pa.uint8(), pa.uint16())),
    _fixed(pa.uint64(), 0, 2**64 - 1),
    (pa.large_string(), _TEXT),
    (pa.large_binary(), st.binary(max_size=8)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    *(_fixed(pa.timestamp(unit), -(2**40), 2**40) for unit in _UNITS),
    *(_fixed(pa.timestamp(unit, "Europe/Berlin"), -(2**40), 2**40) for unit in _UNITS),
    *(_fixed(pa.duration(unit), -(2**40), 2**40) for unit in _UNITS),
    _fixed(pa.time32("s"), 0, 86_399),
    _fixed(pa.time32("ms"), 0, 86_399_999),
    _fixed(pa.time64("us"), 0, 86_399_999_999),
    _fixed(pa.time64("ns"), 0, 86_399_999_999_999),
    (pa.date64(), st.integers(-10_000, 50_000).map(lambda days: days * 86_400_000)),
    (pa.decimal128(5, 2), _DECIMALS),
    (pa.decimal128(38, 10), _DECIMALS),
    (pa.decimal256(60, 2), _DECIMALS),
    (pa.null(), st.none()),
)


def _nested(
    inner: SearchStrategy[tuple[pa.DataType, SearchStrategy[Any]]],
) -> SearchStrategy[tuple[pa.DataType, SearchStrategy[Any]]]:
    def lists(pair: Any) -> Any:
        kind, values = pair
        return st.sampled_from(
            [
                (pa.list_(kind), st.lists(st.none() | values, max_size=3)),
                (pa.large_list(kind), st.lists(st.none() | values, max_size=3)),
                (pa.list_(kind, 2), st.lists(st.none() | values, min_size=2, max_size=2)),
                (
                    pa.struct([pa.field("a", kind), pa.field("b.c", pa.int8())]),
                    st.fixed_dictionaries({"a": st.none() | values, "b.c": st.just(1)}),
                ),
                (
                    pa.map_(pa.string(), kind),
                    st.lists(st.tuples(_TEXT, st.none() | values), max_size=3),
                ),
            ]
        )

    return inner.flatmap(lists)


@st.composite
def any_arrow_tables(draw: st.DrawFn) -> pa.Table:
    """Tables over every type that Parquet can hold: nested, dictionaries, in several chunks."""
    kinds = st.recursive(st.sampled_from(_LEAVES), _nested, max_leaves=3)
    rows = draw(st.integers(0, 5))
    count = draw(st.integers(1, 4))
    names = draw(st.lists(_TEXT, min_size=count, max_size=count, unique=True))
    columns = []
    for name in names:
        kind, values = draw(kinds)
        if draw(st.integers(0, 3)) == 0 and not pa.types.is_nested(kind) and kind != pa.null():
            columns.append(_coded(draw, name, kind, values, rows))
            continue
        given = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns.append((pa.field(name, kind), pa.array(given, kind, from_pandas=False)))
    table = pa.table([array for _, array in columns], schema=pa.schema([f for f, _ in columns]))
    cut = draw(st.integers(0, rows))
    return pa.concat_tables([table.slice(0, cut), table.slice(cut)]) if cut else table


def _coded(draw: Any, name: str, kind: Any, values: Any, rows: int) -> tuple[Any, Any]:
    """A dictionary with values that no row has, in any order."""
    listed = pa.array(draw(st.lists(values, min_size=1, max_size=4)), kind).unique()
    index = draw(st.sampled_from([pa.int8(), pa.int32(), pa.uint16()]))
    places = st.none() | st.integers(0, len(listed) - 1)
    indices = pa.array(draw(st.lists(places, min_size=rows, max_size=rows)), index)
    array = pa.DictionaryArray.from_arrays(indices, listed, ordered=draw(st.booleans()))
    return pa.field(name, array.type), array
