from __future__ import annotations

import inspect

import pytest
from dagster_buckets import errors
from dagster_buckets.errors import (
    BucketsError,
    ConfigurationError,
    FormatError,
    ObjectNotFoundError,
    PartitionError,
    StoreError,
    concerning,
)

WHAT = "what failed"

TREE: dict[str, tuple[type[Exception], ...]] = {
    "StoreError": (BucketsError,),
    "ObjectNotFoundError": (StoreError, FileNotFoundError),
    "ObjectExistsError": (StoreError, FileExistsError),
    "AccessDeniedError": (StoreError, PermissionError),
    "StoreUnavailableError": (StoreError, ConnectionError),
    "IntegrityError": (StoreError,),
    "InvalidKeyError": (StoreError, ValueError),
    "FormatError": (BucketsError,),
    "EncodeError": (FormatError,),
    "DecodeError": (FormatError,),
    "UnsupportedTypeError": (FormatError, TypeError),
    "PartitionError": (BucketsError,),
    "ConfigurationError": (BucketsError,),
    "BucketNotFoundError": (ConfigurationError, StoreError),
    "UnknownPluginError": (ConfigurationError,),
    "PluginConflictError": (ConfigurationError,),
    "MissingDependencyError": (ConfigurationError, ModuleNotFoundError),
}


@pytest.mark.parametrize("name", TREE)
def test_tree(name: str) -> None:
    assert getattr(errors, name).__bases__ == TREE[name]


def test_every_error_is_in_the_tree_and_in_the_drawing() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BucketsError)
    }
    assert found == {*TREE, "BucketsError"} == set(errors.__all__) - {"concerning"}
    for name in found:
        assert name in (errors.__doc__ or "")


def test_a_missing_bucket_is_not_a_missing_object() -> None:
    assert not issubclass(errors.BucketNotFoundError, FileNotFoundError)


@pytest.mark.parametrize("name", [*TREE, "BucketsError"])
def test_message_says_what_for_which_where_and_what_to_do(name: str) -> None:
    error = getattr(errors, name)("it failed", hint="do that")
    error.uri, error.subject = "s3://b/k", "asset 'a'"
    assert str(error) == "it failed\n  for:  asset 'a'\n  at:   s3://b/k\n  hint: do that"
    assert str(getattr(errors, name)("it failed")) == "it failed"


def test_uri_is_not_said_twice() -> None:
    error = BucketsError("there is no object s3://b/k", uri="s3://b/k")
    assert str(error).count("s3://b/k") == 1
    assert error.uri == "s3://b/k"


def test_concerning_keeps_what_is_known() -> None:
    with (
        pytest.raises(ObjectNotFoundError) as caught,
        concerning("outer", "uri://outer"),
        concerning("inner"),
    ):
        raise ObjectNotFoundError(WHAT)
    assert caught.value.subject == "inner"
    assert caught.value.uri == "uri://outer"
    with pytest.raises(ObjectNotFoundError) as caught, concerning("outer", "uri://outer"):
        raise ObjectNotFoundError(WHAT, uri="uri://own")
    assert caught.value.uri == "uri://own"


def test_concerning_leaves_other_errors_alone() -> None:
    with pytest.raises(KeyError, match=WHAT), concerning("subject"):
        raise KeyError(WHAT)


def test_partition_error_shows_every_failure() -> None:
    inner = ObjectNotFoundError("nothing here", uri="s3://b/k", hint="look there")
    error = PartitionError(
        "2 failed", failures={"a/b": inner, "c": ValueError("bad")}, succeeded=("d",), hint="retry"
    )
    assert error.failures["a/b"] is inner
    assert error.succeeded == ("d",)
    assert str(error) == (
        "2 failed\n"
        "  'a/b': nothing here\n      at:   s3://b/k\n      hint: look there\n"
        "  'c': bad\n  hint: retry"
    )


def test_all_are_caught_as_one() -> None:
    assert all(issubclass(getattr(errors, name), BucketsError) for name in TREE)
    assert issubclass(errors.UnknownPluginError, ConfigurationError)
