"""``uri_for`` and ``parse_uri``, and layouts of single assets."""

from typing import Any

import dagster as dg
import pytest
from dagster_buckets import (
    AssetLocation,
    BucketIOManager,
    ConfigurationError,
    InvalidKeyError,
    MemoryIOManager,
    ObjectNotFoundError,
    PartitionError,
)

from tests.integration.support import (
    CountingIOManager,
    MakeManager,
    keys,
    materialized,
    plant,
    ranged,
    raw,
    run,
    store_of,
)

DAYS = dg.DailyPartitionsDefinition("2024-01-30", end_date="2024-02-03")
GRID = dg.MultiPartitionsDefinition(
    {"z": dg.StaticPartitionsDefinition(["1", "2"]), "a": dg.StaticPartitionsDefinition(["x/y"])}
)


@dg.asset(key=["shop", "total"])
def total() -> dict[str, int]:
    return {"eur": 5}


@dg.asset(partitions_def=DAYS)
def daily(context: dg.AssetExecutionContext) -> str:
    return str(context.partition_key)


@dg.asset(partitions_def=GRID)
def cell(context: dg.AssetExecutionContext) -> str:
    return str(context.partition_key)


def test_the_uri_is_that_of_the_materialisation(manager: BucketIOManager) -> None:
    key = dg.MultiPartitionKey({"a": "x/y", "z": "2"})
    spellings: list[tuple[Any, list[Any], dict[str, Any]]] = [
        (total, [None], {}),
        (daily, ["2024-01-31"], {"partition_key": "2024-01-31"}),
        (cell, [key, "x/y|2", {"z": "2", "a": "x/y"}], {"partition_key": key}),
    ]
    for definition, partitions, options in spellings:
        (event,) = materialized(run([definition], manager, **options))
        uri = event.metadata["dagster/uri"]
        for partition in partitions:
            assert manager.uri_for(definition, partition) == uri
            assert manager.uri_for(next(iter(definition.specs)), partition) == uri
        for spelled in (definition.key, definition.key.path):
            assert manager.uri_for(spelled, partitions[0]) == uri
        located = manager.parse_uri(uri)
        assert located == AssetLocation(
            definition.key, partitions[0], event.metadata["dagster_buckets/format"]
        )
    assert isinstance(located, AssetLocation)
    assert isinstance(located.partition_key, dg.MultiPartitionKey)


def test_a_named_format_asks_nothing(counting: CountingIOManager) -> None:
    assert counting.uri_for("a", format="json").endswith("/a/data.json")
    named = CountingIOManager(name=counting.name, format="parquet")
    assert named.uri_for("a", "x").endswith("/a/partition=x/data.parquet")
    assert named.uri_for("a", format="text").endswith("/a/data.txt")
    assert counting.parse_uri(named.uri_for("a")) == (dg.AssetKey("a"), None, "parquet")
    assert counting.calls.made == []


def test_auto_looks_for_the_newest(manager: BucketIOManager) -> None:
    with pytest.raises(ObjectNotFoundError, match="nothing is stored for asset 'shop/total'"):
        manager.uri_for(total)
    run([total], manager)
    assert manager.uri_for(["shop", "total"]) == store_of(manager).uri("shop/total/data.json")


def test_a_string_is_one_part_as_in_dagster(memory: MemoryIOManager) -> None:
    assert memory.uri_for("a/b", format="json").endswith("/a%2Fb/data.json")


def test_definitions_know_their_partitions(memory: MemoryIOManager) -> None:
    with pytest.raises(PartitionError, match="the asset has partitions") as caught:
        memory.uri_for(daily, format="text")
    assert "daily" in str(caught.value)
    with pytest.raises(PartitionError, match="the asset has no partitions"):
        memory.uri_for(total, "x", format="text")
    with pytest.raises(PartitionError, match="other dimensions") as caught:
        memory.uri_for(cell, {"a": "x/y"}, format="text")
    assert "a, z" in str(caught.value.hint)

    @dg.multi_asset(specs=[dg.AssetSpec("one"), dg.AssetSpec("two")])
    def both(): ...  # type: ignore[no-untyped-def]

    with pytest.raises(ConfigurationError, match=r"makes 2 assets \(one, two\)"):
        memory.uri_for(both)
    assert memory.uri_for(both.get_asset_spec(dg.AssetKey("two")), format="json").endswith(
        "/two/data.json"
    )


