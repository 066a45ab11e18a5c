from __future__ import annotations

import gc
import io
import pickle
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import AssetAddress, HiveLayout, ValueStore
from dagster_buckets.errors import (
    DecodeError,
    IntegrityError,
    ObjectNotFoundError,
    PartitionError,
    StoreUnavailableError,
    UnsupportedTypeError,
)
from dagster_buckets.formats import SupportsLazy, datasets, object_files, object_schemas, readahead
from dagster_buckets.formats.arrow_ipc import ArrowIPCFormat
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.json import JSONFormat
from dagster_buckets.formats.lazy import empty_scan, is_lazy_type, scan_objects
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.formats.ranged_files import RangedFile
from dagster_buckets.objects import Body, Payload
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.base import ObjectStore
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.testing.scans import rows_of, scan_classes
from dagster_buckets_local import LocalStore

from tests.lazy_store import ReadingStore

FORMATS: dict[str, Any] = {"parquet": ParquetFormat(), "arrow": ArrowIPCFormat()}
CLASSES = scan_classes()
OURS = [ds.Dataset, pl.LazyFrame]
#: What an engine makes of an error in our code, with its text; Polars only in its version 1.
WRAPPED = (duckdb.Error, pl.exceptions.ComputeError)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store() -> ReadingStore:
    return ReadingStore()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of over 1,000 bytes are large, and no footer is small."""
    monkeypatch.setattr(object_files, "WHOLE_SIZE", 1000)
    monkeypatch.setattr(object_schemas, "_FOOTER", 100)


def put(store: ObjectStore, kind: str, values: Sequence[Any]) -> list[ObjectRef]:
    bodies = [FORMATS[kind].encode(value) for value in values]
    return [ObjectRef(store.put(f"{i:03}", body), store) for i, body in enumerate(bodies)]


def scan(
    store: ObjectStore,
    kind: str,
    cls: type,
    values: Sequence[Any],
    columns: Sequence[Mapping[str, str]] | None = None,
) -> Any:
    return FORMATS[kind].scan(put(store, kind, values), cls, columns)


def days(count: int) -> tuple[list[pa.Table], list[dict[str, str]]]:
    tables = [pa.table({"n": [i, i]}) for i in range(count)]
    return tables, [{"day": f"{i:03}"} for i in range(count)]


# -- which classes --------------------------------------------------------------------------------


def test_all_three_are_there() -> None:
    assert [cls.__name__ for cls in CLASSES] == ["Dataset", "LazyFrame", "DuckDBPyRelation"]


@pytest.mark.parametrize(
    "cls", [*CLASSES, ds.FileSystemDataset, type(duckdb.sql("SELECT 1"))], ids=qualified
)
def test_lazy_types(cls: type) -> None:
    assert is_lazy_type(cls)
    assert all(chosen.can_scan(cls) for chosen in FORMATS.values())


@pytest.mark.parametrize(
    "module", ["duckdb.duckdb", "_duckdb", "_duckdb._duckdb", "duckdb._relation"]
)
def test_relations_of_all_versions_of_duckdb(module: str) -> None:
    assert is_lazy_type(type("DuckDBPyRelation", (), {"__module__": module}))


@pytest.mark.parametrize("cls", [pl.DataFrame, pa.Table, pa.RecordBatchReader, dict, object, int])
def test_other_types(cls: type) -> None:
    assert not is_lazy_type(cls)
    store = ReadingStore()
    with pytest.raises(UnsupportedTypeError) as caught:
        scan_objects("parquet", put(store, "parquet", [pa.table({"n": [1]})]), cls)
    assert caught.value.hint
    assert store.gets == []


def test_the_power() -> None:
    assert all(isinstance(chosen, SupportsLazy) for chosen in FORMATS.values())
    assert not isinstance(JSONFormat(), SupportsLazy)


def test_a_dataset_is_one_of_files(store: ReadingStore, kind: str) -> None:
    dataset = scan(store, kind, ds.FileSystemDataset, [pa.table({"n": [1]})])
    assert isinstance(dataset, ds.FileSystemDataset)
    assert dataset.files == [store.uri("000")]


# -- schemas --------------------------------------------------------------------------------------

DRIFT = [
    pa.table({"n": pa.array([1], pa.int32()), "s": ["a"], "t": pa.array([1], pa.timestamp("us"))}),
    pa.table({"n": pa.array([2], pa.int64()), "t": pa.array([1], pa.timestamp("ns"))}),
    pa.table({"s": pa.array(["c"], pa.large_string()), "n": [0.5], "later": [[True]]}),
    pa.table({"n": pa.nulls(1), "c": pa.array(["x"]).dictionary_encode()}),
    pa.table(
        {"c": pa.array(["y"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))}
    ),
]


@pytest.mark.parametrize("cls", OURS)
def test_a_scan_gives_what_concat_gives(store: ReadingStore, kind: str, cls: type) -> None:
    refs = put(store, kind, DRIFT)
    joined = FORMATS[kind].concat([FORMATS[kind].part(ref.get()) for ref in refs], pa.Table)
    found = FORMATS[kind].scan(refs, cls)
    if cls is pl.LazyFrame:
        expected = pl.DataFrame(joined)
        assert found.collect_schema() == expected.schema
        assert found.collect().equals(expected)
    else:
        assert found.schema.equals(joined.schema)
        assert found.to_table().to_pydict() == joined.to_pydict()


def test_a_relation_gives_them_too(store: ReadingStore, kind: str) -> None:
    relation = scan(store, kind, duckdb.DuckDBPyRelation, DRIFT)
    assert relation.project("n, s, later, c").fetchall() == [
        (1.0, "a", None, None),
        (2.0, None, None, None),
        (0.5, "c", [True], None),
        (None, None, None, "x"),
        (None, None, None, "y"),
    ]


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_filters_on_a_promoted_column(store: ReadingStore, kind: str, cls: type) -> None:
    found = scan(store, kind, cls, DRIFT)
    if cls is ds.Dataset:
        assert found.to_table(filter=ds.field("n") >= 1)["n"].to_pylist() == [1.0, 2.0]
    elif cls is pl.LazyFrame:
        assert found.filter(pl.col("n") >= 1).collect()["n"].to_list() == [1.0, 2.0]
    else:
        assert found.filter("n >= 1").project("n").fetchall() == [(1.0,), (2.0,)]


def test_a_type_that_arrow_joins_but_cannot_cast(
    store: ReadingStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = pa.schema([("odd one", pa.list_(pa.int8()))])
    monkeypatch.setattr(datasets, "unified", lambda *_: wanted)
    with pytest.raises(DecodeError, match="'odd one'") as caught:
        scan(store, kind, ds.Dataset, [pa.table({"odd one": [1]})])
    assert caught.value.uri == store.uri("000")


@pytest.mark.parametrize("values", [["a", "b"], ["c", "a"]])
def test_enums(store: ReadingStore, kind: str, values: list[str]) -> None:
    frames = [
        pl.DataFrame({"e": pl.Series(v, dtype=pl.Enum(v)), "l": pl.Series([[x] for x in v])})
        for v in (["a", "b"], values)
    ]
    found = scan(store, kind, pl.LazyFrame, frames)
    assert found.collect()["e"].to_list() == ["a", "b", *values]
    assert isinstance(found.collect_schema()["e"], pl.Enum) is (values == ["a", "b"])
    assert found.collect().schema == found.collect_schema()


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_ordered_categories_keep_their_values(store: ReadingStore, kind: str, cls: type) -> None:
    frames = [
        pd.DataFrame({"c": pd.Categorical(c, c, ordered=True)}) for c in (["a", "b"], ["c", "a"])
    ]
    rows = rows_of(scan(store, kind, cls, frames))
    assert [row["c"] for row in rows] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_ordered_dictionaries_of_arrow_keep_their_values(
    store: ReadingStore, kind: str, cls: type
) -> None:
    ordered = pa.dictionary(pa.uint8(), pa.string(), ordered=True)
    arrays = [pa.array(c).dictionary_encode().cast(ordered) for c in (["a", "b"], ["c", "a"])]
    found = scan(store, kind, cls, [pa.table({"c": array}) for array in arrays])
    assert [row["c"] for row in rows_of(found)] == ["a", "b", "c", "a"]


def test_notes_of_one_object_are_not_those_of_all(store: ReadingStore, kind: str) -> None:
    frames = [pd.DataFrame({"n": [n]}, index=pd.RangeIndex(5, 6)) for n in (1, 2)]
    dataset = scan(store, kind, ds.Dataset, frames)
    assert not dataset.schema.metadata
    pd.testing.assert_frame_equal(dataset.to_table().to_pandas(), pd.DataFrame({"n": [1, 2]}))
    named = [pd.DataFrame({"n": [n]}, index=pd.Index([n], name="k")) for n in (1, 2)]
    dataset = scan(store, kind, ds.Dataset, named)
    pd.testing.assert_frame_equal(dataset.to_table().to_pandas(), pd.concat(named))


# -- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_small_objects_cost_one_request_each(store: ReadingStore, kind: str, cls: type) -> None:
    tables, columns = days(60)
    found = scan(store, kind, cls, tables, columns)
    assert sorted(store.gets) == sorted(f"{i:03}" for i in range(60))
    assert store.opens == []
    for _ in range(2):
        store.gets.clear()
        assert [row["n"] for row in rows_of(found)] == [n for i in range(60) for n in (i, i)]
        assert sorted(store.gets) == sorted(f"{i:03}" for i in range(60))


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_many_are_read_at_once_but_not_all(kind: str, cls: type) -> None:
    store = ReadingStore(delay=0.01)
    tables, columns = days(200)
    found = scan(store, kind, cls, tables, columns)
    assert 8 < store.peak <= 32
    store.peak = 0
    started = time.monotonic()
    assert len(rows_of(found)) == 400
    # One after another takes two seconds.
    assert time.monotonic() - started < 1.5
    assert 8 < store.peak <= 32


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (ds.field("day") == "007", [7]),
        (ds.field("day").isin(["003", "031"]), [3, 31]),
        ((ds.field("day") >= "010") & (ds.field("day") < "020"), range(10, 20)),
        ((ds.field("day") == "007") & (ds.field("n") > 3), [7]),
        (ds.field("day") == "none", []),
    ],
)
def test_a_dataset_reads_what_its_filter_leaves(
    store: ReadingStore, kind: str, expression: Any, wanted: Sequence[int]
) -> None:
    dataset = scan(store, kind, ds.Dataset, *days(40))
    reads: list[Callable[[], int]] = [
        lambda: dataset.to_table(filter=expression).num_rows,
        lambda: dataset.count_rows(filter=expression),
        lambda: sum(b.num_rows for b in dataset.to_batches(filter=expression)),
        lambda: dataset.scanner(filter=expression).to_reader().read_all().num_rows,
        lambda: dataset.head(1000, filter=expression).num_rows,
    ]
    for read in reads:
        store.gets.clear()
        assert read() == 2 * len(wanted)
        assert set(store.gets) <= {f"{i:03}" for i in wanted}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("day = '007'", [7]),
        ("day >= '010' AND day < '020'", range(10, 20)),
        ("day = '007' AND n > 3", [7]),
    ],
)
def test_a_relation_reads_what_its_filter_leaves(
    store: ReadingStore, kind: str, condition: str, wanted: Sequence[int]
) -> None:
    relation = scan(store, kind, duckdb.DuckDBPyRelation, *days(40))
    store.gets.clear()
    assert len(relation.filter(condition).fetchall()) == 2 * len(wanted)
    assert sorted(store.gets) == [f"{i:03}" for i in wanted]


def test_scanners_that_arrow_makes_itself_read_little_more(store: ReadingStore, kind: str) -> None:
    dataset = scan(store, kind, ds.Dataset, *days(100))
    store.gets.clear()
    expression = (ds.field("day") >= "010") & (ds.field("day") < "020")
    reader = ds.Scanner.from_dataset(dataset, filter=expression).to_reader()
    assert reader.read_all().num_rows == 20
    time.sleep(0.05)
    assert set(store.gets) >= {f"{i:03}" for i in range(10, 20)}
    assert len(store.gets) <= 15


def test_a_scan_knows_what_it_reads(
    store: ReadingStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = []

    class Noted(readahead.Readahead[Any]):
        def __init__(self, fetch: Any, sizes: Any, *, complete: bool) -> None:
            known.append((len(sizes), complete))
            super().__init__(fetch, sizes, complete=complete)

    monkeypatch.setattr(object_files, "Readahead", Noted)
    dataset = scan(store, kind, ds.Dataset, *days(10))
    dataset.to_table(filter=ds.field("day") < "004")
    assert known == [(10, False), (4, True)]


def test_a_head_does_not_read_all(store: ReadingStore, kind: str) -> None:
    tables, columns = days(200)
    dataset = scan(store, kind, ds.Dataset, tables, columns)
    frame = FORMATS[kind].scan(
        [ObjectRef(store.head(f"{i:03}"), store) for i in range(200)], pl.LazyFrame, columns
    )
    reads: list[Callable[[], int]] = [
        lambda: dataset.head(2).num_rows,
        lambda: frame.head(2).collect().height,
    ]
    for read in reads:
        store.gets.clear()
        assert read() == 2
        time.sleep(0.1)
        assert len(store.gets) < 120


def test_local_files(kind: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for cls in CLASSES:
        rows = rows_of(scan(store, kind, cls, *days(20)))
        assert rows == [{"n": i, "day": f"{i:03}"} for i in range(20) for _ in range(2)]


# -- large objects --------------------------------------------------------------------------------

NOISE: dict[str, Any] = {f"c{i}": np.random.default_rng(i).random(300_000) for i in range(8)}
WIDE = pa.table(NOISE | {"n": range(300_000)})


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_large_objects_come_whole(store: ReadingStore, kind: str, cls: type) -> None:
    rows = rows_of(scan(store, kind, cls, *days(12)))
    assert rows == [{"n": i, "day": f"{i:03}"} for i in range(12) for _ in range(2)]
    found = scan(store, kind, cls, [WIDE.slice(0, 1000), WIDE.slice(1000, 500)])
    assert [row["n"] for row in rows_of(found)] == list(range(1500))
    assert store.opens


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_only_the_columns_of_a_query_are_read(store: ReadingStore, kind: str, cls: type) -> None:
    found = scan(store, kind, cls, [WIDE])
    size = store.head("000").size
    assert size > object_files.WHOLE_SIZE
    assert store.ranged < 200_000
    store.ranged = 0
    if cls is ds.Dataset:
        assert found.to_table(columns=["n"]).num_rows == 300_000
    elif cls is pl.LazyFrame:
        assert found.select(pl.col("n").sum()).collect().item() == sum(range(300_000))
    else:
        assert found.sum("n").fetchall() == [(sum(range(300_000)),)]
    assert store.gets == []
    assert store.ranged < size / 4


@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_only_row_groups_that_can_match_are_read(store: ReadingStore, cls: type) -> None:
    found = scan(store, "parquet", cls, [WIDE])
    size = store.head("000").size
    store.ranged = 0
    if cls is ds.Dataset:
        assert found.to_table(filter=ds.field("n") == 7).num_rows == 1
    elif cls is pl.LazyFrame:
        assert found.filter(pl.col("n") == 7).collect().height == 1
    else:
        assert len(found.filter("n = 7").fetchall()) == 1
    assert store.ranged < size * 0.6


def test_a_damaged_page_of_a_large_object(store: ReadingStore) -> None:
    refs = put(store, "parquet", [WIDE])
    data = bytearray(store.get("000").data)
    data[len(data) // 2] ^= 1
    damaged = [ObjectRef(store.put("000", Body.of(bytes(data))), store)]
    assert refs[0].etag != damaged[0].etag
    dataset = FORMATS["parquet"].scan(damaged, ds.Dataset)
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        dataset.to_table()


# -- what can go wrong ----------------------------------------------------------------------------


def read_with(cls: type, found: Any) -> Any:
    return found.collect(engine="streaming") if cls is pl.LazyFrame else rows_of(found)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_an_object_that_is_gone_when_it_is_read(
    kind: str, cls: type, size: str, request: pytest.FixtureRequest
) -> None:
    if size == "large":
        request.getfixturevalue("large")
    store = ReadingStore()
    found = scan(store, kind, cls, [WIDE.slice(0, 200)] * 3)
    store.delete(["001"])
    with pytest.raises((ObjectNotFoundError, *WRAPPED)) as caught:
        rows_of(found)
    assert store.uri("001") in str(caught.value)
    if cls is ds.Dataset:
        assert isinstance(caught.value, ObjectNotFoundError)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("cls", CLASSES, ids=qualified)
def test_an_object_that_was_written_again(
    kind: str, cls: type, size: str, request: pytest.FixtureRequest
) -> None:
    if size == "large":
        request.getfixturevalue("large")
    store = ReadingStore()
    found = scan(store, kind, cls, [WIDE.slice(0, 200)] * 3)
    rows_of(found)
    store.put("001", FORMATS[kind].encode(pa.table({"other": [1]})))
    with pytest.raises((StoreUnavailableError, *WRAPPED), match="written again") as caught:
        rows_of(found)
    assert store.uri("001") in str(caught.value)


def test_an_object_that_was_written_again_before_its_schema_was_read(
    store: ReadingStore, kind: str
) -> None:
    refs = put(store, kind, [pa.table({"n": [1]})])
    put(store, kind, [pa.table({"n": [2]})])
    with pytest.raises(StoreUnavailableError, match="written again"):
        FORMATS[kind].scan(refs, ds.Dataset)


@pytest.mark.parametrize("cls", OURS)
def test_an_object_that_does_not_verify(
    store: ReadingStore, kind: str, cls: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scan(store, kind, cls, [pa.table({"n": [i]}) for i in range(3)])
    key = store.prefix + "001"
    data, info = store._space.objects[key]
    monkeypatch.setitem(store._space.objects, key, (data[:-9] + b"x" + data[-8:], info))
    with pytest.raises((IntegrityError, *WRAPPED), match=store.uri("001")):
        rows_of(found)


def test_after_an_error_no_more_schemas_are_read(kind: str) -> None:
    store = ReadingStore(delay=0.01)
    refs = put(store, kind, [pa.table({"n": [i]}) for i in range(300)])
    store.delete(["003"])
    with pytest.raises(ObjectNotFoundError, match=store.uri("003")):
        FORMATS[kind].scan(refs, ds.Dataset)
    time.sleep(0.1)
    assert len(store.gets) < 150


# -- uses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", OURS)
def test_many_threads_at_once(store: ReadingStore, kind: str, cls: type) -> None:
    found = scan(store, kind, cls, *days(30))
    expected = rows_of(found)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows_of, [found] * 12)) == [expected] * 12


def test_two_datasets_can_be_joined_in_duckdb(kind: str) -> None:
    left_side = scan(ReadingStore(), kind, ds.Dataset, *days(20))
    right_side = scan(ReadingStore(), kind, ds.Dataset, *days(10))
    assert left_side is not right_side
    joined: Any = duckdb.sql("SELECT count(*) FROM left_side JOIN right_side USING (day)")
    assert joined.fetchall() == [(40,)]


def test_relations_are_made_and_used_on_many_threads_at_once(kind: str) -> None:
    def total(_: int) -> Any:
        relation = scan(ReadingStore(), kind, duckdb.DuckDBPyRelation, *days(10))
        return relation.sum("n").fetchall()

    busy: Any = duckdb.sql("SELECT sum(a.range + b.range) FROM range(3000) a, range(3000) b")
    with ThreadPoolExecutor(9) as pool:
        slow = pool.submit(busy.fetchall)
        assert list(pool.map(total, range(40))) == [[(90,)]] * 40
        assert len(slow.result()) == 1


def test_a_relation_is_read_again_each_time(store: ReadingStore, kind: str) -> None:
    relation = scan(store, kind, duckdb.DuckDBPyRelation, *days(10))
    for _ in range(3):
        assert relation.sum("n").fetchall() == [(90,)]


def test_a_dataset_can_be_pickled(kind: str, tmp_path: Path) -> None:
    dataset = scan(LocalStore(tmp_path), kind, ds.Dataset, *days(10))
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    expression = ds.field("day") > "005"
    assert type(again) is type(dataset)
    assert again.to_table(filter=expression).equals(dataset.to_table(filter=expression))
    derived = pickle.loads(pickle.dumps(list(dataset.get_fragments())[3]))  # noqa: S301
    assert derived.to_table(schema=dataset.schema).to_pydict() == {"n": [3, 3], "day": ["003"] * 2}


def test_what_else_datasets_do(store: ReadingStore, kind: str) -> None:
    dataset = scan(store, kind, ds.Dataset, *days(10))
    few = dataset.filter(ds.field("day") < "003")
    assert few.to_table()["n"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert few.count_rows(filter=ds.field("n") > 0) == 4
    assert dataset.take([3, 19])["n"].to_pylist() == [1, 9]
    assert dataset.sort_by([("n", "descending")]).to_table()["n"].to_pylist()[:3] == [9, 9, 8]
    joined = dataset.join(few, keys="day", join_type="inner", right_suffix="_r").to_table()
    assert joined.num_rows == 12
    assert dataset.scanner(columns=["n"]).projected_schema.names == ["n"]
    narrow = dataset.replace_schema(pa.schema([("n", pa.int64())]))
    assert narrow.to_table().column_names == ["n"]


def test_what_is_derived_of_a_filtered_dataset_is_filtered(store: ReadingStore, kind: str) -> None:
    tables, columns = days(5)
    refs = put(store, kind, tables)
    plain: Any = FORMATS[kind].scan(refs, ds.Dataset, columns)
    dataset = plain.having(rows=ds.field("n") > 2)
    assert dataset.filter(ds.field("day") < "004").to_table()["n"].to_pylist() == [3, 3]
    assert dataset.filter(ds.field("day") < "004").count_rows() == 2
    assert dataset.sort_by("n").to_table()["n"].to_pylist() == [3, 3, 4, 4]
    assert plain.join(dataset, "day", join_type="inner", right_suffix="_r").to_table().num_rows == 8
    narrow = dataset.replace_schema(pa.schema([("n", pa.int64())]))
    assert narrow.to_table()["n"].to_pylist() == [3, 3, 4, 4]
    assert narrow.filter(ds.field("n") > 3).count_rows() == 2
    with pytest.raises(ValueError, match="filtered"):
        dataset.get_fragments()
    hidden = plain.having(["day"], ds.field("n") > 2)
    assert hidden.filter(ds.field("n") > 3).to_table().to_pydict() == {"day": ["004"] * 2}


def test_a_filter_of_the_load_leaves_out_objects(store: ReadingStore, kind: str) -> None:
    tables, columns = days(5)
    refs = put(store, kind, tables)
    dataset: Any = (
        FORMATS[kind].scan(refs, ds.Dataset, columns).having(rows=ds.field("day") == "003")
    )
    before = len(store.gets)
    assert dataset.to_table()["n"].to_pylist() == [3, 3]
    assert len(store.gets) == before + 1


def test_one_object_twice(store: ReadingStore, kind: str) -> None:
    refs = put(store, kind, [pa.table({"n": [1]})])
    dataset = FORMATS[kind].scan(refs * 2, ds.Dataset, [{"d": "a"}, {"d": "b"}])
    assert dataset.to_table().to_pydict() == {"n": [1, 1], "d": ["a", "b"]}
    assert dataset.to_table(filter=ds.field("d") == "b").to_pydict() == {"n": [1], "d": ["b"]}


def test_nothing_can_be_written_through_it(store: ReadingStore, kind: str) -> None:
    dataset = scan(store, kind, ds.Dataset, [pa.table({"n": [1]})])
    files = dataset.filesystem
    changes: list[Callable[[], Any]] = [
        lambda: files.delete_file(store.uri("000")),
        lambda: files.open_output_stream(store.uri("000")),
        lambda: files.move(store.uri("000"), "other"),
        lambda: files.create_dir("x"),
    ]
    for change in changes:
        with pytest.raises(OSError, match="cannot be changed"):
            change()
    assert files.get_file_info(store.uri("000")).size == store.head("000").size
    assert files.get_file_info("other").type == pa.fs.FileType.NotFound


def test_memory_is_that_of_arrow(store: ReadingStore, kind: str) -> None:
    # Much of it: others may still let go of some.
    noise = np.random.default_rng(1).integers(0, 2**60, 300_000)
    found = scan(store, kind, ds.Dataset, [pa.table({"n": pa.array(noise)})])
    size = store.head("000").size
    gc.collect()
    before = pa.total_allocated_bytes()
    file = found.filesystem.open_input_file(store.uri("000"))
    after = pa.total_allocated_bytes()
    assert after - before > 0.9 * size
    again = found.filesystem.open_input_file(store.uri("000"))
    assert pa.total_allocated_bytes() - after < 0.1 * size
    del file, again
    before = pa.total_allocated_bytes()
    large = RangedFile(ObjectRef(store.head("000"), store))
    buffer = large.read_buffer(size - 100)
    assert pa.total_allocated_bytes() - before > 0.9 * size
    assert buffer.size == size - 100
    assert large.read(0) == b""
    assert large.read(-1) == bytes(store.get("000").data)[-100:]
    assert large.read(5) == b""


class _Short(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7))


def test_short_reads_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore("short")
    info = store.put("x", Body.of(bytes(range(100))))
    monkeypatch.setattr(store, "open", lambda *_: _Short(bytes(range(100))))
    file = RangedFile(ObjectRef(info, store))
    assert file.read(50) == bytes(range(50))
    assert file.read_buffer(80).to_pybytes() == bytes(range(50, 100))


def test_a_long_scan_holds_few_objects(kind: str) -> None:
    size = 1_000_000
    part = pa.table({"n": pa.array(np.random.default_rng(1).integers(0, 2**60, size // 8))})
    store = ReadingStore()
    dataset = scan(store, kind, ds.Dataset, [part] * 100)
    base, most = pa.total_allocated_bytes(), 0
    for batch in dataset.to_batches():
        del batch
        most = max(most, pa.total_allocated_bytes() - base)
    # 32 fetched ahead, and what Arrow decodes.
    assert most < 80 * size


def test_threads_of_schemas_end(store: ReadingStore, kind: str) -> None:
    scan(store, kind, ds.Dataset, *days(40))
    deadline = time.monotonic() + 5
    while any(t.name.startswith("buckets-schema") for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_payloads_are_those_of_the_store(store: ReadingStore) -> None:
    (ref,) = put(store, "parquet", [pa.table({"n": [1]})])
    assert isinstance(ref.get(), Payload)


def test_scans_of_nothing() -> None:
    assert empty_scan(pl.LazyFrame).collect().shape == (0, 0)
    assert empty_scan(ds.Dataset).count_rows() == 0
    with pytest.raises(PartitionError, match="no columns") as caught:
        empty_scan(duckdb.DuckDBPyRelation)
    assert "Optional[DuckDBPyRelation]" in str(caught.value)


def test_two_plans_of_dask_for_one_object_are_two() -> None:
    """Dask gives one that it has for another that it takes for the same."""
    values = ValueStore(ReadingStore(), HiveLayout())
    address = AssetAddress.of(["n"])

    def loaded(**options: Any) -> dd.DataFrame:
        return values.having(options).read(address, dd.DataFrame, format_name="parquet")

    values.write(address, pa.table({"n": range(10)}), format_name="parquet")
    frames = [loaded(filters=[("n", "<", 3)]), loaded(filters=[("n", ">", 5)])]
    assert [len(frame.compute(scheduler="synchronous")) for frame in frames] == [3, 4]
    frames.append(loaded())
    values.write(address, pa.table({"n": range(20)}), format_name="parquet")
    assert len(loaded().compute(scheduler="synchronous")) == 20
