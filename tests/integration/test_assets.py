"""Assets: what one writes another loads, whatever they are called and however they are declared."""

from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager

from tests.integration.support import MakeManager, keys, materialized, plant, raw, run


class Number(dg.Config):
    value: int


def test_assets_of_every_kind_are_written_and_loaded(manager: BucketIOManager) -> None:
    @dg.asset
    def table() -> pd.DataFrame:
        return pd.DataFrame({"city": ["Paris", "Oslo"], "people": [2, 1]})

    @dg.asset
    def settings() -> dict[str, Any]:
        return {"factor": 2.5}

    @dg.asset
    def note() -> str:
        return "naïve\n"

    @dg.asset
    def blob() -> bytes:
        return b"\x00\xff"

    @dg.asset
    def summary(table: pl.DataFrame, settings: dict[str, Any], note: str, blob: bytes) -> list[Any]:
        assert isinstance(table, pl.DataFrame)
        return [table["people"].sum() * settings["factor"], note, list(blob)]

    result = run([table, settings, note, blob, summary], manager)

    assert result.output_for_node("summary") == [7.5, "naïve\n", [0, 255]]
    assert keys(manager) == [
        "blob/data.bin",
        "note/data.txt",
        "settings/data.json",
        "summary/data.json",
        "table/data.parquet",
    ]
    assert raw(manager, "note/data.txt") == "naïve\n".encode()


def test_two_prefixes_of_one_bucket_do_not_see_each_other(make_manager: MakeManager) -> None:
    @dg.asset
    def number(config: Number) -> int:
        return config.value

    one, two = make_manager("team/one"), make_manager("team/two")
    for manager, value in ((one, 1), (two, 2)):
        result = run(
            [number], manager, run_config={"ops": {"number": {"config": {"value": value}}}}
        )
        (event,) = materialized(result)
        prefix = f"{make_manager.scheme}/team/{'one' if value == 1 else 'two'}"
        assert event.metadata["dagster/uri"] == f"{prefix}/number/data.json"
    assert keys(make_manager()) == ["team/one/number/data.json", "team/two/number/data.json"]
    assert (raw(one, "number/data.json"), raw(two, "number/data.json")) == (b"1", b"2")


def test_key_prefixes_become_folders_and_odd_parts_are_encoded(memory: MemoryIOManager) -> None:
    @dg.asset(key_prefix=["shop", "raw"])
    def orders() -> list[int]:
        return [1, 2]

    @dg.multi_asset(outs={"odd": dg.AssetOut(key=dg.AssetKey(["..", "a/b", "x y"]))})
    def odds() -> list[int]:
        return [3]

    @dg.asset(
        ins={
            "orders": dg.AssetIn(key_prefix=["shop", "raw"]),
            "odd": dg.AssetIn(key=dg.AssetKey(["..", "a/b", "x y"])),
        }
    )
    def total(orders: list[int], odd: list[int]) -> int:
        return sum(orders + odd)

    assert run([orders, odds, total], memory).output_for_node("total") == 6
    assert keys(memory) == [
        "%2E%2E/a%2Fb/x%20y/data.json",
        "shop/raw/orders/data.json",
        "total/data.json",
    ]


def test_an_asset_below_another_one_keeps_apart_from_it(manager: BucketIOManager) -> None:
    @dg.asset
    def a() -> int:
        return 1

    @dg.asset(key_prefix="a")
    def b() -> int:
        return 2

    @dg.asset(ins={"a": dg.AssetIn("a"), "b": dg.AssetIn(key=["a", "b"])})
    def both(a: int, b: int) -> list[int]:
        return [a, b]

    assert run([a, b, both], manager).output_for_node("both") == [1, 2]
    assert keys(manager) == ["a/b/data.json", "a/data.json", "both/data.json"]


