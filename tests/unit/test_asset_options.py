from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl
import pyarrow.compute as pc
import pytest
from dagster_buckets import MemoryIOManager, bucket_options
from dagster_buckets.asset_options import BucketOptions
from dagster_buckets.definitions import options_of
from dagster_buckets.errors import BucketsError, ConfigurationError, UnknownPluginError
from dagster_buckets.plugins import all_options
from pydantic import ValidationError


def test_it_is_the_metadata_that_a_run_reads() -> None:
    metadata = bucket_options(
        format="parquet", compression="zstd", columns=("a", "b"), filters=[("a", ">", 1)],
        partition_columns=True, layout="legacy", on_missing="skip",
    )  # fmt: skip
    assert metadata["dagster_buckets/columns"] == ["a", "b"]
    assert options_of(metadata) == options_of(
        {
            "dagster_buckets/format": "parquet",
            "dagster_buckets/compression": "zstd",
            "dagster_buckets/columns": ["a", "b"],
            "dagster_buckets/filters": [("a", ">", 1)],
            "dagster_buckets/partition_columns": True,
            "dagster_buckets/layout": "legacy",
            "dagster_buckets/on_missing": "skip",
        }
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formta": "csv"}, "unknown metadata dagster_buckets/formta"),
        ({"format": "parkay"}, "no format 'parkay'"),
        ({"layout": "nope"}, "no layout 'nope'"),
        ({"on_missing": "maybe"}, "dagster_buckets/on_missing must be"),
        ({"format": "json", "row_group_size": 1}, "format 'json' has no option 'row_group_size'"),
        ({"format": "parquet", "row_group_size": "1"}, "cannot be '1'"),
        ({"format": "parquet", "row_group_size": 1.5}, "cannot be 1.5"),
        ({"row_group_size": "1"}, "cannot be '1'"),
        ({"format": "parquet", "compression": "zip"}, "cannot be 'zip'"),
        ({"format": "text", "compression": "snappy"}, "'snappy' is not known"),
        ({"compression": "zip"}, "'zip'"),
        ({"columns": "a"}, "cannot be 'a'"),
        ({"columns": [1]}, r"cannot be \[1\]"),
        ({"filters": "a > 1"}, "filters cannot be 'a > 1'"),
        ({"filters": [("a", "~", 1)]}, "no operator '~'"),
        ({"filters": [("a", ">")]}, "filters cannot be"),
        ({"filters": []}, "filters cannot be"),
        ({"more": {"no_such_option": 1}}, "unknown metadata dagster_buckets/no_such_option"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_work_is_refused_when_it_is_written(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        bucket_options(**options)
    assert caught.value.hint


def test_expressions_are_filters() -> None:
    for filters in (pc.field("a") > 1, pl.col("a") > 1, [[("a", "in", [1])], [("b", "=", 2)]]):
        metadata = bucket_options(filters=filters)
        assert metadata["dagster_buckets/filters"] is filters


def test_every_option_of_the_formats_here_is_typed() -> None:
    built_in = set(BucketOptions.__annotations__)
    assert all_options() <= built_in, "add the option to BucketOptions"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parquet": {"row_group_sise": 1}}, "has no option 'row_group_sise'"),
        ({"parquet": {"row_group_size": "many"}}, "cannot be 'many'"),
        ({"parkay": {}}, "no format 'parkay'"),
        ({"text": {"compression": "rar"}}, "'rar' is not known"),
        ({"text": {"columns": ["a"]}}, "has no option 'columns'"),
    ],
    ids=str,
)
def test_options_of_a_manager_are_checked_when_it_is_constructed(
    options: Any, message: str
) -> None:
    with pytest.raises((BucketsError, ValidationError), match=message):
        MemoryIOManager(format_options=options)


def test_unknown_metadata_of_assets_is_an_error_in_the_run_too() -> None:
    @dg.asset(metadata={"dagster_buckets/compresion": "zstd"})
    def wrong() -> str:
        return "x"

    with pytest.raises(ConfigurationError, match="dagster_buckets/compresion"):
        dg.materialize([wrong], resources={"io_manager": MemoryIOManager()})


def test_unknown_formats_have_their_own_error() -> None:
    with pytest.raises(UnknownPluginError):
        bucket_options(format="parkay")


@pytest.mark.parametrize("size", [0, -1])
def test_groups_have_rows(size: int) -> None:
    with pytest.raises(ConfigurationError, match="row_group_size cannot be"):
        bucket_options(row_group_size=size)


def test_columns_that_split_can_be_a_tuple() -> None:
    found = bucket_options(split_by=("a", "b"))
    assert found == {"dagster_buckets/split_by": ["a", "b"]}


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_levels_of_a_compression_that_has_none(compression: Any) -> None:
    with pytest.raises(ConfigurationError, match="has no levels"):
        bucket_options(format="parquet", compression=compression, compression_level=3)
