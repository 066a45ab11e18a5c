"""The examples of Dagster's I/O manager documentation, with our managers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster_buckets import (
    AssetAddress,
    Body,
    BucketIOManager,
    HiveLayout,
    MemoryIOManager,
    UnknownPluginError,
)

from tests.integration.support import (
    S3_KEYS,
    MakeManager,
    handled,
    keys,
    materialized,
    raw,
    run,
    store_of,
)

if TYPE_CHECKING:
    Array: TypeAlias = np.ndarray[Any, Any]
else:  # Dagster refuses the generic
    Array = np.ndarray


@dg.asset
def upstream_asset() -> pd.DataFrame:
    return pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})


def test_an_asset_stored_as_pandas_is_consumed_as_numpy(manager: BucketIOManager) -> None:
    @dg.asset
    def downstream_asset(upstream_asset: Array) -> list[Any]:
        assert isinstance(upstream_asset, np.ndarray)
        return list(upstream_asset.tolist())

    result = run([upstream_asset, downstream_asset], manager)
    assert result.output_for_node("downstream_asset") == [[1.0, 3.0], [2.0, 4.0]]
    assert "upstream_asset/data.parquet" in keys(manager)


def test_an_asset_is_consumed_through_a_second_manager_over_the_same_store(
    make_manager: MakeManager,
) -> None:
    pandas_manager, numpy_manager = make_manager(), make_manager()

    @dg.asset(key_prefix="public", io_manager_key="pandas_manager")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"x": [1, 2]})

    @dg.asset(ins={"orders": dg.AssetIn(key_prefix="public", input_manager_key="numpy_manager")})
    def doubled(orders: Array) -> list[Any]:
        assert isinstance(orders, np.ndarray)
        return list((orders * 2).tolist())

    resources = {"pandas_manager": pandas_manager, "numpy_manager": numpy_manager}
    result = run([orders, doubled], pandas_manager, resources=resources)
    assert result.output_for_node("doubled") == [[2], [4]]
    assert keys(pandas_manager) == ["doubled/data.json", "public/orders/data.parquet"]


def test_a_partitioned_asset(manager: BucketIOManager) -> None:
    days = dg.DailyPartitionsDefinition("2023-10-01", end_date="2023-10-04")

    @dg.asset(partitions_def=days)
    def my_daily_partitioned_asset(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"date": [context.partition_key]})

    run([my_daily_partitioned_asset], manager, partition_key="2023-10-02")
    run([my_daily_partitioned_asset], manager, partition_key="2023-10-03")
    assert keys(manager) == [
        "my_daily_partitioned_asset/partition=2023-10-02/data.parquet",
        "my_daily_partitioned_asset/partition=2023-10-03/data.parquet",
    ]
    loaded = dg.Definitions(
        [my_daily_partitioned_asset], resources={"io_manager": manager}
    ).load_asset_value("my_daily_partitioned_asset", partition_key="2023-10-03")
    assert isinstance(loaded, pd.DataFrame)
    assert list(loaded["date"]) == ["2023-10-03"]


class RecordingIOManager(MemoryIOManager):
    """The documentation's example: metadata of one's own beside ours."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        super().handle_output(context, obj)
        context.add_output_metadata(
            {"num_rows": len(obj), "table_name": context.asset_key.path[-1]}
        )


def test_rows_and_table_name_are_recorded_on_output_and_materialisation() -> None:
    result = run([upstream_asset], RecordingIOManager())
    for event in (*handled(result), *materialized(result)):
        assert event.metadata["num_rows"] == event.metadata["dagster/row_count"] == 2
        assert event.metadata["table_name"] == event.metadata["dagster/table_name"]


def test_a_unit_test_needs_nothing_but_contexts(manager: BucketIOManager) -> None:
    output = dg.build_output_context(asset_key="numbers")
    manager.handle_output(output, [1, 2])
    assert raw(manager, "numbers/data.json") == b"[1, 2]"
    uri = store_of(manager).uri("numbers/data.json")
    logged = {name: getattr(v, "value", v) for name, v in output.get_logged_metadata().items()}
    assert logged["dagster/uri"] == uri
    assert manager.load_input(dg.build_input_context(asset_key="numbers")) == [1, 2]
    # As an op's value: by run, step and name.
    of_op = dg.build_output_context(name="abc", step_key="123", run_id="r1")
    manager.handle_output(of_op, "five")
    assert manager.load_input(dg.build_input_context(upstream_output=of_op)) == "five"
    assert keys(manager) == [".runs/r1/123/abc/data.txt", "numbers/data.json"]


