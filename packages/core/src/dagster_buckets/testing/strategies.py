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


_COLUMN_TYPES: tuple[tuple[pa.DataType, SearchStrategy[Any]], ...] = (
    (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
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
