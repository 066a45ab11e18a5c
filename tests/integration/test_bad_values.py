"""Bad values: what cannot be written or read has its own error and leaves the store as it was."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets import (
    BucketIOManager,
    BucketsError,
    DecodeError,
    EncodeError,
    MemoryIOManager,
    ObjectNotFoundError,
    UnsupportedTypeError,
)

from tests.integration.partitioned import KEY, LETTERS, assert_says, load, parts, seen, write
from tests.integration.support import keys, plant, run, snapshot, store_of


class Unknown:
    """A class that no format claims."""


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (Unknown(), UnsupportedTypeError, "finds no format for"),
        ({"when": {1, 2}}, EncodeError, "JSON cannot hold $.when"),
        ({1: 2}, EncodeError, "JSON keys are strings"),
        (pd.DataFrame({"mixed": [1, "x"]}), EncodeError, "Arrow cannot hold"),
    ],
    ids=["class", "set", "key", "column"],
)
def test_a_value_that_no_format_accepts(
    manager: BucketIOManager, value: Any, error: type[BucketsError], message: str
) -> None:
    write(manager)
    before = snapshot(manager)

    @dg.asset(name="parts", partitions_def=LETTERS)
    def wrong() -> Any:
        return value

    with pytest.raises(error) as caught:
        write(manager, wrong)
    assert_says(caught.value, message, uri=store_of(manager).uri("parts/partition=a/data."))
    assert snapshot(manager) == before


@pytest.mark.parametrize(
    ("extension", "data"),
    [
        ("parquet", b"PAR1 not really"),
        ("json", b'{"half": '),
        ("txt", b"\xff\xfe"),
        ("arrow", b"?"),
    ],
)
def test_an_object_that_does_not_decode(
    manager: BucketIOManager, extension: str, data: bytes
) -> None:
    key = f"parts/partition=a/data.{extension}"
    plant(manager, key, data)
    with pytest.raises(DecodeError) as caught:
        load(manager)
    assert_says(caught.value, uri=store_of(manager).uri(key))
    assert snapshot(manager) == {key: data}


def test_a_value_of_another_type_than_the_consumer_asks_for(manager: BucketIOManager) -> None:
    plant(manager, KEY, b"[1]")

    @dg.asset(partitions_def=LETTERS)
    def wants(parts: int) -> int:
        return parts

    with pytest.raises(
        UnsupportedTypeError, match=r"holds builtins\.list, not builtins\.int"
    ) as caught:
        load(manager, wants)
    assert_says(caught.value, uri=store_of(manager).uri(KEY))
    assert snapshot(manager) == {KEY: b"[1]"}


def test_an_asset_that_was_never_stored(manager: BucketIOManager) -> None:
    plant(manager, "parts/partition=b/data.json", b"1")
    with pytest.raises(ObjectNotFoundError, match="nothing is stored for") as caught:
        load(manager)
    assert isinstance(caught.value, FileNotFoundError)
    uri = store_of(manager).uri("parts/partition=a/data.")
    assert_says(caught.value, "materialize it first", uri=uri)
    assert keys(manager) == ["parts/partition=b/data.json"]


def test_dagster_reports_our_error_as_the_cause_of_its_own(
    memory: MemoryIOManager, instance: dg.DagsterInstance
) -> None:
    result = run(
        [parts, seen],
        memory,
        selection=[seen],
        partition_key="a",
        raise_on_error=False,
        instance=instance,
    )
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.cls_name == "ObjectNotFoundError"
    assert "asset 'parts', partition 'a'" in error.cause.message