def test_a_unit_test_of_a_partition(memory: MemoryIOManager) -> None:
    letters = dg.StaticPartitionsDefinition(["a", "b"])
    output = dg.build_output_context(
        asset_key=dg.AssetKey("parts"), partition_key="b", asset_partitions_def=letters
    )
    memory.handle_output(output, {"n": 1})
    assert keys(memory) == ["parts/partition=b/data.json"]
    wanted = dg.build_input_context(
        asset_key=dg.AssetKey("parts"),
        asset_partition_key_range=dg.PartitionKeyRange("b", "b"),
        asset_partitions_def=letters,
        partition_key="b",
    )
    assert memory.load_input(wanted) == {"n": 1}


def test_the_memory_manager_serves_as_the_in_memory_manager() -> None:
    @dg.asset
    def downstream(upstream_asset: pd.DataFrame) -> float:
        return float(upstream_asset["x"].sum())

    definitions = dg.Definitions(
        [upstream_asset, downstream],
        jobs=[dg.define_asset_job("everything")],
        resources={"io_manager": MemoryIOManager()},
    )
    job = definitions.resolve_job_def("everything")
    assert job.execute_in_process().output_for_node("downstream") == 3.0
    # Two managers without a name share nothing.
    first, second = MemoryIOManager(), MemoryIOManager()
    run([upstream_asset], first)
    assert keys(second) == []


class Publisher(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource that holds a manager."""

    manager: MemoryIOManager
    title: str

    def publish(self, value: bytes) -> str:
        address = AssetAddress.of(["published", self.title])
        return store_of(self.manager).put(HiveLayout().key(address, "json"), Body.of(value)).uri


# Dagster's own call of a method that it deprecates.
@pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated")
def test_a_resource_can_hold_a_manager(memory: MemoryIOManager) -> None:
    @dg.asset
    def report(publisher: Publisher) -> str:
        return publisher.publish(b'{"n": 1}')

    resources = {"publisher": Publisher(manager=memory, title="weekly")}
    result = run([report], memory, resources=resources)
    assert keys(memory) == ["published/weekly/data.json", "report/data.txt"]
    assert result.output_for_node("report") == store_of(memory).uri("published/weekly/data.json")


@dg.asset
def number() -> int:
    return 1


def test_fields_take_environment_variables(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"prefix": dg.EnvVar("IT_PREFIX"), "format": dg.EnvVar("IT_FORMAT")}
    monkeypatch.setenv("IT_PREFIX", "from/env")
    monkeypatch.setenv("IT_FORMAT", "pickle")
    if make_manager.backend == "s3":
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            monkeypatch.setenv(name.upper() + "_IT", S3_KEYS[name])
            settings[name] = dg.EnvVar(name.upper() + "_IT")
    manager = make_manager(**settings)
    run([number], manager)
    assert keys(make_manager()) == ["from/env/number/data.pickle"]
    assert S3_KEYS["aws_secret_access_key"] not in repr(manager)


@pytest.mark.parametrize(
    ("name", "value"), [("prefix", "../up"), ("format", "jsno"), ("layout", "heave")]
)
def test_what_an_environment_variable_holds_is_checked_before_a_value_is_written(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    settings: dict[str, Any] = {name: dg.EnvVar("IT_VALUE")}
    manager = MemoryIOManager(name="it-env", **settings)
    monkeypatch.setenv("IT_VALUE", value)
    # Dagster wraps what a resource raises when it is made.
    with pytest.raises((dg.DagsterError, UnknownPluginError)) as caught:
        run([number], manager)
    assert repr(value) in f"{caught.value} {caught.value.__cause__}"
    assert keys(MemoryIOManager(name="it-env")) == []


def test_a_manager_is_configured_at_launch(tmp_path: Path) -> None:
    from dagster_buckets_local import LocalIOManager

    config = {"root": str(tmp_path / "launched"), "prefix": "p", "max_concurrency": 2}
    run(
        [number],
        LocalIOManager.configure_at_launch(),
        run_config={"resources": {"io_manager": {"config": config}}},
    )
    assert keys(LocalIOManager(root=str(tmp_path / "launched"))) == ["p/number/data.json"]
    unknown = {"resources": {"io_manager": {"config": {**config, "rooot": "x"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="rooot"):
        run([number], LocalIOManager.configure_at_launch(), run_config=unknown)
