"""Settings by the names of environment variables, numbers among them: known in a run only."""

import traceback

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, MemoryIOManager
from dagster_buckets_gcs import GCSIOManager
from dagster_buckets_local import LocalIOManager
from dagster_buckets_s3 import S3IOManager


@dg.asset
def numbers() -> list[int]:
    return [1, 2]


@dg.asset
def total(numbers: list[int]) -> int:
    return sum(numbers)


def test_numbers_from_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Looking(MemoryIOManager):
        def make_store(self):  # type: ignore[no-untyped-def]
            seen.append((self.max_concurrency, self.max_decoded_bytes, self.prefix))
            return super().make_store()

    manager = Looking(
        max_concurrency=dg.EnvVar.int("THREADS"),
        max_decoded_bytes=dg.EnvVar.int("MOST"),
        prefix=dg.EnvVar("PREFIX"),
    )
    monkeypatch.setenv("THREADS", "3")
    monkeypatch.setenv("MOST", "100000")
    monkeypatch.setenv("PREFIX", "prod")
    assert dg.materialize([numbers, total], resources={"io_manager": manager}).success
    assert set(seen) == {(3, 100_000, "prod")}


@pytest.mark.parametrize(
    "manager",
    [
        MemoryIOManager(max_concurrency=dg.EnvVar.int("THREADS")),
        LocalIOManager(root="/nowhere", max_concurrency=dg.EnvVar.int("THREADS")),
        S3IOManager(bucket="lake", max_attempts=dg.EnvVar.int("THREADS")),
        GCSIOManager(bucket="lake", max_attempts=dg.EnvVar.int("THREADS")),
    ],
    ids=lambda manager: type(manager).__name__,
)
@pytest.mark.parametrize("value", ["0", "many"])
def test_numbers_that_cannot_be_are_refused_before_anything_is_written(
    manager: BucketIOManager, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THREADS", value)
    ran = []

    @dg.asset
    def runs() -> int:
        ran.append(1)
        return 1

    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([runs], resources={"io_manager": manager})
    told = "".join(traceback.format_exception(caught.value))
    assert any(word in told for word in ("max_concurrency", "max_attempts", "THREADS"))
    assert ran == []


def test_literal_numbers_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="max_concurrency"):
        MemoryIOManager(max_concurrency=0)
    with pytest.raises(ValueError, match="max_attempts"):
        S3IOManager(bucket="lake", max_attempts=0)