def test_foreign_uris_are_nobodys(make_manager: MakeManager) -> None:
    manager = make_manager(prefix="team/prod")
    own = manager.uri_for("a", format="json")
    assert manager.parse_uri(own) == (dg.AssetKey("a"), None, "json")
    assert make_manager(prefix="team").parse_uri(own) == (dg.AssetKey(["prod", "a"]), None, "json")
    for uri in (
        own.replace("team/prod", "team/production"),
        own.replace("team/prod", "other"),
        own.replace("://", "s://"),
        own.removesuffix("/data.json"),
        own.replace("/a/", "/.runs/r/s/o/"),
        own.replace("/a/", "/a b/"),
        "",
        "nonsense",
        "a/data.json",
    ):
        assert manager.parse_uri(uri) is None, uri
    unknown = manager.parse_uri(own.replace(".json", ".strange"))
    assert unknown == (dg.AssetKey("a"), None, None)


def test_legacy_keys_do_not_tell(make_manager: MakeManager) -> None:
    manager = make_manager(layout="legacy", format="pickle")
    assert manager.uri_for(["a", "b"]) == store_of(manager).uri("a/b")
    with pytest.raises(ConfigurationError, match="legacy"):
        manager.parse_uri(manager.uri_for(["a", "b"]))


# -- layouts of single assets ----------------------------------------------------------------------


@dg.asset(
    partitions_def=DAYS,
    metadata={
        "dagster_buckets/layout": "template:landing/{date:%Y/%m/%d}/orders.{ext}",
        "dagster_buckets/format": "json",
    },
)
def landed(context: dg.AssetExecutionContext) -> str:
    return str(context.partition_key)


@dg.asset
def newest(landed: dict[str, str]) -> str:
    return max(landed.values())


def test_an_asset_can_have_a_layout_of_its_own(manager: BucketIOManager) -> None:
    for day in ("2024-01-31", "2024-02-01"):
        (event,) = materialized(run([landed], manager, partition_key=day))
        assert manager.uri_for(landed, day) == event.metadata["dagster/uri"]
        assert manager.parse_uri(event.metadata["dagster/uri"]) is None
        own = manager.parse_uri(event.metadata["dagster/uri"], asset=landed)
        assert own == (dg.AssetKey("landed"), day, "json")
    run([total], manager)
    assert keys(manager) == [
        "landing/2024/01/31/orders.json", "landing/2024/02/01/orders.json", "shop/total/data.json",
    ]  # fmt: skip
    source = dg.AssetSpec(
        "landed", partitions_def=dg.DailyPartitionsDefinition("2024-01-31", end_date="2024-02-02"),
        metadata=landed.metadata_by_key[landed.key],
    )  # fmt: skip
    assert run([newest, source], manager).output_for_node("newest") == "2024-02-01"
    definitions = dg.Definitions(assets=[landed], resources={"io_manager": manager})
    assert definitions.load_asset_value("landed", partition_key="2024-01-31") == "2024-01-31"


def test_two_assets_with_one_path(manager: BucketIOManager) -> None:
    layout = {"dagster_buckets/layout": "template:exports/latest.{ext}"}

    @dg.asset(metadata=layout)
    def first() -> str:
        return "first"

    @dg.asset(metadata=layout)
    def second() -> str:
        return "second"

    @dg.asset
    def reader(second: str) -> str:
        return second

    run([first], manager)
    run([first], manager)
    with pytest.raises(
        InvalidKeyError, match=r'holds the value of {"asset":\["first"\]}'
    ) as caught:
        run([second], manager)
    assert "asset 'second'" in str(caught.value)
    assert "hive" in str(caught.value.hint)
    assert raw(manager, "exports/latest.txt") == b"first"
    with pytest.raises(InvalidKeyError, match="first"):
        run([reader, dg.AssetSpec("second", metadata=layout)], manager)


