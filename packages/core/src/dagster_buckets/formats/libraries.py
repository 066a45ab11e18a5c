"""Libraries: those that formats need and nobody has to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dagster_buckets.errors import MissingDependencyError

__all__ = ["library"]


def library(name: str, format_name: str, extra: str | None = None) -> Any:
    """The module of a library.

    Args:
        name: The module's.
        format_name: What needs it, for the error.
        extra: Of our distribution, where one brings it.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        msg = f"format {format_name!r} needs the module {missing!r}"
        wanted = missing if extra is None else f"'dagster-buckets-core[{extra}]'"
        raise MissingDependencyError(msg, hint=f"pip install {wanted}") from error
