"""Jobs at module level, which other processes can import: their settings are arguments."""

import os
from typing import Any

import dagster as dg
import pandas as pd
from dagster_buckets import BucketIOManager, MemoryIOManager


def manager_of(backend: str, bucket: str, endpoint: str) -> BucketIOManager:
    """The manager of a backend; secrets come from the environment, as they do in production."""
    if backend == "local":
        from dagster_buckets_local import LocalIOManager

        return LocalIOManager(root=bucket)
    if backend == "s3":
        from dagster_buckets_s3 import S3IOManager

        return S3IOManager(
            bucket=bucket,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=dg.EnvVar("IT_SECRET"),
        )
    from dagster_buckets_gcs import GCSIOManager

    return GCSIOManager(bucket=bucket, endpoint_url=endpoint, token="anon")


@dg.op(out=dg.DynamicOut(pd.DataFrame))
def split() -> Any:
    for name in ("one", "two"):
        yield dg.DynamicOutput(pd.DataFrame({"name": [name]}), mapping_key=name)


@dg.op
def shout(part: pd.DataFrame) -> str:
    return str(part["name"][0]).upper()


@dg.op
def join(words: list[str]) -> str:
    # The pid tells that this step ran in a process of its own.
    return f"{' '.join(words)} {os.getpid()}"


def in_processes(backend: str, bucket: str, endpoint: str) -> dg.JobDefinition:
    """Ops in processes of their own: started anew for local files, forked off for servers."""
    preload = {"preload_modules": ["dagster", "pandas", "pyarrow.parquet"]}
    start = {"spawn": {}} if backend == "local" else {"forkserver": preload}
    executor = dg.multiprocess_executor.configured({"max_concurrent": 2, "start_method": start})
    manager = manager_of(backend, bucket, endpoint)

    @dg.job(executor_def=executor, resource_defs={"io_manager": manager})
    def job() -> None:
        join(split().map(shout).collect())

    return job


@dg.op
def first() -> list[int]:
    return [1, 2]


@dg.op
def second(numbers: list[int]) -> int:
    if os.environ.get("IT_FAIL"):
        msg = "on purpose"
        raise RuntimeError(msg)
    return sum(numbers)


def failing_once(backend: str, bucket: str, endpoint: str) -> dg.JobDefinition:
    """A job whose second step fails while ``IT_FAIL`` is set."""
    manager = manager_of(backend, bucket, endpoint)

    @dg.job(executor_def=dg.in_process_executor, resource_defs={"io_manager": manager})
    def job() -> None:
        second(first())

    return job


def changing(space: str, returns: str) -> dg.JobDefinition:
    """A job of two versions: its first step returns text, or says that it returns a dict."""

    @dg.op(name="first")
    def as_text() -> str:
        return "written as text"

    @dg.op(name="first")
    def as_dict() -> dict[str, int]:
        return {"never": 0}

    @dg.op(name="second")
    def show(value: Any) -> str:
        if os.environ.get("IT_FAIL"):
            msg = "on purpose"
            raise RuntimeError(msg)
        return str(value)

    @dg.job(
        executor_def=dg.in_process_executor,
        resource_defs={"io_manager": MemoryIOManager(name=space)},
    )
    def job() -> None:
        show(as_text() if returns == "text" else as_dict())

    return job
