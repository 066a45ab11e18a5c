"""What the suites of Dagster's S3 and GCS managers say, as promises of ours, on every backend.

Whole sets of assets in one job, run again, configured late, and what is missing. Where we differ on
purpose, ``docs/explanation/differences.md`` says so.
"""

from typing import Any

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager, ObjectNotFoundError
from dagster_buckets.address import AssetAddress

from tests.integration.scenarios import LETTERS, keyed, load, load_pairs, write
from tests.integration.support import MakeManager, keys, materialized, raw, run, store_of

VENDORS = dg.StaticPartitionsDefinition(["foo", "bar"])


@pytest.fixture
def assets() -> list[Any]:
    """An external one, two in a row, one made by a graph of two ops, and one with partitions."""
    runs: list[None] = []

    @dg.asset
    def first(vendor: dict[str, int]) -> int:
        return vendor["foo"] + vendor["bar"]

    @dg.asset
    def second(first: int) -> int:
        return first + 1

    @dg.op
    def double(number: int) -> int:
        return number * 2

    @dg.op
    def add_three(number: int) -> int:
        return number + 3

    @dg.graph(ins={"second": dg.GraphIn()}, out={"third": dg.GraphOut()})
    def steps(second: int) -> Any:
        return add_three(double(second))

    @dg.asset(partitions_def=LETTERS)
    def counted() -> int:
        runs.append(None)
        return len(runs)

    vendor = dg.AssetSpec("vendor", partitions_def=VENDORS)
    return [vendor, first, second, dg.AssetsDefinition.from_graph(steps), counted]


def test_a_job_over_assets_of_all_kinds_and_once_more(
    make_manager: MakeManager, assets: list[Any]
) -> None:
    manager = make_manager("assets")
    for key, value in (("foo", 1), ("bar", 2)):
        manager.values.write(AssetAddress.of(["vendor"], key), value)
    job = dg.Definitions(
        assets, jobs=[dg.define_asset_job("everything")], resources={"io_manager": manager}
    ).resolve_job_def("everything")

    result = job.execute_in_process(partition_key="a")
    found = {name: result.output_for_node(name) for name in ("first", "second", "steps.double")}
    assert found == {"first": 3, "second": 4, "steps.double": 8}
    lasting = {
        "counted/partition=a/data.json": b"1",
        "first/data.json": b"3",
        "second/data.json": b"4",
        "third/data.json": b"11",
        "vendor/partition=bar/data.json": b"2",
        "vendor/partition=foo/data.json": b"1",
    }

    def of_run(run_id: str) -> dict[str, bytes]:
        return {f".runs/{run_id}/steps%2Edouble/result/data.json": b"8"}

    def stored() -> dict[str, bytes]:
        return {key: raw(manager, key) for key in keys(manager)}

    assert stored() == lasting | of_run(result.run_id)

    # Again: values of assets are written over, what lay between their steps stays with its run.
    again = job.execute_in_process(partition_key="a")
    lasting["counted/partition=a/data.json"] = b"2"
    assert stored() == lasting | of_run(result.run_id) | of_run(again.run_id)
    job.execute_in_process(partition_key="b")
    assert raw(manager, "counted/partition=a/data.json") == b"2"
    assert raw(manager, "counted/partition=b/data.json") == b"3"


def test_the_same_job_under_the_names_of_dagster(
    make_manager: MakeManager, assets: list[Any]
) -> None:
    manager = make_manager("dagster", layout="legacy:s3", format="pickle")
    for key, value in (("foo", 1), ("bar", 2)):
        manager.values.write(AssetAddress.of(["vendor"], key), value, format_name="pickle")
    result = run(assets, manager, partition_key="a")
    assert result.output_for_node("first") == 3
    assert keys(manager) == sorted(
        [
            *("first", "second", "third", "counted/a", "vendor/foo", "vendor/bar"),
            f"storage/{result.run_id}/steps.double/result",
        ]
    )


def test_the_place_can_be_given_when_the_run_is_launched(make_manager: MakeManager) -> None:
    """What the stock managers call ``s3_bucket`` or ``base_dir`` in the configuration of a run."""
    ready = make_manager("late")

    @dg.asset
    def made() -> int:
        return 1

    late = type(ready).configure_at_launch()
    given = {
        name: value
        for name, value in ready._convert_to_config_dictionary().items()
        if value is not None
    }
    config = {"resources": {"io_manager": {"config": given}}}
    result = run([made], late, run_config=config)
    assert result.success
    assert keys(make_manager()) == ["late/made/data.json"]
    assert load(ready, made) == 1


def test_a_place_in_the_environment_is_read_when_the_run_is_launched(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def made() -> int:
        return 1

    manager = make_manager(prefix=dg.EnvVar("IT_PREFIX"))
    monkeypatch.setenv("IT_PREFIX", "from/outside")
    run([made], manager)
    assert keys(make_manager()) == ["from/outside/made/data.json"]


def test_what_is_missing_is_a_file_not_found_error(manager: BucketIOManager) -> None:
    letters = keyed("letters", LETTERS)
    partition: dict[str, Any] = {"into": LETTERS, "partition_key": "a"}
    cases: list[tuple[Any, dict[str, Any]]] = [
        (dg.AssetSpec("whole"), {}),
        (letters, partition),
    ]
    for asset, how in cases:
        with pytest.raises(FileNotFoundError, match="nothing is stored") as caught:
            load(manager, asset, **how)
        assert isinstance(caught.value, ObjectNotFoundError)
        assert store_of(manager).uri(asset.key.path[0]) in str(caught.value)
    # A name that another begins with does not exist because the other does.
    write(manager, letters, "a")
    longer = keyed("letters", dg.StaticPartitionsDefinition(["a", "a2", "aa"]))
    for key in ("a2", "aa"):
        with pytest.raises(FileNotFoundError, match=f"partition '{key}'"):
            load(manager, longer, into=longer.partitions_def, partition_key=key)


def test_missing_partitions_can_be_left_out(manager: BucketIOManager) -> None:
    vendor = keyed("vendor", VENDORS)
    write(manager, vendor, "foo")
    metadata = {"allow_missing_partitions": True}
    for upstream in (vendor, dg.AssetSpec("vendor", partitions_def=VENDORS)):
        found = load_pairs(manager, upstream, by=dg.AllPartitionMapping(), metadata=metadata)
        assert found == [("foo", "vendor foo")]


def test_the_newest_value_counts_whatever_its_format(memory: MemoryIOManager) -> None:
    now: list[Any] = []

    @dg.asset(partitions_def=LETTERS)
    def changing() -> Any:
        return now[-1]

    endings = []
    for value in ({"n": 1}, "text", {"n": 2}):
        now.append(value)
        (result,) = write(memory, changing, "a")
        (event,) = materialized(result)
        endings.append(event.metadata["dagster/uri"].rpartition(".")[2])
        assert load(memory, changing, into=LETTERS, partition_key="a") == value
    assert endings == ["json", "txt", "json"]
