"""What people see of values: previews, data versions, kinds, and what a load did."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import (
    BucketIOManager,
    ConfigurationError,
    MemoryIOManager,
    PartitionStream,
    bucket_options,
    with_kinds,
)
from dagster_buckets_local import LocalIOManager
from dagster_buckets_s3 import S3IOManager

from tests.integration.support import MakeManager, materialized, run, s3_backend

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
PREVIEW = "dagster_buckets/preview"


@dg.asset
def people() -> pd.DataFrame:
    numbers = range(1, 31)
    return pd.DataFrame({"id": numbers, "name": [f"n{n}" for n in numbers], "pay": 1.5})


def shown(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(record.data) for record in metadata[PREVIEW].records]


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [e for e in result.all_events if e.event_type_value == "LOADED_INPUT"]
    return {k: v.value for k, v in event.event_specific_data.metadata.items()}  # type: ignore[union-attr]


def test_a_materialization_shows_the_first_rows(manager: BucketIOManager) -> None:
    (event,) = materialized(run([people], manager))
    assert shown(event.metadata) == [{"id": n, "name": f"n{n}", "pay": 1.5} for n in range(1, 6)]
    columns = event.metadata[PREVIEW].schema.columns
    assert [column.name for column in columns] == ["id", "name", "pay"]


def test_previews_are_as_long_as_the_setting_or_the_asset_says() -> None:
    (event,) = materialized(run([people], MemoryIOManager(preview_rows=0)))
    assert PREVIEW not in event.metadata
    (event,) = materialized(run([people], MemoryIOManager(preview_rows=2)))
    assert len(shown(event.metadata)) == 2

    @dg.asset(metadata=bucket_options(preview_rows=20))
    def more() -> pd.DataFrame:
        return pd.DataFrame({"n": range(30)})

    (event,) = materialized(run([more], MemoryIOManager(preview_rows=0)))
    assert [row["n"] for row in shown(event.metadata)] == list(range(20))
    with pytest.raises(ConfigurationError, match="must be 0 to 20, not 21"):
        bucket_options(preview_rows=21)


def test_masked_columns_are_named_and_not_shown() -> None:
    @dg.asset(metadata=bucket_options(mask_columns=["pay"]))
    def masked() -> pd.DataFrame:
        return pd.DataFrame({"id": [1], "name": ["canary"], "pay": [123_456.5]})

    manager = MemoryIOManager(mask_columns=["name", "no-such-column"])
    result = run([masked], manager)
    (event,) = materialized(result)
    assert shown(event.metadata) == [{"id": 1, "name": "•••", "pay": "•••"}]
    assert "canary" not in str([e.event_specific_data for e in result.all_events])


def test_cells_are_what_every_browser_shows() -> None:
    @dg.asset
    def awkward() -> pa.Table:
        return pa.table(
            {
                "large": pa.array([2**60]),
                "nan": pa.array([float("nan")]),
                "bytes": pa.array([b"x" * 1000]),
                "long": pa.array(["é" * 10_000]),
                "list": pa.array([[1, 2]]),
                "long list": pa.array([list(range(100_000))]),
                "none": pa.array([None], pa.string()),
                "time": pa.array([1], pa.timestamp("ns")),
                "flag": pa.array([True]),
            }
        )

    (event,) = materialized(run([awkward], MemoryIOManager()))
    (row,) = shown(event.metadata)
    assert row["large"] == str(2**60)
    assert row["nan"] == "nan"
    assert row["bytes"] == "1,000 bytes"
    assert row["long"] == "é" * 100 + "…"
    assert row["list"] == "[1, 2]"
    assert row["long list"] == "(list<item: int64>)"
    assert row["none"] is None
    assert row["time"].startswith("1970-01-01")
    assert row["flag"] is True


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "ndjson"])
def test_streams_show_their_first_rows_and_count_all(name: str) -> None:
    @dg.asset(metadata=bucket_options(format=name))
    def stream() -> pa.RecordBatchReader:
        schema = pa.schema([("n", pa.int64())])

        def batches() -> Iterator[pa.RecordBatch]:
            for start in range(0, 100, 2):
                yield pa.record_batch([pa.array([start, start + 1])], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    (event,) = materialized(run([stream], MemoryIOManager(preview_rows=7)))
    assert event.metadata["dagster/row_count"] == 100
    assert [row["n"] for row in shown(event.metadata)] == list(range(7))


@pytest.mark.parametrize("how", ["dict", "stream"])
def test_each_partition_of_a_run_shows_its_own_rows(memory: MemoryIOManager, how: str) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def sales(context: dg.AssetExecutionContext) -> Any:
        pairs = [(key, pl.DataFrame({"day": [key]})) for key in context.partition_keys]
        return PartitionStream(iter(pairs)) if how == "stream" else dict(pairs)

    tags = {
        "dagster/asset_partition_range_start": "mon",
        "dagster/asset_partition_range_end": "wed",
    }
    events = materialized(run([sales], memory, tags=tags))
    assert {e.partition: shown(e.metadata) for e in events} == {
        day: [{"day": day}] for day in DAYS.get_partition_keys()
    }


def test_an_empty_table_shows_its_columns() -> None:
    @dg.asset
    def empty() -> pa.Table:
        return pa.table({"n": pa.array([], pa.int64())})

    (event,) = materialized(run([empty], MemoryIOManager()))
    assert event.metadata[PREVIEW].records == []
    assert [column.name for column in event.metadata[PREVIEW].schema.columns] == ["n"]


def test_a_load_tells_what_it_moved(manager: BucketIOManager) -> None:
    @dg.asset
    def seen(people: pd.DataFrame) -> int:
        return len(people)

    result = run([people, seen], manager)
    size = materialized(result)[0].metadata["dagster_buckets/size_bytes"]
    found = told(result)
    assert found["dagster_buckets/objects"] == 1
    assert found["dagster_buckets/size_bytes"] == size
    assert found["dagster_buckets/read_seconds"] >= 0
    assert "dagster_buckets/cache_hits" not in found
    (observation,) = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    assert observation.asset_key == people.key


def test_a_load_of_several_partitions_tells_of_all(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=DAYS)
    def parts(context: dg.AssetExecutionContext) -> pl.DataFrame:
        return pl.DataFrame({"day": [context.partition_key]})

    @dg.asset
    def whole(parts: pl.DataFrame) -> int:
        return parts.height

    sizes = []
    for day in ("mon", "wed"):
        (event,) = materialized(run([parts], memory, partition_key=day))
        sizes.append(event.metadata["dagster_buckets/size_bytes"])
    with dg.DagsterInstance.ephemeral() as instance:
        manager = MemoryIOManager(name=memory.name, on_missing="skip")
        found = told(run([parts, whole], manager, selection=[whole], instance=instance))
    assert found["dagster_buckets/objects"] == 2
    assert found["dagster_buckets/size_bytes"] == sum(sizes)
    assert found["dagster_buckets/missing_partitions"] == ["tue"]


def test_a_load_tells_of_its_cache(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    make: MakeManager = s3_backend(request)
    manager = make(cache=str(tmp_path / "cache"))

    @dg.asset
    def seen(people: pd.DataFrame) -> int:
        return len(people)

    assert "dagster_buckets/cache_hits" not in told(run([people, seen], manager))
    again = told(run([people, seen], manager, selection=[seen]))
    assert again["dagster_buckets/cache_hits"] == 1


class Counter:
    """An asset whose value changes when the test says so."""

    value = 1


def _version(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_asset_materialization_events()
    return str((event.materialization.tags or {})["dagster/data_version"])


def test_the_digest_is_the_data_version_if_it_is_asked_for() -> None:
    @dg.asset
    def counted() -> pd.DataFrame:
        return pd.DataFrame({"n": [Counter.value]})

    manager = MemoryIOManager(data_version=True)
    Counter.value = 1
    first, second = _version(run([counted], manager)), _version(run([counted], manager))
    (event,) = materialized(run([counted], manager))
    assert first == second == event.metadata["dagster_buckets/digest"]
    Counter.value = 2
    assert _version(run([counted], manager)) != first
    plain = MemoryIOManager()
    assert _version(run([counted], plain)) != _version(run([counted], plain))


def test_what_depends_on_unchanged_data_is_not_stale() -> None:
    from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
    from dagster._core.loader import LoadingContextForTest

    @dg.asset
    def upstream() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset
    def downstream(upstream: pd.DataFrame) -> int:
        return len(upstream)

    assets = [upstream, downstream]
    for manager, status in (
        (MemoryIOManager(data_version=True), StaleStatus.FRESH),
        (MemoryIOManager(), StaleStatus.STALE),
    ):
        with dg.DagsterInstance.ephemeral() as instance:
            run(assets, manager, instance=instance)
            run(assets, manager, selection=[upstream], instance=instance)
            graph = dg.Definitions(assets).resolve_asset_graph()
            found = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
            assert found.get_status(downstream.key) == status


@pytest.mark.filterwarnings("ignore:Parameter `data_version`")
def test_an_assets_own_data_version_goes_first() -> None:
    @dg.asset
    def own() -> dg.Output[int]:
        return dg.Output(1, data_version=dg.DataVersion("mine"))

    assert _version(run([own], MemoryIOManager(data_version=True))) == "mine"


def test_kinds_say_where_and_in_which_format() -> None:
    @dg.asset(io_manager_key="lake", kinds={"polars"})
    def first() -> int:
        return 1

    @dg.asset(metadata=bucket_options(format="csv"))
    def second() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset(io_manager_key="lake", kinds={"a", "b"})
    def full() -> int:
        return 1

    @dg.asset(io_manager_key="other")
    def others() -> int:
        return 1

    @dg.multi_asset(outs={"left": dg.AssetOut(io_manager_key="lake"), "right": dg.AssetOut()})
    def both() -> tuple[int, int]:
        return 1, 2

    spec = dg.AssetSpec("described")
    definitions = with_kinds(
        dg.Definitions(
            [first, second, full, others, both, spec],
            resources={
                "io_manager": LocalIOManager(root="values"),
                "lake": S3IOManager(bucket="lake", format="parquet"),
                "other": dg.FilesystemIOManager(),
            },
        )
    )
    graph = definitions.resolve_asset_graph()
    kinds = {key.to_user_string(): set(graph.get(key).kinds) for key in graph.get_all_asset_keys()}
    assert kinds == {
        "first": {"polars", "s3", "parquet"},
        "second": {"file", "csv"},
        "full": {"a", "b", "s3"},
        "others": set(),
        "left": {"s3", "parquet"},
        "right": {"file"},
        "described": set(),
    }
