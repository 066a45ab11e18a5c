"""Metadata: what the UI shows of a value, and the settings that assets and inputs carry."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import BucketIOManager, ConfigurationError, MemoryIOManager, PartitionError

from tests.integration.support import handled, keys, materialized, plant, raw, run, store_of

LETTERS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset(key_prefix="shop")
def orders() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "name": ["x", "y", None]})


def test_handled_output_and_materialisation_describe_the_object(manager: BucketIOManager) -> None:
    result = run([orders], manager)
    (materialization,), (output,) = materialized(result), handled(result)
    assert materialization.metadata == output.metadata
    info = store_of(manager).head("shop/orders/data.parquet")
    found = dict(output.metadata)
    preview = found.pop("dagster_buckets/preview")
    schema = found.pop("dagster/column_schema")
    columns = [(column.name, column.type.removeprefix("large_")) for column in schema.columns]
    # pandas 3 gives Arrow large strings.
    assert columns == [("id", "int64"), ("name", "string")]
    assert info.header is not None
    assert found.pop("dagster_buckets/write_seconds") >= 0
    written = found.pop("dagster_buckets/written_at")
    assert abs(written - info.modified.timestamp()) < 5
    rows = [dict(record.data) for record in preview.records]
    assert rows == [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, {"id": 3, "name": None}]
    assert found == {
        "dagster/uri": info.uri,
        "dagster/row_count": 3,
        "dagster/table_name": "shop.orders",
        "dagster_buckets/size_bytes": len(raw(manager, "shop/orders/data.parquet")),
        "dagster_buckets/format": "parquet",
        "dagster_buckets/compression": "zstd",
        "dagster_buckets/etag": info.etag,
        "dagster_buckets/digest": info.header.digest,
    }


def test_a_partition_counts_its_own_rows(memory: MemoryIOManager) -> None:
    @dg.asset(partitions_def=LETTERS)
    def parts() -> pd.DataFrame:
        return pd.DataFrame({"n": [1, 2]})

    (event,) = materialized(run([parts], memory, partition_key="b"))
    assert event.partition == "b"
    assert event.metadata["dagster/partition_row_count"] == 2
    assert "dagster/row_count" not in event.metadata
    assert event.metadata["dagster/uri"] == store_of(memory).uri("parts/partition=b/data.parquet")


def test_values_without_rows_have_no_row_count(memory: MemoryIOManager) -> None:
    @dg.asset
    def number() -> int:
        return 1

    (event,) = materialized(run([number], memory))
    assert event.metadata["dagster_buckets/format"] == "json"
    assert event.metadata["dagster_buckets/size_bytes"] == 1
    assert not [name for name in event.metadata if "row" in name or "column" in name]


def test_op_outputs_have_metadata_and_no_table_name(memory: MemoryIOManager) -> None:
    @dg.op
    def table() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        table()

    result = job.execute_in_process()
    (event,) = handled(result)
    assert event.metadata["dagster/row_count"] == 1
    assert event.metadata["dagster/uri"] == store_of(memory).uri(
        f".runs/{result.run_id}/table/result/data.parquet"
    )
    assert "dagster/table_name" not in event.metadata


@pytest.mark.parametrize("name", ["arrow", "pickle"])
def test_the_format_in_an_assets_metadata_holds_for_write_and_load(
    manager: BucketIOManager, name: str
) -> None:
    @dg.asset(metadata={"dagster_buckets/format": name})
    def table() -> pd.DataFrame:
        return pd.DataFrame({"n": [1, 2]})

    @dg.asset
    def rows(table: pd.DataFrame) -> int:
        return len(table)

    assert run([table, rows], manager).output_for_node("rows") == 2
    assert keys(manager) == ["rows/data.json", f"table/data.{name}"]
    # A newer sibling in another format is not what the metadata names.
    plant(manager, "table/data.json", b"[1, 2, 3]")
    assert run([table, rows], manager, selection=[rows]).output_for_node("rows") == 2


def test_metadata_of_outputs_goes_before_the_managers_format() -> None:
    manager = MemoryIOManager(format="json")

    @dg.op(out=dg.Out(metadata={"dagster_buckets/format": "pickle"}))
    def first() -> list[int]:
        return [1]

    @dg.op
    def second(value: list[int]) -> list[int]:
        return value

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        second(first())

    result = job.execute_in_process()
    assert result.output_for_node("second") == [1]
    extensions = {key.split("/")[2]: key.rpartition(".")[2] for key in keys(manager)}
    assert extensions == {"first": "pickle", "second": "json"}


def test_metadata_of_an_input_goes_before_that_of_the_asset(memory: MemoryIOManager) -> None:
    plant(memory, "value/data.txt", b"7")
    plant(memory, "value/data.json", b"8")
    spec = dg.AssetSpec("value", metadata={"dagster_buckets/format": "json"})

    @dg.asset(ins={"value": dg.AssetIn(metadata={"dagster_buckets/format": "text"})})
    def by_input(value: Any) -> Any:
        return value

    @dg.asset
    def by_asset(value: Any) -> Any:
        return value

    result = run([spec, by_input, by_asset], memory)
    assert result.output_for_node("by_input") == "7"
    assert result.output_for_node("by_asset") == 8


def test_the_shape_in_an_inputs_metadata_settles_what_is_ambiguous(
    memory: MemoryIOManager,
) -> None:
    @dg.asset(partitions_def=LETTERS)
    def parts() -> Any:
        return {"x": {"y": 1}}

    def consumer(shape: str | None) -> dg.AssetsDefinition:
        metadata = {} if shape is None else {"dagster_buckets/shape": shape}

        @dg.asset(
            name=f"as_{shape}",
            partitions_def=LETTERS,
            ins={"parts": dg.AssetIn(metadata=metadata)},
        )
        def seen(parts: dict[str, dict]) -> Any:  # type: ignore[type-arg]
            return parts

        return seen

    value, partitions, unclear = (consumer(shape) for shape in ("value", "partitions", None))
    result = run([parts, value, partitions], memory, partition_key="a")
    assert result.output_for_node("as_value") == {"x": {"y": 1}}
    assert result.output_for_node("as_partitions") == {"a": {"x": {"y": 1}}}
    with pytest.raises(PartitionError, match="dagster_buckets/shape") as caught:
        run([parts, unclear], memory, selection=[unclear], partition_key="a")
    assert "asset 'parts', partition 'a'" in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"dagster_buckets/formt": "json"}, "unknown metadata dagster_buckets/formt"),
        ({"dagster_buckets/on_missing": "ignore"}, "must be 'error' or 'skip' or 'none'"),
        ({"dagster_buckets/format": 3}, "must be a string, not 3"),
    ],
    ids=["name", "choice", "type"],
)
def test_settings_that_are_not_known_are_refused(
    memory: MemoryIOManager, metadata: dict[str, Any], message: str
) -> None:
    plant(memory, "value/data.json", b"1")

    @dg.asset(metadata=metadata)
    def value() -> int:
        return 2

    with pytest.raises(ConfigurationError, match=message):
        run([value], memory)
    assert raw(memory, "value/data.json") == b"1"

    @dg.asset(ins={"value": dg.AssetIn(metadata=metadata)})
    def seen(value: int) -> int:
        return value

    with pytest.raises(ConfigurationError, match=message):
        run([dg.AssetSpec("value"), seen], memory)


def test_metadata_of_others_is_left_alone(memory: MemoryIOManager) -> None:
    @dg.asset(metadata={"team": "sales", "dagster/kind": "x", "dagster_bucketsish/y": 3})
    def value() -> int:
        return 2

    run([value], memory)
    assert keys(memory) == ["value/data.json"]
