"""What every I/O manager must do: subclass :class:`IOManagerConformance` and give it a manager."""

import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import dagster as dg
import pyarrow as pa
import pytest
from dagster import AssetExecutionContext, DagsterInstance
from pydantic import ValidationError

from dagster_buckets.errors import BucketsError, ObjectNotFoundError
from dagster_buckets.io_manager import BucketIOManager

__all__ = ["IOManagerConformance"]

DAYS = dg.StaticPartitionsDefinition(["mon", "tue/1", "wed", ""])


@dg.asset
def number() -> int:
    return 42


@dg.asset
def doubled(number: int) -> int:
    return number * 2


@dg.asset
def table() -> pa.Table:
    return pa.table({"n": [1, 2, 3]})


@dg.asset(partitions_def=DAYS)
def daily(context: AssetExecutionContext) -> str:
    return f"value of {context.partition_key}"


@dg.asset
def week(daily: dict[str, str]) -> dict[str, str]:
    return daily


class IOManagerConformance:
    """The promises of :class:`~dagster_buckets.io_manager.BucketIOManager` in real runs.

    Give the fixture ``manager``: a manager over an empty store.
    """

    #: Secret settings of the manager, which no ``repr`` may show.
    secrets: tuple[str, ...] = ()

    @pytest.fixture
    def manager(self) -> BucketIOManager:
        """The manager under test."""
        raise NotImplementedError

    @pytest.fixture
    def settings(self, manager: BucketIOManager) -> dict[str, Any]:
        """What to construct another manager of the same settings with."""
        return dict(manager.model_dump())

    instance: ClassVar[DagsterInstance]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _one_instance(cls) -> Iterator[None]:
        # A new one costs more than a run.
        with DagsterInstance.ephemeral() as instance:
            cls.instance = instance
            yield

    def run(
        self, manager: BucketIOManager, *assets: Any, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialize all of these."""
        resources = {"io_manager": manager}
        return dg.materialize(list(assets), resources=resources, instance=self.instance, **options)

    def load(self, manager: BucketIOManager, asset: dg.AssetsDefinition, **options: Any) -> Any:
        """Load a value outside of a run."""
        definitions = dg.Definitions(assets=[asset], resources={"io_manager": manager})
        return definitions.load_asset_value(asset.key, instance=self.instance, **options)

    # -- what is constructed -------------------------------------------------------------------

    def test_construction_requests_nothing(
        self,
        manager: BucketIOManager,
        settings: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(*args: object, **_: object) -> None:
            msg = f"requested {args}"
            raise AssertionError(msg)

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(type(manager), "make_store", refuse)
        other = type(manager)(**settings)
        dg.Definitions(assets=[number], resources={"io_manager": other})
        with pytest.raises(AssertionError, match="requested"):
            _ = other.values

    def test_unknown_settings_are_refused(
        self, manager: BucketIOManager, settings: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError, match="prefx"):
            type(manager)(**{**settings, "prefx": "typing error"})

    @pytest.mark.parametrize(
        "wrong", [{"format": "nope"}, {"layout": "nope"}, {"prefix": "a/../b"}], ids=str
    )
    def test_wrong_settings_are_refused_at_once(
        self, manager: BucketIOManager, settings: dict[str, Any], wrong: dict[str, str]
    ) -> None:
        with pytest.raises((BucketsError, ValidationError), match=r"nope|\.\."):
            type(manager)(**{**settings, **wrong})

    def test_repr_shows_no_secret(self, manager: BucketIOManager) -> None:
        shown = [repr(manager), str(manager), repr(manager.values), repr(manager.values.store)]
        assert type(manager).__name__ in shown[0]
        for secret in self.secrets:
            assert not any(secret in text for text in shown)

    # -- assets --------------------------------------------------------------------------------

    def test_unpartitioned(self, manager: BucketIOManager) -> None:
        result = self.run(manager, number, doubled)
        assert result.output_for_node("doubled") == 84
        assert _keys(manager) == ["doubled/data.json", "number/data.json"]

    def test_overwrite(self, manager: BucketIOManager) -> None:
        self.run(manager, number)
        before = manager.values.store.head("number/data.json")
        self.run(manager, number)
        assert manager.values.store.head("number/data.json").etag != before.etag
        assert self.load(manager, number) == 42

    def test_load_in_another_run(self, manager: BucketIOManager) -> None:
        self.run(manager, number)
        assert self.run(manager, doubled, number.to_source_asset()).output_for_node("doubled") == 84

    def test_partitions_and_fan_in(self, manager: BucketIOManager) -> None:
        for key in ("wed", "mon", "tue/1"):
            self.run(manager, daily, partition_key=key)
        assert len(_keys(manager)) == 3
        with pytest.raises(ObjectNotFoundError) as caught:
            self.load(manager, daily, partition_key="")
        assert "'daily', partition ''" in str(caught.value)
        three = dg.StaticPartitionsDefinition(["mon", "tue/1", "wed"])
        source = dg.AssetSpec("daily", partitions_def=three)
        found = self.run(manager, week, source).output_for_node("week")
        assert list(found.items()) == [
            ("mon", "value of mon"), ("tue/1", "value of tue/1"), ("wed", "value of wed"),
        ]  # fmt: skip

    def test_fan_in_names_every_missing_partition(self, manager: BucketIOManager) -> None:
        self.run(manager, daily, partition_key="mon")
        with pytest.raises(BucketsError) as caught:
            self.run(manager, week, daily.to_source_asset())
        assert "3 of 4 partitions" in str(caught.value)
        for key in ("tue/1", "wed", ""):
            assert repr(key) in str(caught.value)
        assert _keys(manager) == ["daily/partition=mon/data.txt"]

    def test_several_dimensions(self, manager: BucketIOManager) -> None:
        grid = dg.MultiPartitionsDefinition(
            {
                "z": dg.StaticPartitionsDefinition(["1"]),
                "a": dg.StaticPartitionsDefinition(["x", "y"]),
            }
        )

        @dg.asset(partitions_def=grid)
        def cell(context: AssetExecutionContext) -> str:
            return str(context.partition_key)

        for key in ("x|1", "y|1"):
            self.run(manager, cell, partition_key=key)
        assert _keys(manager) == ["cell/a=x/z=1/data.txt", "cell/a=y/z=1/data.txt"]
        assert (
            self.load(manager, cell, partition_key=dg.MultiPartitionKey({"z": "1", "a": "y"}))
            == "y|1"
        )

    def test_frames_follow_the_consumer(self, manager: BucketIOManager) -> None:
        @dg.asset
        def rows(table: pa.RecordBatch) -> int:
            return int(table.num_rows)

        assert self.run(manager, table, rows).output_for_node("rows") == 3
        assert "table/data.parquet" in _keys(manager)

    def test_none_is_a_value(self, manager: BucketIOManager) -> None:
        @dg.asset
        def nothing() -> str | None:
            return None

        @dg.asset
        def told(nothing: str | None) -> bool:
            return nothing is None

        assert self.run(manager, nothing, told).output_for_node("told") is True
        assert "nothing/data.txt" in _keys(manager)

    def test_missing(self, manager: BucketIOManager) -> None:
        with pytest.raises(ObjectNotFoundError) as caught:
            self.run(manager, doubled, number.to_source_asset())
        text = str(caught.value)
        assert "asset 'number'" in text
        assert manager.values.store.uri("number/data.json").rpartition("/")[0] in text
        assert caught.value.hint

    def test_missing_is_none_where_that_is_asked_for(self, manager: BucketIOManager) -> None:
        @dg.asset
        def absent(number: int | None) -> bool:
            return number is None

        result = self.run(manager, absent, number.to_source_asset())
        assert result.output_for_node("absent") is True

    def test_a_refused_value_leaves_the_old_one(self, manager: BucketIOManager) -> None:
        self.run(manager, number)

        @dg.asset(name="number")
        def broken() -> Any:
            return object()

        with pytest.raises(BucketsError, match="asset 'number'"):
            self.run(manager, broken)
        assert self.load(manager, number) == 42

    # -- ops -----------------------------------------------------------------------------------

    def test_ops_are_kept_apart_by_run(self, manager: BucketIOManager) -> None:
        @dg.op(out=dg.DynamicOut(int))
        def many() -> Any:
            yield dg.DynamicOutput(1, mapping_key="one")
            yield dg.DynamicOutput(2, mapping_key="two")

        @dg.op
        def double(x: int) -> int:
            return 2 * x

        @dg.op
        def add(xs: list[int]) -> int:
            return sum(xs)

        @dg.job(resource_defs={"io_manager": manager})
        def work() -> None:
            add(many().map(double).collect())

        runs = [work.execute_in_process(instance=self.instance) for _ in range(2)]
        assert [run.output_for_node("add") for run in runs] == [6, 6]
        keys = _keys(manager)
        assert len(keys) == 10
        assert all(key.startswith(".runs/") for key in keys)
        assert {key.split("/")[1] for key in keys} == {run.run_id for run in runs}

    # -- what Dagster is told ------------------------------------------------------------------

    def test_the_uri_is_that_of_an_object(self, manager: BucketIOManager) -> None:
        result = self.run(manager, table)
        (event,) = result.asset_materializations_for_node("table")
        metadata = {name: entry.value for name, entry in event.metadata.items()}
        store = manager.values.store
        assert metadata["dagster/uri"] == store.head("table/data.parquet").uri
        assert metadata["dagster_buckets/size_bytes"] == store.head("table/data.parquet").size
        assert metadata["dagster_buckets/format"] == "parquet"
        assert metadata["dagster/row_count"] == 3

    def test_the_uri_of_a_partition_is_that_of_its_object(self, manager: BucketIOManager) -> None:
        result = self.run(manager, daily, partition_key="tue/1")
        (event,) = result.asset_materializations_for_node("daily")
        (info,) = manager.values.store.scan()
        assert event.metadata["dagster/uri"].value == info.uri

    def test_uris_there_and_back(self, manager: BucketIOManager) -> None:
        self.run(manager, table)
        self.run(manager, daily, partition_key="tue/1")
        for asset, partition in ((table, None), (daily, "tue/1")):
            uri = manager.uri_for(asset, partition)
            assert uri in {info.uri for info in manager.values.store.scan()}
            found = manager.parse_uri(uri)
            assert found is not None
            assert (found.asset_key, found.partition_key) == (asset.key, partition)
        assert manager.parse_uri(uri + "/more") is None

    def test_a_template_for_one_asset(self, manager: BucketIOManager) -> None:
        @dg.asset(
            partitions_def=dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-03"),
            metadata={"dagster_buckets/layout": "template:landing/{date:%Y/%m/%d}.{ext}"},
        )
        def landed(context: AssetExecutionContext) -> str:
            return str(context.partition_key)

        self.run(manager, landed, partition_key="2024-01-02")
        assert _keys(manager) == ["landing/2024/01/02.txt"]
        assert self.load(manager, landed, partition_key="2024-01-02") == "2024-01-02"

    def test_load_asset_value(self, manager: BucketIOManager) -> None:
        self.run(manager, number)
        self.run(manager, daily, partition_key="mon")
        assert self.load(manager, number) == 42
        assert self.load(manager, daily, partition_key="mon") == "value of mon"
        self.run(manager, table)
        assert self.load(manager, table, python_type=pa.RecordBatch).num_rows == 3


def _keys(manager: BucketIOManager) -> list[str]:
    return [info.key for info in manager.values.store.scan()]
