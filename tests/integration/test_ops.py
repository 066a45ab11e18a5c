"""Ops: values that belong to a run, fan out and in, re-execution, processes, managers by key."""

import os
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import BucketIOManager, ConfigurationError, MemoryIOManager

from tests.integration.support import S3_KEYS, MakeManager, keys, raw


@dg.op
def one() -> int:
    return 1


@dg.op
def two() -> int:
    return 2


@dg.op
def add_all(numbers: list[int]) -> int:
    return sum(numbers)


@dg.op
def frame() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2]})


@dg.op
def rows(frame: pd.DataFrame) -> int:
    return len(frame)


@dg.op(out={"small": dg.Out(int), "big": dg.Out(pd.DataFrame)})
def sizes() -> Any:
    yield dg.Output(1, "small")
    yield dg.Output(pd.DataFrame({"n": [7]}), "big")


def test_op_outputs_lie_under_their_run_step_and_output(manager: BucketIOManager) -> None:
    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        small, big = sizes()
        add_all([small, rows(big)])

    first, second = job.execute_in_process(), job.execute_in_process()
    assert first.output_for_node("add_all") == 2
    assert first.run_id != second.run_id
    assert keys(manager) == sorted(
        f".runs/{run_id}/{rest}"
        for run_id in (first.run_id, second.run_id)
        for rest in (
            "add_all/result/data.json",
            "rows/result/data.json",
            "sizes/big/data.parquet",
            "sizes/small/data.json",
        )
    )
    assert raw(manager, f".runs/{first.run_id}/sizes/small/data.json") == b"1"


def test_fan_in_of_several_ops_keeps_their_order(memory: MemoryIOManager) -> None:
    @dg.op
    def show(numbers: list[int]) -> str:
        return repr(numbers)

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        show([two(), one(), two.alias("two_again")()])

    assert job.execute_in_process().output_for_node("show") == "[2, 1, 2]"


def test_dynamic_outputs_map_and_collect(manager: BucketIOManager) -> None:
    @dg.op(out=dg.DynamicOut(int))
    def numbers() -> Any:
        for n in (3, 1, 2):
            yield dg.DynamicOutput(n, mapping_key=f"n{n}")

    @dg.op
    def as_frame(n: int) -> pd.DataFrame:
        return pd.DataFrame({"n": [n]})

    @dg.op
    def gather(frames: list[pd.DataFrame], plain: list[int]) -> list[Any]:
        assert all(isinstance(frame, pd.DataFrame) for frame in frames)
        return [sorted(int(frame["n"][0]) for frame in frames), sorted(plain)]

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        parts = numbers()
        gather(parts.map(as_frame).collect(), parts.collect())

    result = job.execute_in_process()
    assert result.output_for_node("gather") == [[1, 2, 3], [1, 2, 3]]
    run = f".runs/{result.run_id}"
    assert keys(manager) == sorted(
        [f"{run}/gather/result/data.json"]
        + [f"{run}/numbers/result/n{n}/data.json" for n in (1, 2, 3)]
        + [f"{run}/as_frame%5Bn{n}%5D/result/data.parquet" for n in (1, 2, 3)]
    )


def test_fan_in_of_frames_gives_a_list_of_frames(memory: MemoryIOManager) -> None:
    @dg.op
    def other() -> dict[str, int]:
        return {"n": 3}

    @dg.op
    def both(parts: list[Any]) -> list[str]:
        return [type(part).__name__ for part in parts]

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        both([frame(), other()])

    assert job.execute_in_process().output_for_node("both") == ["DataFrame", "dict"]


def test_graphs_and_graph_backed_assets(memory: MemoryIOManager) -> None:
    @dg.graph
    def inner() -> Any:
        return rows(frame())

    @dg.job(resource_defs={"io_manager": memory})
    def job() -> None:
        add_all([inner(), one()])

    result = job.execute_in_process()
    assert result.output_for_node("add_all") == 3
    # The dot of a nested step cannot be taken for that of a leaf.
    assert f".runs/{result.run_id}/inner%2Erows/result/data.json" in keys(memory)

    @dg.graph_asset
    def counted() -> Any:
        return rows(frame())

    @dg.asset
    def after(counted: int) -> int:
        return counted + 1

    assets = dg.materialize([counted, after], resources={"io_manager": memory})
    assert assets.output_for_node("after") == 3
    written = [key for key in keys(memory) if result.run_id not in key]
    assert written == [
        f".runs/{assets.run_id}/counted%2Eframe/result/data.parquet",
        "after/data.json",
        "counted/data.json",
    ]


