"""The environment: settings that are given by the name of a variable, and known in a run only."""

from __future__ import annotations

from typing import Any

import dagster as dg

__all__ = ["from_environment"]

# It has no public name.
_IntEnvVar = type(dg.EnvVar.int("-"))


def from_environment(value: Any) -> bool:
    """Whether a setting, or a part of it, is an ``EnvVar``, of text or of a number.

    What it stands for is checked when Dagster makes the manager of a run.

    Example:
        >>> from_environment({"team": dg.EnvVar("TEAM")}), from_environment("TEAM")
        (True, False)
    """
    parts = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(part, (dg.EnvVar, _IntEnvVar)) for part in parts)
