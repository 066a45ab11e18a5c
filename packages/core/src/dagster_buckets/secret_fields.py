"""Secret fields: which settings of a manager hold secrets, and who is told so."""

import sys
import warnings
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field

__all__ = ["LiteralSecretWarning", "secret_field", "secrets_in", "warn_of_literals"]

#: Dagster's own mark, which its launchpad looks at.
_MARK = "dagster__is_secret"


class LiteralSecretWarning(UserWarning):
    """A secret was given to a manager as text, and Dagster sends that text to its webserver."""


def secret_field(description: str) -> Any:
    """A field of a manager, ``None`` by default, that holds a secret.

    Guarantee: its value is in no ``repr``, a literal one draws :class:`LiteralSecretWarning` when
    the manager is constructed, and it is taken out of every error that the manager raises in a run.

    Args:
        description: What Dagster's UI says about the field.

    Example:
        >>> from typing import Optional
        >>> import dagster as dg
        >>> from dagster_buckets import MemoryIOManager, secret_field
        >>> class Vault(MemoryIOManager):
        ...     password: Optional[str] = secret_field("Of the vault; give an EnvVar.")
        >>> "VAULT" in repr(Vault(password=dg.EnvVar("VAULT")))
        False
    """
    return Field(default=None, repr=False, description=description, json_schema_extra={_MARK: True})


def secrets_in(manager: BaseModel, is_secret: Callable[[str, str], bool]) -> dict[str, str]:
    """The literal secrets of a manager by their fields; an ``EnvVar`` is none.

    Args:
        manager: With fields of :func:`secret_field`.
        is_secret: Whether this value of this field is one.
    """
    found = {}
    for name, declared in type(manager).model_fields.items():
        extra = declared.json_schema_extra
        if not isinstance(extra, Mapping) or not extra.get(_MARK):
            continue
        value = getattr(manager, name)
        literal = isinstance(value, str) and value and not isinstance(value, dg.EnvVar)
        if literal and is_secret(name, value):
            found[name] = value
    return found


def warn_of_literals(manager: BaseModel, fields: Mapping[str, str]) -> None:
    """Warn the code that constructs a manager of its literal secrets; Dagster's own code never is.

    Dagster makes a run's managers anew, with what the environment variables stood for.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the way to a caller's name
    level = 2
    while frame is not None and _constructs(frame, manager):
        frame, level = frame.f_back, level + 1
    if frame is None or frame.f_globals.get("__name__", "").startswith("dagster._"):
        return
    for name in fields:
        kind = type(manager).__name__
        msg = (
            f"{kind} was given {name} as text, which Dagster's webserver hands out: "
            f'give {name}=dg.EnvVar("…") with the name of an environment variable'
        )
        warnings.warn(msg, LiteralSecretWarning, stacklevel=level)


def _constructs(frame: FrameType, manager: BaseModel) -> bool:
    """Whether a frame is part of the constructor: ours, a subclass' or pydantic's."""
    if frame.f_globals.get("__name__", "").startswith("pydantic."):
        return True
    names = frame.f_code.co_varnames
    own = frame.f_locals.get(names[0]) if names else None
    return frame.f_code.co_name == "__init__" and own is manager