def test_multi_asset_writes_each_output_and_only_the_chosen_ones(memory: MemoryIOManager) -> None:
    @dg.multi_asset(
        outs={
            "small": dg.AssetOut(is_required=False, dagster_type=int),
            "big": dg.AssetOut(key_prefix="sized", is_required=False, dagster_type=pd.DataFrame),
        },
        can_subset=True,
    )
    def sizes(context: dg.AssetExecutionContext) -> Any:
        if "small" in context.op_execution_context.selected_output_names:
            yield dg.Output(1, "small")
        if "big" in context.op_execution_context.selected_output_names:
            yield dg.Output(pd.DataFrame({"n": [9]}), "big")

    run([sizes], memory, selection=["small"])
    assert keys(memory) == ["small/data.json"]
    run([sizes], memory)
    assert keys(memory) == ["sized/big/data.parquet", "small/data.json"]

    @dg.asset(ins={"big": dg.AssetIn(key_prefix="sized")})
    def sums(small: int, big: pa.Table) -> int:
        return small + int(big.to_pydict()["n"][0])

    assert run([sizes, sums], memory, selection=[sums]).output_for_node("sums") == 10


def test_external_assets_are_loaded_from_what_others_wrote(manager: BucketIOManager) -> None:
    plant(manager, "vendor/prices/data.json", b'{"apple": 2}')
    plant(manager, "notice/data.txt", b"hello")
    # Metadata of a source is known in every run: this one needs no listing.
    spec = dg.AssetSpec(
        dg.AssetKey(["vendor", "prices"]), metadata={"dagster_buckets/format": "json"}
    )

    @dg.asset(ins={"prices": dg.AssetIn(key=["vendor", "prices"])})
    def report(prices: dict[str, int], notice: str) -> str:
        return f"{notice} {prices['apple']}"

    assert (
        run([spec, dg.AssetSpec("notice"), report], manager).output_for_node("report") == "hello 2"
    )


@pytest.mark.filterwarnings("ignore:.*SourceAsset.*:DeprecationWarning")
def test_source_assets_are_loaded_by_their_own_manager(memory: MemoryIOManager) -> None:
    other = MemoryIOManager(prefix="elsewhere")
    plant(other, "numbers/data.json", b"[1, 2]")
    numbers = dg.SourceAsset("numbers", io_manager_key="other")

    @dg.asset
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    result = run([numbers, total], memory, resources={"other": other})
    assert result.output_for_node("total") == 3
    assert keys(memory) == ["total/data.json"]


def test_input_manager_key_reads_one_input_with_another_manager(memory: MemoryIOManager) -> None:
    @dg.asset
    def number() -> int:
        return 1

    @dg.asset(ins={"number": dg.AssetIn(input_manager_key="archive")})
    def doubled(number: int) -> int:
        return number * 2

    archive = MemoryIOManager()
    plant(archive, "number/data.json", b"21")
    result = run([number, doubled], memory, resources={"archive": archive})
    assert result.output_for_node("doubled") == 42
    assert keys(archive) == ["number/data.json"]
    assert keys(memory) == ["doubled/data.json", "number/data.json"]


def test_outputs_and_results_with_a_value_are_stored(manager: BucketIOManager) -> None:
    @dg.asset
    def table() -> dg.Output[pd.DataFrame]:
        return dg.Output(pd.DataFrame({"n": [1, 2]}), metadata={"mine": 7})

    @dg.asset
    def outcome() -> dg.MaterializeResult[int]:
        return dg.MaterializeResult(value=5, metadata={"mine": 8})

    @dg.asset
    def nothing() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"mine": 9})

    @dg.asset
    def total(table: pd.DataFrame, outcome: int) -> int:
        return int(table["n"].sum()) + outcome

    result = run([table, outcome, nothing, total], manager)
    assert result.output_for_node("total") == 8
    found = {event.label: event.metadata for event in materialized(result)}
    assert [found[name]["mine"] for name in ("table", "outcome", "nothing")] == [7, 8, 9]
    assert found["table"]["dagster/row_count"] == 2
    assert "dagster/uri" not in found["nothing"]
    assert keys(manager) == ["outcome/data.json", "table/data.parquet", "total/data.json"]


def test_none_without_an_annotation_is_a_stored_value(manager: BucketIOManager) -> None:
    @dg.asset
    def side_effect():  # type: ignore[no-untyped-def]
        return None

    @dg.asset
    def declared() -> None:
        return None

    @dg.asset
    def after(side_effect) -> bool:  # type: ignore[no-untyped-def]
        return side_effect is None

    assert run([side_effect, declared, after], manager).output_for_node("after") is True
    assert keys(manager) == ["after/data.json", "side_effect/data.json"]
