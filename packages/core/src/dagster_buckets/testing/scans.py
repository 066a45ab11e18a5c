"""What a format that scans must do; part of :class:`~dagster_buckets.testing.FormatConformance`."""

# The fixture is called what it gives.
# ruff: noqa: A002
from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import pytest

from dagster_buckets.errors import DecodeError, ObjectNotFoundError
from dagster_buckets.formats.base import Format, SupportsLazy
from dagster_buckets.objects import Body, Buffer, ObjectInfo, Payload
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.memory import MemoryStore

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CountingStore", "ScanPromises", "rows_of", "scan_classes"]

_CLASSES = {
    "pyarrow": ("pyarrow.dataset", "Dataset"),
    "polars": ("polars", "LazyFrame"),
    "duckdb": ("duckdb", "DuckDBPyRelation"),
}


class CountingStore(MemoryStore):
    """A memory store that notes the key of every object that is read, and how much of it."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name or uuid.uuid4().hex)
        self.read: list[str] = []
        self.bytes = 0

    def get(self, key: str) -> Payload:
        """As of any store."""
        self.read.append(key)
        self.bytes += self.head(key).size
        return super().get(key)

    def peek(self, key: str, size: int) -> Payload:
        """As of any store."""
        self.read.append(key)
        self.bytes += min(size, self.head(key).size)
        return super().peek(key, size)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        """As of any store."""
        self.read.append(version.key)
        self.bytes += stop - start
        return super().read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None) -> Any:
        """As of any store."""
        self.read.append(key)
        return _CountedFile(self, super().open(key, version))


class _CountedFile:
    """A file of a store that notes what is read."""

    def __init__(self, store: CountingStore, file: BinaryIO) -> None:
        self._store = store
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        data = self._file.read(size)
        self._store.bytes += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def scan_classes() -> list[type]:
    """The classes that scans can have, as far as their libraries are installed."""
    found = [place for library, place in _CLASSES.items() if find_spec(library)]
    return [getattr(import_module(module), name) for module, name in found]


def rows_of(scan: Any) -> list[dict[str, Any]]:
    """All rows of a scan, whatever its class."""
    if hasattr(scan, "fetchall"):
        return [dict(zip(scan.columns, row, strict=True)) for row in scan.fetchall()]
    if hasattr(scan, "collect"):
        return list(scan.collect().to_dicts())
    return list(scan.to_table().to_pylist())


class ScanPromises:
    """The promises of :class:`~dagster_buckets.formats.base.SupportsLazy`, each a test."""

    def test_scan_gives_all_rows_in_order(self, format: Format) -> None:
        import pyarrow as pa

        parts = [
            pa.table({"k": ["b", "a"], "n": pa.array([1, 2], pa.int64())}),
            pa.table({"k": ["c"], "n": pa.array([0.5], pa.float64())}),
            pa.table({"n": pa.nulls(1), "k": ["d"]}),
            pa.table({"k": ["e"], "n": pa.array([3], pa.int8()), "more": [True]}),
        ]
        for cls in _classes_of(format):
            rows = rows_of(_scan(format, cls, parts))
            assert [row["k"] for row in rows] == ["b", "a", "c", "d", "e"]
            assert [row["n"] for row in rows] == [1.0, 2.0, 0.5, None, 3.0]
            assert [row["more"] for row in rows] == [None, None, None, None, True]

    def test_scan_gives_what_was_asked_for(self, format: Format) -> None:
        import pyarrow as pa

        if isinstance(format, SupportsLazy):
            assert not format.can_scan(int)
            assert not format.can_scan(pa.Table)
        for cls in _classes_of(format):
            assert isinstance(_scan(format, cls, [pa.table({"n": [1]})]), cls)

    def test_scan_can_be_used_again_from_any_thread(self, format: Format) -> None:
        import pyarrow as pa

        for cls in _classes_of(format):
            scan = _scan(format, cls, [pa.table({"n": [i]}) for i in range(20)])
            expected = rows_of(scan)
            assert expected == [{"n": i} for i in range(20)]
            for _ in range(3):
                with ThreadPoolExecutor(1) as pool:
                    assert pool.submit(rows_of, scan).result() == expected

    def test_scan_adds_constant_columns(self, format: Format) -> None:
        import pyarrow as pa

        parts = [pa.table({"n": [1, 2]}), pa.table({"n": [3]})]
        columns = [{"day": "001", "city": ""}, {"day": "2", "city": "é"}]
        for cls in _classes_of(format):
            assert rows_of(_scan(format, cls, parts, columns)) == [
                {"n": 1, "day": "001", "city": ""},
                {"n": 2, "day": "001", "city": ""},
                {"n": 3, "day": "2", "city": "é"},
            ]

    def test_scan_reads_no_values_before_it_is_used(self, format: Format) -> None:
        import pyarrow as pa

        store = CountingStore()
        noise = pa.table({"n": list(range(200_000))})
        for cls in _classes_of(format):
            scan = _scan(format, cls, [noise, noise], store=store)
            assert sorted(store.read) == ["0", "1"]
            assert 0 < store.bytes < store.head("0").size
            assert len(rows_of(scan)) == 400_000
            assert store.bytes > 2 * store.head("0").size
            store.read.clear()
            store.bytes = 0

    def test_scan_does_not_read_what_a_filter_on_constants_leaves_out(self, format: Format) -> None:
        import pyarrow as pa

        parts = [pa.table({"n": [i]}) for i in range(12)]
        columns = [{"day": f"{i:02}"} for i in range(12)]
        store = CountingStore()
        for cls in _classes_of(format):
            scan = _scan(format, cls, parts, columns, store=store)
            for wanted in (["07"], ["03", "04", "05", "06"]):
                store.read.clear()
                assert rows_of(_where(scan, wanted)) == [{"n": int(d), "day": d} for d in wanted]
                assert set(store.read) == {str(int(day)) for day in wanted}

    def test_scan_adds_no_column_twice(self, format: Format) -> None:
        import pyarrow as pa

        parts = [pa.table({"n": [1]}), pa.table({"n": [1], "odd one": ["x"]})]
        for cls in _classes_of(format):
            with pytest.raises(DecodeError) as caught:
                _scan(format, cls, parts, [{"odd one": "1"}, {"odd one": "2"}])
            assert "odd one" in str(caught.value)
            assert str(caught.value.uri).endswith("/1")
            assert "dagster_buckets/partition_name" in str(caught.value.hint)

    def test_scan_of_what_does_not_fit(self, format: Format) -> None:
        import pyarrow as pa

        parts = [pa.table({"n": [1], "odd one": [value]}) for value in (1, 2, [3])]
        for cls in _classes_of(format):
            with pytest.raises(DecodeError) as caught:
                _scan(format, cls, parts)
            assert "odd one" in str(caught.value)
            assert str(caught.value.uri).endswith("/2")
            assert caught.value.hint

    def test_scan_of_damaged_bytes(self, format: Format) -> None:
        import pyarrow as pa

        for cls in _classes_of(format):
            store = CountingStore()
            refs = _stored(format, [pa.table({"n": [1]})], store)
            refs.append(ObjectRef(store.put("damaged", Body.of(b"damaged")), store))
            with pytest.raises(DecodeError) as caught:
                format.scan(refs, cls)  # type: ignore[attr-defined]
            assert str(caught.value.uri).endswith("/damaged")
            assert caught.value.hint

    def test_scan_of_a_missing_object(self, format: Format) -> None:
        import pyarrow as pa

        for cls in _classes_of(format):
            store = CountingStore()
            refs = _stored(format, [pa.table({"n": [1]}), pa.table({"n": [2]})], store)
            store.delete(["1"])
            with pytest.raises(ObjectNotFoundError) as caught:
                format.scan(refs, cls)  # type: ignore[attr-defined]
            assert str(caught.value.uri).endswith("/1")


def _classes_of(format: Format) -> list[type]:
    # Formats without the power keep its promises.
    if not isinstance(format, SupportsLazy):
        return []
    return [cls for cls in scan_classes() if format.can_scan(cls)]


def _stored(format: Format, parts: Sequence[pa.Table], store: MemoryStore) -> list[ObjectRef]:
    bodies = [format.encode(part) for part in parts]
    return [ObjectRef(store.put(str(i), body), store) for i, body in enumerate(bodies)]


def _scan(
    format: Format,
    cls: type,
    parts: Sequence[pa.Table],
    columns: Sequence[Mapping[str, str]] | None = None,
    *,
    store: MemoryStore | None = None,
) -> Any:
    assert isinstance(format, SupportsLazy)
    return format.scan(_stored(format, parts, store or CountingStore()), cls, columns)


def _where(scan: Any, days: Sequence[str]) -> Any:
    """The scan of these days, in the words of its library; its result has rows, too."""
    if hasattr(scan, "fetchall"):
        return scan.filter(f"day BETWEEN '{days[0]}' AND '{days[-1]}'")
    if hasattr(scan, "collect"):
        import polars as pl

        return scan.filter(pl.col("day").is_in(list(days)))
    import pyarrow.dataset as ds

    return _Filtered(scan, ds.field("day").isin(list(days)))


class _Filtered:
    """A dataset with the filter of its next scan."""

    def __init__(self, dataset: Any, condition: Any) -> None:
        self.dataset = dataset
        self.condition = condition

    def to_table(self) -> pa.Table:
        """The rows that pass."""
        table: pa.Table = self.dataset.to_table(filter=self.condition)
        return table
