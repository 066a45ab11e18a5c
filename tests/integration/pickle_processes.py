"""A job with signed pickles at module level, which other processes can import."""

import os

import dagster as dg
from dagster_buckets_local import LocalIOManager


class Secretive:
    """What no format but a pickle holds."""

    def __init__(self) -> None:
        self.pid = os.getpid()


@dg.asset
def secretive() -> Secretive:
    return Secretive()


@dg.asset
def pids(secretive: Secretive) -> list[int]:
    return [secretive.pid, os.getpid()]


def in_processes(root: str) -> dg.JobDefinition:
    """Steps in processes of their own; the key comes from the environment of each."""
    manager = LocalIOManager(root=root, allow_pickle=True, pickle_key=dg.EnvVar("IT_PICKLE_KEY"))
    definitions = dg.Definitions(
        [secretive, pids],
        jobs=[dg.define_asset_job("job")],
        executor=dg.multiprocess_executor.configured(
            {"max_concurrent": 2, "start_method": {"spawn": {}}}
        ),
        resources={"io_manager": manager},
    )
    return definitions.resolve_job_def("job")