def test_each_output_and_input_can_have_its_own_manager(memory: MemoryIOManager) -> None:
    special = MemoryIOManager(format="pickle")

    @dg.op(out={"here": dg.Out(), "there": dg.Out(io_manager_key="special")})
    def produce() -> Any:
        yield dg.Output(1, "here")
        yield dg.Output({1, 2}, "there")

    @dg.op(ins={"extra": dg.In(input_manager_key="special")})
    def consume(here: int, there: Any, extra: Any) -> list[Any]:
        return [here, sorted(there), sorted(extra)]

    @dg.job(resource_defs={"io_manager": memory, "special": special})
    def job() -> None:
        here, there = produce()
        consume(here, there, extra=there)

    result = job.execute_in_process()
    assert result.output_for_node("consume") == [1, [1, 2], [1, 2]]
    assert keys(memory) == sorted(
        f".runs/{result.run_id}/{rest}/data.json" for rest in ("consume/result", "produce/here")
    )
    assert keys(special) == [f".runs/{result.run_id}/produce/there/data.pickle"]


def test_an_input_without_an_asset_or_an_output_is_refused(memory: MemoryIOManager) -> None:
    @dg.op(ins={"rates": dg.In(input_manager_key="lake")})
    def use(rates: dict[str, float]) -> float:
        return rates["eur"]

    @dg.job(resource_defs={"lake": memory})
    def job() -> None:
        use()

    with pytest.raises(ConfigurationError, match="'rates' has neither an asset key nor"):
        job.execute_in_process()


def test_managers_by_asset_job_and_with_resources(memory: MemoryIOManager) -> None:
    archive, wide = MemoryIOManager(), MemoryIOManager()

    @dg.asset(io_manager_key="archive")
    def kept() -> int:
        return 1

    @dg.asset
    def plain(kept: int) -> int:
        return kept + 1

    definitions = dg.Definitions(
        [kept, plain],
        jobs=[dg.define_asset_job("everything")],
        resources={"io_manager": memory, "archive": archive},
    )
    definitions.resolve_job_def("everything").execute_in_process()
    assert (keys(archive), keys(memory)) == (["kept/data.json"], ["plain/data.json"])

    bound = dg.with_resources([kept, plain], {"io_manager": wide, "archive": archive})
    assert dg.materialize(bound).output_for_node("plain") == 2
    assert keys(wide) == ["plain/data.json"]


OTHER_PROCESSES = pytest.mark.parametrize(
    "make_manager",
    [*(pytest.param(name, marks=pytest.mark.long) for name in ("local", "gcs")), "s3"],
    indirect=True,
)


def rebuilt(job: str, backend: str, manager: Any) -> Any:
    """A job that any process can make again from its arguments."""
    bucket = manager.root if backend == "local" else manager.bucket
    endpoint = "" if backend == "local" else manager.endpoint_url
    arguments: Any = (backend, bucket, endpoint)
    return dg.build_reconstructable_job("tests.integration.processes", job, arguments)


# Each process imports Dagster: seconds alone, a minute on a machine that is busy.
@pytest.mark.timeout(300)
@OTHER_PROCESSES
def test_steps_in_processes_of_their_own(
    make_manager: MakeManager,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IT_SECRET", S3_KEYS["aws_secret_access_key"])
    manager = make_manager()
    job = rebuilt("in_processes", make_manager.backend, manager)
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        dg.execute_job(job, instance) as result,
    ):
        assert result.success
        run = f".runs/{result.run_id}"
        assert keys(manager) == [
            f"{run}/join/result/data.txt",
            f"{run}/shout%5Bone%5D/result/data.txt",
            f"{run}/shout%5Btwo%5D/result/data.txt",
            f"{run}/split/result/one/data.parquet",
            f"{run}/split/result/two/data.parquet",
        ]
        first, last, pid = raw(manager, f"{run}/join/result/data.txt").decode().split()
        assert {first, last} == {"ONE", "TWO"}
        assert int(pid) != os.getpid()


@OTHER_PROCESSES
def test_re_execution_from_failure_reads_what_the_first_run_wrote(
    make_manager: MakeManager,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IT_SECRET", S3_KEYS["aws_secret_access_key"])
    manager = make_manager()
    job = rebuilt("failing_once", make_manager.backend, manager)
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        monkeypatch.setenv("IT_FAIL", "yes")
        with dg.execute_job(job, instance) as failed:
            assert not failed.success
            parent = failed.run_id
        monkeypatch.delenv("IT_FAIL")
        options = dg.ReexecutionOptions.from_failure(parent, instance)
        with dg.execute_job(job, instance, reexecution_options=options) as result:
            assert result.success
            assert result.output_for_node("second") == 3
            # The first step was skipped, and its value read from where its own run left it.
            assert keys(manager) == sorted(
                [
                    f".runs/{parent}/first/result/data.json",
                    f".runs/{result.run_id}/second/result/data.json",
                ]
            )
