"""Which format a load reads, and how many requests it takes to know."""

import time
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import BucketIOManager, ConfigurationError, MemoryIOManager, MemoryStore

from tests.integration.support import CountingIOManager, MakeManager, keys, plant, run, store_of

LETTERS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset
def table() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2]})


@dg.asset
def rows(table: pd.DataFrame) -> int:
    return len(table)


def test_a_write_is_one_put_and_a_load_in_the_same_run_one_get(
    counting: CountingIOManager,
) -> None:
    run([table, rows], counting)
    assert counting.calls.take() == [
        ("put", "table/data.parquet"),
        ("get", "table/data.parquet"),
        ("put", "rows/data.json"),
    ]


def test_nothing_is_asked_when_a_manager_is_made(counting: CountingIOManager) -> None:
    dg.Definitions([table, rows], resources={"io_manager": counting}).resolve_all_job_defs()
    assert store_of(counting) is not None
    assert counting.calls.take() == []


def test_another_run_lists_the_folder_once(counting: CountingIOManager) -> None:
    run([table], counting)
    counting.calls.take()
    run([table, rows], counting, selection=[rows])
    assert counting.calls.take() == [
        ("scan", "table/data."),
        ("get", "table/data.parquet"),
        ("put", "rows/data.json"),
    ]


@pytest.mark.parametrize("where", ["asset", "input", "manager"])
def test_a_named_format_needs_no_listing(where: str) -> None:
    counting = CountingIOManager(format="arrow" if where == "manager" else "auto")
    named = {"dagster_buckets/format": "arrow"}

    @dg.asset(metadata=named if where != "manager" else {})
    def frame() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    spec = dg.AssetSpec("frame")
    upstream = frame if where == "asset" else spec

    @dg.asset(
        ins={"frame": dg.AssetIn(metadata=named if where == "input" else {})},
        metadata={"dagster_buckets/format": "text"},
    )
    def after(frame: pd.DataFrame) -> str:
        return str(len(frame))

    run([frame], counting)
    assert counting.calls.take() == [("put", "frame/data.arrow")]
    result = run([upstream, after], counting, selection=[after])
    assert result.output_for_node("after") == "1"
    assert counting.calls.take()[:1] == [("get", "frame/data.arrow")]
    assert len(keys(counting)) == 2


def test_partitions_of_another_run_are_found_by_one_listing(
    counting: CountingIOManager,
) -> None:
    @dg.asset(partitions_def=LETTERS)
    def parts() -> int:
        return 1

    @dg.asset
    def total(parts: dict[str, int]) -> int:
        return sum(parts.values())

    for key in "ab":
        run([parts], counting, partition_key=key)
    counting.calls.take()
    run([parts, total], counting, selection=[total])
    first, *gets, last = counting.calls.take()
    assert first == ("scan", "parts/partition=")
    assert sorted(gets) == [("get", f"parts/partition={key}/data.json") for key in "ab"]
    assert last == ("put", "total/data.json")


def test_partitions_of_other_runs_are_not_judged_by_an_annotation(
    memory: MemoryIOManager,
) -> None:
    @dg.asset(name="parts", partitions_def=LETTERS)
    def before() -> dict[str, int]:
        return {"old": 1}

    @dg.asset(name="parts", partitions_def=LETTERS)
    def parts() -> str:
        return "new"

    @dg.asset(
        partitions_def=LETTERS,
        ins={"parts": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
    )
    def seen(parts: dict[str, Any]) -> list[Any]:
        return list(parts.values())

    run([before], memory, partition_key="a")
    # One of the two is of this run, and is text; what the other is tells the listing alone.
    result = run([parts, seen], memory, partition_key="b")
    assert result.output_for_node("seen") == [{"old": 1}, "new"]


def test_the_newest_format_wins(manager: BucketIOManager) -> None:
    @dg.asset(name="value")
    def as_text() -> str:
        return "old"

    @dg.asset(name="value")
    def value() -> dict[str, int]:
        return {"new": 1}

    @dg.asset
    def seen(value: Any) -> Any:
        return value

    run([as_text], manager)
    wait_for_another_second(manager)
    run([value], manager)
    assert keys(manager) == ["value/data.json", "value/data.txt"]
    result = run([value, seen], manager, selection=[seen])
    assert result.output_for_node("seen") == {"new": 1}


def wait_for_another_second(manager: BucketIOManager) -> None:
    """S3's clock, as moto keeps it, counts in seconds; the others' are finer."""
    if store_of(manager).uri("x").startswith("s3://"):
        time.sleep(1.1)


def test_two_formats_of_the_same_second_are_an_error_that_names_both(
    memory: MemoryIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(memory, "value/data.json", b"1")
    plant(memory, "value/data.txt", b"1")
    scan = MemoryStore.scan

    def coarse(self: MemoryStore, prefix: str = "") -> Any:
        for info in scan(self, prefix):
            moment = info.modified.replace(year=2024, minute=0, second=0, microsecond=0)
            yield type(info)(info.key, info.uri, info.size, info.etag, moment)

    monkeypatch.setattr(MemoryStore, "scan", coarse)

    @dg.asset
    def seen(value: Any) -> Any:
        return value

    with pytest.raises(ConfigurationError, match="are equally new") as caught:
        run([dg.AssetSpec("value"), seen], memory)
    for key in ("value/data.json", "value/data.txt"):
        assert store_of(memory).uri(key) in str(caught.value)
    assert "asset 'value'" in str(caught.value)


def test_an_object_that_no_format_reads_is_an_error(memory: MemoryIOManager) -> None:
    plant(memory, "value/data.xyz", b"1")

    @dg.asset
    def seen(value: Any) -> Any:
        return value

    with pytest.raises(ConfigurationError, match=r"no installed format .* reads memory://.*xyz"):
        run([dg.AssetSpec("value"), seen], memory)


def test_a_re_execution_does_not_trust_the_new_code_for_the_old_runs_value(
    memory: MemoryIOManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(returns: str) -> Any:
        arguments: Any = (memory.name, returns)
        return dg.build_reconstructable_job("tests.integration.processes", "changing", arguments)

    monkeypatch.setenv("IT_FAIL", "yes")
    with dg.execute_job(job("text"), instance) as failed:
        assert not failed.success
        parent = failed.run_id
    monkeypatch.delenv("IT_FAIL")
    # Somebody deployed code in between: the same step now says that it returns a dict.
    options = dg.ReexecutionOptions.from_failure(parent, instance)
    with dg.execute_job(job("dict"), instance, reexecution_options=options) as result:
        assert result.success
        assert result.output_for_node("second") == "written as text"


def test_a_stale_sibling_is_not_loaded_when_the_producer_changed_its_type(
    make_manager: MakeManager,
) -> None:
    manager = make_manager()
    plant(manager, "value/data.json", b'"stale"')
    wait_for_another_second(manager)

    @dg.asset
    def value() -> str:
        return "fresh"

    @dg.asset
    def seen(value: str) -> str:
        return value

    assert run([value, seen], manager).output_for_node("seen") == "fresh"
    assert run([value, seen], manager, selection=[seen]).output_for_node("seen") == "fresh"