def test_a_path_of_another_layout(manager: BucketIOManager) -> None:
    @dg.asset(metadata={"dagster_buckets/layout": "template:shop/total/data.{ext}"})
    def thief() -> dict[str, int]:
        return {"eur": 0}

    # Even before there is anything to lose.
    with pytest.raises(InvalidKeyError, match="which is the key of asset 'shop/total'") as caught:
        run([thief], manager)
    assert "dagster_buckets/layout" in str(caught.value.hint)
    assert keys(manager) == []


def test_what_others_wrote_can_be_taken_over(manager: BucketIOManager) -> None:
    plant(manager, "landing/2024/01/31/orders.json", b'"theirs"')
    definitions = dg.Definitions(assets=[landed], resources={"io_manager": manager})
    assert definitions.load_asset_value("landed", partition_key="2024-01-31") == "theirs"
    run([landed], manager, partition_key="2024-01-31")
    assert raw(manager, "landing/2024/01/31/orders.json") == b'"2024-01-31"'


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("nope", "there is no layout 'nope'"),
        ("template:x/{date:%m}.{ext}", "does not keep addresses apart"),
        ("hive:x", "takes no argument"),
        (3, "must be a string"),
    ],
)
def test_wrong_layouts_are_named(memory: MemoryIOManager, layout: Any, reason: str) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"dagster_buckets/layout": layout})
    def wrong() -> int:
        return 1

    with pytest.raises(ConfigurationError, match=reason):
        run([wrong], memory, partition_key="2024-01-31")
    assert keys(memory) == []


@pytest.mark.parametrize(
    "layout", ["template:{asset[0]}/{partition}.{ext}", "template", "legacy:nope"]
)
def test_wrong_layouts_are_refused_at_once(make_manager: MakeManager, layout: str) -> None:
    with pytest.raises(ConfigurationError):
        make_manager(layout=layout)


def test_a_layout_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = MemoryIOManager(layout=dg.EnvVar("LAYOUT"))
    monkeypatch.setenv("LAYOUT", "template:{asset}.{ext}")
    run([total], manager)
    assert keys(MemoryIOManager(name=manager.name)) == ["shop/total.json"]


def test_a_template_for_all(make_manager: MakeManager) -> None:
    manager = make_manager(layout="template:{asset}[/{date:%Y%m%d}@]/v.{ext}")
    run([total], manager)
    run([daily], manager, partition_key="2024-01-31")
    assert keys(manager) == ["daily/20240131@/v.txt", "shop/total/v.json"]
    with pytest.raises(InvalidKeyError, match="no place for the dimensions a, z"):
        run([cell], manager, partition_key="x/y|1")


def test_shards_are_written_loaded_and_listed(make_manager: MakeManager) -> None:
    manager = make_manager(layout="template:{asset}[/shard={shard:1}/day={partition}]/data.{ext}")

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def daily(context: dg.AssetExecutionContext) -> dict[str, str]:
        return {key: f"of {key}" for key in context.partition_keys}

    @dg.asset(ins={"daily": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())})
    def shop(daily: dict[str, str]) -> str:
        return ", ".join(daily.values())

    run([daily], manager, tags=ranged("2024-01-30", "2024-02-02"))
    # In format auto: found by one listing of the asset.
    assert run([daily, shop], manager, selection=[shop]).output_for_node("shop") == (
        "of 2024-01-30, of 2024-01-31, of 2024-02-01, of 2024-02-02"
    )
    *days, value = keys(manager)
    assert value == "shop/data.txt"
    assert {key.count("/") for key in days} == {3}
    assert len({key.split("/")[1] for key in days}) > 1
    for day in DAYS.get_partition_keys():
        found = manager.parse_uri(manager.uri_for("daily", day))
        assert found is not None
        assert found.partition_key == day
        assert manager.uri_for("daily", day) == manager.uri_for("daily", day, format="text")
