"""Every annotation over none, one and many partitions, in real runs with Dagster's type checks."""

from collections.abc import Callable, Mapping
from typing import Any, Optional

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketIOManager,
    MemoryIOManager,
    ObjectRef,
    PartitionError,
    PartitionStream,
)
from dagster_buckets.transfer import Progress

from tests.integration.support import logged, run

CITIES = ["oslo", "lima", "kyoto"]
FRAMES = dg.AssetSpec("frames", partitions_def=dg.DynamicPartitionsDefinition(name="cities"))
NUMBERS = dg.AssetSpec("numbers", partitions_def=dg.DynamicPartitionsDefinition(name="cities"))


@pytest.fixture
def stored(manager: BucketIOManager) -> BucketIOManager:
    for number, city in enumerate(CITIES):
        table = pa.table({"n": [number, number + 10]})
        manager.values.write(AssetAddress.of(["frames"], city), table)
        manager.values.write(AssetAddress.of(["numbers"], city), number)
    return manager


def load(
    manager: BucketIOManager,
    source: dg.AssetSpec,
    annotation: Any,
    cities: list[str],
    *,
    look: Callable[[Any], Any] = lambda value: value,
    **metadata: Any,
) -> Any:
    """What a consumer with this annotation sees of these partitions."""
    seen: list[Any] = []
    into = {"value": dg.AssetIn(source.key, metadata=metadata)}

    def consumer(value: Any) -> None:
        seen.append(look(value))

    if annotation is not None:
        consumer.__annotations__["value"] = annotation
    asset = dg.asset(ins=into)(consumer)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cities", cities)
        result = run([source, asset], manager, selection=[asset], instance=instance)
        (check,) = [
            event.step_input_data.type_check_data
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.STEP_INPUT
        ]
        assert check
        assert check.success
    return seen[0]


@pytest.mark.parametrize(
    ("annotation", "none", "one", "many"),
    [
        (None, None, 0, {"oslo": 0, "lima": 1, "kyoto": 2}),
        (Any, None, 0, {"oslo": 0, "lima": 1, "kyoto": 2}),
        (dict[str, int], {}, {"oslo": 0}, {"oslo": 0, "lima": 1, "kyoto": 2}),
        (Mapping[str, int], {}, {"oslo": 0}, {"oslo": 0, "lima": 1, "kyoto": 2}),
        (list[int], [], [0], [0, 1, 2]),
        (Optional[int], None, 0, PartitionError),  # noqa: UP045
        (int | None, None, 0, PartitionError),
        (PartitionStream[int], [], [("oslo", 0)], [("oslo", 0), ("lima", 1), ("kyoto", 2)]),
        (PartitionStream, [], [("oslo", 0)], [("oslo", 0), ("lima", 1), ("kyoto", 2)]),
    ],
    ids=str,
)
def test_values(stored: BucketIOManager, annotation: Any, none: Any, one: Any, many: Any) -> None:
    def look(value: Any) -> Any:
        return list(value) if isinstance(value, PartitionStream) else value

    assert load(stored, NUMBERS, annotation, [], look=look) == none
    assert load(stored, NUMBERS, annotation, CITIES[:1], look=look) == one
    if many is PartitionError:
        with pytest.raises(PartitionError, match=r"cannot be one int"):
            load(stored, NUMBERS, annotation, CITIES)
    else:
        found = load(stored, NUMBERS, annotation, CITIES, look=look)
        assert found == many
        assert list(found) == list(many)


