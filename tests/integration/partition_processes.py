"""A job over partitioned assets at module level, which other processes can import."""

import os

import dagster as dg

from tests.integration.processes import manager_of

LETTERS = dg.StaticPartitionsDefinition(["c", "a", "b"])


@dg.asset(partitions_def=LETTERS)
def parts(context: dg.AssetExecutionContext) -> dict[str, str]:
    return {"key": context.partition_key, "process": str(os.getpid())}


@dg.asset
def gathered(parts: dict[str, dict[str, str]]) -> list[list[str]]:
    assert str(os.getpid()) not in {part["process"] for part in parts.values()}
    return [list(parts), [part["key"] for part in parts.values()]]


def in_processes(backend: str, bucket: str, endpoint: str) -> dg.JobDefinition:
    """Steps in processes of their own: started anew for local files, forked off for servers."""
    preload = {"preload_modules": ["dagster", "pandas", "pyarrow.parquet"]}
    start = {"spawn": {}} if backend == "local" else {"forkserver": preload}
    definitions = dg.Definitions(
        [parts, gathered],
        jobs=[dg.define_asset_job("job")],
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2, "start_method": start}),
        resources={"io_manager": manager_of(backend, bucket, endpoint)},
    )
    return definitions.resolve_job_def("job")
