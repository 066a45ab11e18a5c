"""What is registered works, and all that is ours is registered."""

from __future__ import annotations

from typing import get_args

import pytest
from dagster_buckets.formats import Format
from dagster_buckets.layouts import Layout
from dagster_buckets.plugins import Kind, check_name, get_format, get_layout, get_store_class, names
from dagster_buckets.stores import ObjectStore

from tests.conformance.test_layouts import SPECS


def test_the_built_ins_are_registered() -> None:
    known = set(names("formats"))
    assert {"arrow", "bytes", "csv", "file", "json", "ndjson", "parquet", "text"} <= known
    assert {"cloudpickle", "npy", "npz", "pickle", "safetensors"} <= known
    assert {"hive", "legacy", "template"} <= set(names("layouts"))
    assert {"memory", "file", "s3", "gs"} <= set(names("stores"))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_name_is_claimed_once(kind: Kind) -> None:
    for name in names(kind):
        check_name(kind, name)


@pytest.mark.parametrize("name", names("formats"))
def test_formats_have_the_name_of_their_entry_point(name: str) -> None:
    assert isinstance(get_format(name), Format)
    assert get_format(name).name == name


@pytest.mark.parametrize("name", names("layouts"))
def test_layouts_have_the_name_of_their_entry_point(name: str) -> None:
    for spec in SPECS[name]:
        assert isinstance(get_layout(spec), Layout)
        assert get_layout(spec).name == name


@pytest.mark.parametrize("name", names("stores"))
def test_stores_are_classes_with_the_methods_of_a_store(name: str) -> None:
    store_class = get_store_class(name)
    for method in ("put", "get", "open", "head", "scan", "delete", "uri", "from_uri"):
        assert callable(getattr(store_class, method)), method
    assert isinstance(store_class, type)
    assert issubclass(store_class, ObjectStore)