def numbers_of(frame: Any) -> list[int]:
    """The column ``n`` of any frame or scan."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pads.Dataset):
        frame = frame.to_table()
    if isinstance(frame, duckdb.DuckDBPyRelation):
        return [row[0] for row in frame.order("n % 10, n").fetchall()]
    if isinstance(frame, pa.RecordBatchReader):
        frame = frame.read_all()
    return list(frame["n"].to_pylist() if isinstance(frame, pa.Table) else frame["n"])


FRAME_TYPES = [
    pd.DataFrame, pl.DataFrame, pa.Table, pl.LazyFrame, pads.Dataset, duckdb.DuckDBPyRelation,
    pa.RecordBatchReader,
]  # fmt: skip


@pytest.mark.parametrize("cls", FRAME_TYPES, ids=lambda cls: cls.__name__)
def test_frames_and_scans(stored: BucketIOManager, cls: Any) -> None:
    assert load(stored, FRAMES, cls, CITIES[1:2], look=numbers_of) == [1, 11]
    assert load(stored, FRAMES, cls, CITIES, look=numbers_of) == [0, 10, 1, 11, 2, 12]
    parts = load(
        stored,
        FRAMES,
        dict[str, cls],
        CITIES,
        look=lambda found: {key: numbers_of(part) for key, part in found.items()},
    )
    assert parts == {"oslo": [0, 10], "lima": [1, 11], "kyoto": [2, 12]}
    stream = load(
        stored,
        FRAMES,
        PartitionStream[cls],
        CITIES,
        look=lambda found: [(key, numbers_of(part)) for key, part in found],
    )
    assert stream == list(parts.items())


@pytest.mark.parametrize(
    "cls", [c for c in FRAME_TYPES if c is not duckdb.DuckDBPyRelation], ids=lambda c: c.__name__
)
def test_frames_of_no_partitions_are_empty(memory: MemoryIOManager, cls: Any) -> None:
    def rows(frame: Any) -> int:
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, pads.Dataset):
            return int(frame.count_rows())
        return len(frame.read_all() if isinstance(frame, pa.RecordBatchReader) else frame)

    assert load(memory, FRAMES, cls, [], look=rows) == 0
    assert load(memory, FRAMES, cls | None, []) is None


def test_a_relation_of_no_partitions_is_refused(memory: MemoryIOManager) -> None:
    with pytest.raises(PartitionError, match="no columns"):
        load(memory, FRAMES, duckdb.DuckDBPyRelation, [])
    assert load(memory, FRAMES, Optional[duckdb.DuckDBPyRelation], []) is None  # noqa: UP045


@pytest.mark.parametrize("cls", FRAME_TYPES, ids=lambda cls: cls.__name__)
def test_the_partition_as_a_column(stored: BucketIOManager, cls: Any) -> None:
    def cities(frame: Any) -> list[str]:
        if isinstance(frame, duckdb.DuckDBPyRelation):
            return [row[0] for row in frame.order("n % 10, n").project("partition").fetchall()]
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect()
        if isinstance(frame, pads.Dataset):
            frame = frame.to_table()
        if isinstance(frame, pa.RecordBatchReader):
            frame = frame.read_all()
        column = frame["partition"]
        return list(column.to_pylist() if isinstance(frame, pa.Table) else column)

    metadata = {"dagster_buckets/partition_columns": True}
    assert load(stored, FRAMES, cls, CITIES, look=cities, **metadata) == [
        "oslo", "oslo", "lima", "lima", "kyoto", "kyoto",
    ]  # fmt: skip
    assert load(stored, FRAMES, cls, CITIES[1:2], look=cities, **metadata) == ["lima", "lima"]


def test_references(stored: BucketIOManager) -> None:
    def bytes_of(ref: ObjectRef) -> bytes:
        with ref.open() as file:
            return file.read()

    def look(ref: ObjectRef) -> Any:
        return ref.uri, ref.size, bytes_of(ref)

    uri = stored.values.uri(AssetAddress.of(["numbers"], "oslo"), format_name="json")
    assert load(stored, NUMBERS, ObjectRef, CITIES[:1], look=look) == (uri, 1, b"0")
    found = load(
        stored,
        NUMBERS,
        dict[str, ObjectRef],
        CITIES,
        look=lambda refs: {key: bytes_of(ref) for key, ref in refs.items()},
    )
    assert found == {"oslo": b"0", "lima": b"1", "kyoto": b"2"}
    listed = load(
        stored, NUMBERS, list[ObjectRef], CITIES, look=lambda refs: [r.size for r in refs]
    )
    assert listed == [1, 1, 1]


@pytest.mark.parametrize("cls", [pa.Table, pl.LazyFrame], ids=lambda cls: cls.__name__)
def test_schemas_that_drift(stored: BucketIOManager, cls: Any) -> None:
    wider = pa.table({"n": pa.array([1.5]), "extra": ["x"]})
    stored.values.write(AssetAddress.of(["frames"], "lima"), wider)
    assert load(stored, FRAMES, cls, CITIES, look=numbers_of) == [0.0, 10.0, 1.5, 2.0, 12.0]
    stored.values.write(AssetAddress.of(["frames"], "lima"), pa.table({"n": ["text"]}))
    with pytest.raises(Exception, match=r"partition=lima/data\.parquet") as caught:
        load(stored, FRAMES, cls, CITIES)
    assert "'n'" in str(caught.value)


def test_long_loads_and_writes_say_how_far_they_are(
    memory: MemoryIOManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Progress.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "every", 0.0)
    letters = dg.StaticPartitionsDefinition(["a", "b", "c"])

    @dg.asset(partitions_def=letters, backfill_policy=dg.BackfillPolicy.single_run())
    def parts(context: dg.AssetExecutionContext) -> dict[str, bytes]:
        return dict.fromkeys(context.partition_keys, bytes(500_000))

    @dg.asset
    def whole(parts: dict[str, bytes]) -> int:
        return len(parts)

    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    written = run([parts], memory, tags=tags, instance=instance)
    read = run([parts, whole], memory, selection=[whole], instance=instance)
    assert "wrote 2 of 3 partitions, 1.0 MB" in logged(instance, written.run_id)
    assert "read 3 of 3 partitions, 1.5 MB" in logged(instance, read.run_id)
