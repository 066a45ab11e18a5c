"""Checks: which settings of a manager cannot work, found before its store is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_buckets.choosing import Formats
from dagster_buckets.environment import from_environment
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.names import AUTO
from dagster_buckets.plugins import check_name, get_layout
from dagster_buckets.stores.base import check_prefix

__all__ = ["check_options", "check_setting"]


def check_setting(name: str, value: str | None) -> None:
    """Refuse a ``prefix``, ``layout``, ``pickle_key`` or ``format`` that cannot work.

    Raises:
        BucketsError: That is so.
    """
    if name == "prefix":
        check_prefix(value)
    elif name == "layout" and value is not None:
        get_layout(value)
    elif name == "pickle_key" and value is not None:
        SigningKeys.parse(value)
    elif value is not None and value != AUTO:
        check_name("formats", value)


def check_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse options of formats that cannot work, other than those from the environment.

    Raises:
        ConfigurationError: A format, an option or the type of its value is not known.
    """
    known = {
        name: {option: value for option, value in given.items() if not from_environment(value)}
        for name, given in options.items()
    }
    Formats(known).check()
