"""``read_from``: runs that write to a branch's store and read the rest from production."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import dagster as dg
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.types.dagster_type import resolve_dagster_type
from dagster_buckets import AssetAddress, BucketIOManager, ObjectRef, PartitionStream
from dagster_buckets.errors import (
    BucketNotFoundError,
    ConfigurationError,
    DecodeError,
    ObjectNotFoundError,
    PartitionError,
)
from dagster_buckets_local import LocalIOManager
from dagster_shared.serdes import serialize_value

from tests.integration import support
from tests.integration.support import CountingIOManager, MakeManager, keys, plant, run, snapshot

DAYS = ["d1", "d2", "d3", "d4"]
PARTITIONS = dg.StaticPartitionsDefinition(DAYS)
EVERY = dg.AssetIn(partition_mapping=dg.AllPartitionMapping())
SECRET = "canary7f3a9SECRET"


def new() -> list[Any]:
    return []


def frames(source: str) -> dg.AssetsDefinition:
    @dg.asset(name="rows", partitions_def=PARTITIONS)
    def rows(context: dg.AssetExecutionContext) -> pa.Table:
        return pa.table({"day": [context.partition_key], "source": [source]})

    return rows


def consumer(annotation: Any, taken: list[Any], name: str = "consume") -> dg.AssetsDefinition:
    def consume(rows: Any) -> None:
        taken.append(rows)

    consume.__annotations__["rows"] = annotation
    return dg.asset(name=name, ins={"rows": EVERY})(consume)


def write(manager: BucketIOManager, source: str, days: list[str]) -> None:
    for day in days:
        address = AssetAddress.of(["rows"], day)
        table = pa.table({"day": [day], "source": [source]})
        manager.values.write(address, table, format_name=manager.format)


def load(manager: BucketIOManager, annotation: Any, **metadata: Any) -> Any:
    """What an input of all partitions gets, by a context without a run."""
    given = dg.build_input_context(
        asset_key="rows",
        dagster_type=resolve_dagster_type(annotation),
        asset_partitions_def=PARTITIONS,
        asset_partition_key_range=dg.PartitionKeyRange(DAYS[0], DAYS[-1]),
        definition_metadata=metadata,
    )
    with given as context:
        return manager.load_input(context)


def loaded_inputs(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    """What loads say of where values came from."""
    return [
        {
            name: value.value
            for name, value in event.event_specific_data.metadata.items()  # type: ignore[union-attr]
            if name in {"dagster_buckets/read_from", "dagster_buckets/missing_partitions"}
        }
        for event in result.all_events
        if event.event_type_value == "LOADED_INPUT"
    ]


@pytest.fixture(params=["local", "s3"])
def make(request: pytest.FixtureRequest) -> MakeManager:
    found: MakeManager = getattr(support, f"{request.param}_backend")(request)
    return found


@pytest.fixture
def pair(make: MakeManager) -> tuple[BucketIOManager, BucketIOManager]:
    """A branch that has computed d2 and d3 again, and the production that it reads from."""
    production = make("prod")
    branch = make("branches/pr-7", read_from=production)
    write(production, "production", ["d1", "d2", "d4"])
    write(branch, "branch", ["d2", "d3"])
    return branch, production


@pytest.fixture
def local(tmp_path: Path) -> Callable[..., BucketIOManager]:
    def make_local(name: str, **settings: Any) -> BucketIOManager:
        return LocalIOManager(root=str(tmp_path / name), **settings)

    return make_local


ON_DISK = pytest.mark.parametrize("make", ["local"], indirect=True)
EXPECTED = ["production", "branch", "branch", "production"]


def _polars(frame: Any) -> list[str]:
    found: list[str] = frame["source"].to_list()
    return found


def _arrow(table: Any) -> list[str]:
    found: list[str] = table["source"].to_pylist()
    return found


SHAPES: dict[str, tuple[Any, Callable[[Any], list[str]]]] = {
    "pandas": (pd.DataFrame, lambda frame: list(frame["source"])),
    "polars": (pl.DataFrame, _polars),
    "arrow": (pa.Table, _arrow),
    "LazyFrame": (pl.LazyFrame, lambda frame: _polars(frame.collect())),
    "Dataset": (ds.Dataset, lambda found: _arrow(found.to_table())),
    "relation": (
        duckdb.DuckDBPyRelation,
        lambda found: [row[0] for row in found.order("day").project("source").fetchall()],
    ),
    "batches": (pa.RecordBatchReader, lambda found: _arrow(found.read_all())),
    "dict": (dict[str, pa.Table], lambda found: [s for t in found.values() for s in _arrow(t)]),
    "list": (list[pa.Table], lambda found: [s for table in found for s in _arrow(table)]),
    "untyped": (Any, lambda found: [s for table in found.values() for s in _arrow(table)]),
    "stream": (PartitionStream[pa.Table], lambda found: [s for _, t in found for s in _arrow(t)]),
    "references": (
        dict[str, ObjectRef],
        lambda found: ["branch" if "pr-7" in ref.uri else "production" for ref in found.values()],
    ),
    "lazy dict": (
        dict[str, pl.LazyFrame],
        lambda found: [s for frame in found.values() for s in _polars(frame.collect())],
    ),
}


def test_each_partition_comes_from_the_first_that_has_it(
    pair: tuple[BucketIOManager, BucketIOManager],
) -> None:
    branch, production = pair
    before = snapshot(production)
    taken: dict[str, list[Any]] = {name: [] for name in SHAPES}
    consumers = [
        consumer(annotation, taken[name], f"consume_{number}")
        for number, (name, (annotation, _)) in enumerate(SHAPES.items())
    ]
    result = run([frames("nobody"), *consumers], branch, selection=consumers)
    for name, (_, sources) in SHAPES.items():
        assert sources(taken[name][0]) == EXPECTED, name
    counts = [list(told["dagster_buckets/read_from"].values()) for told in loaded_inputs(result)]
    assert counts == [[2, 2]] * len(SHAPES)
    # And what the branch computes goes to the branch.
    run([frames("branch")], branch, partition_key="d4")
    assert snapshot(production) == before
    assert keys(branch) == [f"rows/partition={day}/data.parquet" for day in ("d2", "d3", "d4")]


@ON_DISK
def test_columns_of_partitions_and_projections_span_both(
    pair: tuple[BucketIOManager, BucketIOManager],
) -> None:
    options = {"dagster_buckets/partition_columns": True, "dagster_buckets/columns": ["source"]}
    expected = [{"source": s, "partition": d} for s, d in zip(EXPECTED, DAYS, strict=True)]
    assert load(pair[0], pa.Table, **options).to_pylist() == expected
    assert load(pair[0], pl.LazyFrame, **options).collect().to_dicts() == expected
    assert load(pair[0], pa.RecordBatchReader, **options).read_all().to_pylist() == expected


def test_the_input_tells_how_many_came_from_where(make: MakeManager) -> None:
    production = make("prod")
    branch = make("branch", read_from=production)
    write(production, "production", DAYS)
    write(branch, "branch", ["d4"])
    asset = consumer(dict[str, pa.Table], [])
    result = run([frames(""), asset], branch, selection=[asset])
    bases = {f"{make.scheme}/branch/": 1, f"{make.scheme}/prod/": 3}
    assert loaded_inputs(result) == [{"dagster_buckets/read_from": bases}]
    result = run([frames(""), asset], production, selection=[asset])
    assert loaded_inputs(result) == [{}]


def test_each_manager_reads_with_its_own_settings(
    local: Callable[..., BucketIOManager],
) -> None:
    production = local("old", prefix="dagster", layout="legacy:filesystem", format="pickle")
    branch = local("branch", read_from=production, format="json")

    def put(manager: BucketIOManager, source: str, days: list[str]) -> None:
        for day in days:
            address = AssetAddress.of(["rows"], day)
            manager.values.write(address, {day: source}, format_name=manager.format)

    put(production, "old", DAYS)
    put(branch, "new", ["d2"])
    assert keys(production) == [f"rows/{day}" for day in DAYS]
    assert load(branch, dict[str, dict]) == {  # type: ignore[type-arg]
        "d1": {"d1": "old"}, "d2": {"d2": "new"}, "d3": {"d3": "old"}, "d4": {"d4": "old"},
    }  # fmt: skip
    # The permission to run what production has pickled is production's: the branch has none.
    pickles = {"layout": "legacy:filesystem"}
    put(local("pickles", format="pickle", **pickles), "trusted", DAYS)
    trusting = local("empty", read_from=local("pickles", allow_pickle=True, **pickles))
    assert load(trusting, Any)["d1"] == {"d1": "trusted"}
    distrusting = local("empty", read_from=local("pickles", **pickles), allow_pickle=True)
    with pytest.raises(ConfigurationError, match="runs code"):
        load(distrusting, Any)


def test_frames_join_across_formats(local: Callable[..., BucketIOManager]) -> None:
    production = local("prod", format="arrow")
    branch = local("branch", read_from=production, format="parquet")
    write(production, "production", DAYS)
    write(branch, "branch", ["d2", "d3"])
    for annotation in (pa.Table, pl.DataFrame, pd.DataFrame):
        found = pa.table(load(branch, annotation, **{"dagster_buckets/partition_columns": True}))
        assert found["partition"].to_pylist() == DAYS
        assert _arrow(found) == EXPECTED
    assert _arrow(load(branch, pa.RecordBatchReader).read_all()) == EXPECTED
    with pytest.raises(PartitionError, match="different formats: arrow, parquet"):
        load(branch, pl.LazyFrame)


@pytest.mark.parametrize("annotation", [dict[str, pa.Table], pa.Table, pl.LazyFrame])
def test_limits_are_those_of_the_manager_that_has_it(
    local: Callable[..., BucketIOManager], annotation: Any
) -> None:
    write(local("prod"), "production" * 5000, DAYS)
    write(local("branch"), "branch", ["d1"])
    strict = local("branch", read_from=local("prod", max_decoded_bytes=10_000))
    with pytest.raises((PartitionError, DecodeError), match="memory"):
        load(strict, annotation)
    if annotation is not pl.LazyFrame:  # a scan keeps the limits of all
        generous = local("branch", read_from=local("prod"), max_decoded_bytes=10_000)
        load(generous, annotation)


def test_three_in_a_chain_with_settings_from_the_environment(
    make: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING_PREFIX", "staging")
    monkeypatch.setenv("PRODUCTION_PREFIX", "prod")
    monkeypatch.setenv("PICKLE_KEY", f"k1:{SECRET}")
    key = dg.EnvVar("PICKLE_KEY")
    production = make(dg.EnvVar("PRODUCTION_PREFIX"), pickle_key=key)
    staging = make(dg.EnvVar("STAGING_PREFIX"), read_from=production)
    branch = make("branch", read_from=staging)
    write(make("prod"), "production", DAYS)
    write(make("staging"), "staging", ["d2", "d3"])
    write(make("branch"), "branch", ["d3"])
    asset = consumer(pl.DataFrame, taken := new())
    result = run([frames(""), asset], branch, selection=[asset])
    assert _polars(taken[0]) == ["production", "staging", "branch", "production"]
    counts = {
        f"{make.scheme}/{name}/": n for name, n in [("branch", 1), ("staging", 1), ("prod", 2)]
    }
    assert loaded_inputs(result) == [{"dagster_buckets/read_from": counts}]
    assert {path.partition("/")[0] for path in snapshot(make())} == {"branch", "staging", "prod"}
    shown = repr(branch)
    definitions = dg.Definitions(assets=[frames("")], resources={"io_manager": branch})
    shown += serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert SECRET not in repr(branch)
    assert f"k1:{SECRET}" not in shown
    assert "PICKLE_KEY" not in repr(branch)
    assert "PRODUCTION_PREFIX" in shown


def test_secrets_of_production_stay_out_of_errors(
    local: Callable[..., BucketIOManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICKLE_KEY", f"k1:{SECRET}")
    production = local("prod", pickle_key=dg.EnvVar("PICKLE_KEY"))
    branch = local("branch", read_from=production)
    write(local("prod"), "production", DAYS)

    def quoting(*_: Any) -> Any:
        msg = f"the server says {SECRET}"
        raise ValueError(msg)

    monkeypatch.setattr("dagster_buckets_local.store.LocalStore.get", quoting)
    asset = consumer(pa.Table, [])
    with pytest.raises(PartitionError) as caught:
        run([frames(""), asset], branch, selection=[asset])
    assert SECRET not in "".join(map(str, caught.value.failures.values()))
    assert "***" in "".join(map(str, caught.value.failures.values()))


def test_missing_is_what_no_manager_has(local: Callable[..., BucketIOManager]) -> None:
    production = local("prod", on_missing="skip")
    branch = local("branch", read_from=production)
    write(production, "production", ["d1"])
    write(branch, "branch", ["d3"])
    with pytest.raises(PartitionError, match="2 of 4") as caught:
        load(branch, pa.Table)
    (error, _) = caught.value.failures.values()
    assert isinstance(error, ObjectNotFoundError)
    assert "/prod/rows/partition=d2/" in str(error)
    assert "/branch/rows/partition=d2/" in str(error)
    skip = {"dagster_buckets/on_missing": "skip"}
    assert _arrow(load(branch, pa.Table, **skip)) == ["production", "branch"]
    assert [key for key, _ in load(branch, PartitionStream[pa.Table], **skip)] == ["d1", "d3"]
    none = load(branch, dict[str, pa.Table], **{"dagster_buckets/on_missing": "none"})
    assert [none[day] is None for day in DAYS] == [False, True, False, True]
    named = local("branch", read_from=local("prod", format="parquet"), format="parquet")
    assert _arrow(load(named, pa.Table, **skip)) == ["production", "branch"]
    with pytest.raises(PartitionError) as caught:
        load(named, pa.Table)
    assert "/branch/rows/partition=d2/" in str(next(iter(caught.value.failures.values())))


def test_an_optional_value_that_no_manager_has_is_none(
    local: Callable[..., BucketIOManager],
) -> None:
    branch = local("branch", read_from=local("prod"))

    @dg.asset
    def total() -> int:
        return 1

    @dg.asset
    def seen(total: Optional[int]) -> str:  # noqa: UP045
        return str(total)

    def value() -> Any:
        return run([total, seen], branch, selection=[seen]).asset_value("seen")

    assert value() == "None"
    run([total], local("prod"))
    assert value() == "1"


def test_a_none_in_the_branch_is_a_value(
    local: Callable[..., BucketIOManager], instance: dg.DagsterInstance
) -> None:
    production = local("prod")
    branch = local("branch", read_from=production)

    def total(result: int | None) -> dg.AssetsDefinition:
        @dg.asset(name="total")
        def made() -> Optional[int]:  # noqa: UP045
            return result

        return made

    run([total(1)], production)
    run([total(None)], branch)
    definitions = dg.Definitions(assets=[total(1)], resources={"io_manager": branch})
    assert definitions.load_asset_value("total", instance=instance) is None


def test_errors_of_the_branch_are_raised(local: Callable[..., BucketIOManager]) -> None:
    production = local("prod")
    branch = local("branch", read_from=production)
    write(production, "production", DAYS)
    plant(branch, "rows/partition=d2/data.parquet", b"not Parquet")
    with pytest.raises(PartitionError, match="1 of 4") as caught:
        load(branch, dict[str, pa.Table])
    assert list(caught.value.failures) == ["d2"]
    assert isinstance(caught.value.failures["d2"], DecodeError)


def test_a_value_in_another_format_is_there(local: Callable[..., BucketIOManager]) -> None:
    production = local("prod", format="parquet")
    write(production, "production", DAYS)
    write(local("branch", format="arrow"), "branch", ["d2"])
    branch = local("branch", read_from=production, format="parquet")
    with pytest.raises(PartitionError) as caught:
        load(branch, dict[str, pa.Table])
    assert list(caught.value.failures) == ["d2"]
    assert "data.arrow" in str(caught.value.failures["d2"])


@pytest.mark.parametrize("named", [{}, {"format": "parquet"}], ids=["auto", "named"])
def test_a_bucket_that_is_not_there_hides_nothing(
    request: pytest.FixtureRequest, named: dict[str, Any]
) -> None:
    make = support.s3_backend(request)
    write(make("prod"), "production", DAYS)
    branch = make(bucket="it-no-such-bucket", read_from=make("prod"), **named)
    for metadata in ({}, {"dagster_buckets/on_missing": "skip"}):
        with pytest.raises(BucketNotFoundError):
            load(branch, pa.Table, **metadata)


def counted(format: str) -> tuple[CountingIOManager, CountingIOManager]:  # noqa: A002
    production = CountingIOManager(format=format)
    return CountingIOManager(format=format, read_from=production), production


def verbs(manager: CountingIOManager) -> Counter[str]:
    return Counter(verb for verb, _ in manager.calls.take())


def test_requests_when_the_formats_are_named() -> None:
    branch, production = counted("parquet")
    write(production, "production", DAYS)
    write(branch, "branch", ["d2"])
    verbs(branch), verbs(production)
    load(branch, pa.Table)
    assert verbs(branch) == {"scan": 2, "get": 1}
    assert verbs(production) == {"get": 3}
    write(branch, "branch", DAYS)
    verbs(branch)
    load(branch, pa.Table)
    assert verbs(branch) == {"scan": 1, "get": 4}
    assert verbs(production) == {}


def test_requests_when_the_formats_are_found() -> None:
    branch, production = counted("auto")
    write(production, "production", DAYS)
    write(branch, "branch", ["d2"])
    verbs(branch), verbs(production)
    load(branch, pa.Table)
    assert verbs(branch) == {"scan": 2, "get": 1}
    assert verbs(production) == {"scan": 1, "get": 3}


@pytest.mark.parametrize("format", ["auto", "parquet"])
def test_what_a_run_has_written_is_one_request(format: str) -> None:  # noqa: A002
    branch, production = counted(format)
    run([frames("production")], production, partition_key="d1")
    verbs(production)

    @dg.asset(partitions_def=PARTITIONS)
    def after(rows: pa.Table) -> None:
        assert _arrow(rows) == ["branch"]

    run([frames("branch"), after], branch, partition_key="d1")
    assert verbs(branch) == {"put": 1, "get": 1}
    assert verbs(production) == {}

    @dg.asset(name="after", partitions_def=PARTITIONS)
    def later(rows: pa.Table) -> None:
        assert _arrow(rows) == ["production"]

    empty = CountingIOManager(format=format, read_from=production)
    run([frames("branch"), later], empty, partition_key="d1", selection=[later])
    assert verbs(empty) == {"scan": 2}


@ON_DISK
def test_values_outside_of_runs_and_checks(
    pair: tuple[BucketIOManager, BucketIOManager], instance: dg.DagsterInstance
) -> None:
    branch, _ = pair
    rows = frames("nobody")
    definitions = dg.Definitions(assets=[rows], resources={"io_manager": branch})
    for day, source in zip(DAYS, EXPECTED, strict=True):
        table = definitions.load_asset_value(
            "rows", partition_key=day, python_type=pa.Table, instance=instance
        )
        assert _arrow(table) == [source]

    @dg.asset_check(asset=rows)
    def of_branch(rows: dict[str, pa.Table]) -> dg.AssetCheckResult:
        found = {day: _arrow(table)[0] for day, table in rows.items()}
        return dg.AssetCheckResult(passed=True, metadata={"found": found})

    job = dg.define_asset_job("check", selection=dg.AssetSelection.checks(of_branch))
    definitions = dg.Definitions(
        assets=[rows], asset_checks=[of_branch], jobs=[job], resources={"io_manager": branch}
    )
    result = definitions.resolve_job_def("check").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.metadata["found"].value == dict(zip(DAYS, EXPECTED, strict=True))


@ON_DISK
def test_uris_for_writers_and_for_readers(pair: tuple[BucketIOManager, BucketIOManager]) -> None:
    branch, production = pair
    uris = [branch.stored_uri_for("rows", day) for day in DAYS]
    assert uris == [
        {"branch": branch, "production": production}[source].uri_for("rows", day, format="parquet")
        for source, day in zip(EXPECTED, DAYS, strict=True)
    ]
    # What may write there never gets a URI of production.
    assert branch.uri_for("rows", "d1", format="parquet").startswith(
        branch.uri_for("rows", "d2").partition("/rows/")[0]
    )
    with pytest.raises(ObjectNotFoundError):
        branch.uri_for("rows", "d1")
    with pytest.raises(ObjectNotFoundError, match="pr-7"):
        branch.stored_uri_for("nothing")


def test_paths_and_outputs_of_ops(
    local: Callable[..., BucketIOManager], tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    production = local("prod")
    branch = local("branch", read_from=production)
    given = tmp_path / "given.bin"

    @dg.asset(partitions_def=PARTITIONS)
    def files(context: dg.AssetExecutionContext) -> Path:
        given.write_bytes(context.partition_key.encode())
        return given

    @dg.asset(ins={"files": EVERY})
    def sizes(files: dict[str, Path]) -> dict[str, str]:
        return {day: path.read_text() for day, path in files.items()}

    for manager, days in ((production, ["d1", "d2", "d3"]), (branch, ["d4"])):
        for day in days:
            run([files], manager, partition_key=day)
    found = run([files, sizes], branch, selection=[sizes]).asset_value("sizes")
    assert found == {day: day for day in DAYS}

    @dg.op
    def one() -> int:
        return 1

    @dg.op
    def more(number: int) -> int:
        return number + 1

    @dg.job(resource_defs={"io_manager": branch})
    def ops() -> None:
        more(one())

    assert ops.execute_in_process(instance=instance).output_for_node("more") == 2


def test_a_manager_cannot_read_from_what_it_writes_to(
    local: Callable[..., BucketIOManager],
) -> None:
    production = local("lake")
    careless = local("lake", read_from=local("other", read_from=local("lake")))
    with pytest.raises(ConfigurationError, match="read_from leads to"):
        write(careless, "branch", ["d1"])
    assert keys(production) == []
    # Another layout has other keys: that is how a bucket changes its layout.
    write(local("lake", layout="legacy:filesystem", format="pickle"), "old", ["d1", "d2"])
    legacy = local("lake", layout="legacy:filesystem", format="pickle")
    moving = local("lake", read_from=legacy)
    write(moving, "new", ["d2"])
    found = load(moving, dict[str, pa.Table], **{"dagster_buckets/on_missing": "skip"})
    assert {day: _arrow(table) for day, table in found.items()} == {"d1": ["old"], "d2": ["new"]}


def test_each_manager_has_a_cache_of_its_own(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    make = support.s3_backend(request)
    write(make("prod"), "production", DAYS)
    write(make("branch"), "branch", ["d1"])
    here, there = tmp_path / "here", tmp_path / "there"
    branch = make("branch", cache=str(here), read_from=make("prod", cache=str(there)))
    for _ in range(2):
        assert len(load(branch, dict[str, pa.Table])) == 4
    kept = [len([p for p in folder.rglob("*") if p.is_file()]) for folder in (here, there)]
    assert kept == [1, 3]
    assert branch.values.store is not production_store(branch)


def production_store(branch: BucketIOManager) -> Any:
    assert branch.read_from is not None
    return branch.read_from.values.store


@ON_DISK
def test_what_is_deleted_in_the_branch_comes_from_production_again(
    pair: tuple[BucketIOManager, BucketIOManager],
) -> None:
    branch, _ = pair
    branch.values.store.delete(["rows/partition=d2/data.parquet"])
    assert _arrow(load(branch, pa.Table)) == ["production", "production", "branch", "production"]


def test_settings_of_unknown_kinds_are_refused() -> None:
    with pytest.raises(Exception, match="read_from"):
        CountingIOManager(read_from="s3://lake")  # type: ignore[arg-type]
    assert json.loads(CountingIOManager().model_dump_json(include={"read_from"})) == {
        "read_from": None
    }
