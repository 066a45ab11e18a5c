"""Options: the fields of a format's dataclass, set by name and checked by their types."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from dagster_buckets.errors import ConfigurationError

__all__ = ["option_names", "setting", "settings_of", "with_options"]

_SETTING = "dagster_buckets/setting"


def setting(name: str, default: Callable[[], Any], *, secret: bool = False) -> Any:
    """A dataclass field that is no option: the manager's setting of this name.

    Args:
        name: ``limit`` (a :class:`~dagster_buckets.formats.limits.Limit`) or ``signing_keys``.
        default: Makes it where there is no manager.
        secret: Leave it out of the ``repr``.
    """
    return dataclasses.field(default_factory=default, repr=not secret, metadata={_SETTING: name})


@cache
def option_names(made: Any) -> tuple[str, ...]:
    """The options of a format's class; none if it is not a dataclass."""
    return tuple(f.name for f in _fields(made) if _SETTING not in f.metadata)


@cache
def settings_of(made: Any) -> Mapping[str, str]:
    """The fields that the manager's settings fill: ``{field: setting}``."""
    return {f.name: f.metadata[_SETTING] for f in _fields(made) if _SETTING in f.metadata}


def with_options(made: Any, name: str, options: Mapping[str, Any], settings: Any) -> Any:
    """An instance of a format's class with these options.

    Args:
        made: The class, or what else makes the format.
        name: The format's name, for errors.
        options: By name.
        settings: By name; those that the class takes are filled in.

    Raises:
        ConfigurationError: There is no such option, or its value has another type.
    """
    known = option_names(made)
    unknown = sorted(set(options) - set(known))
    if unknown:
        msg = f"format {name!r} has no option {', '.join(map(repr, unknown))}"
        hint = f"it has {', '.join(known)}" if known else "it has none"
        raise ConfigurationError(msg, hint=hint)
    for option, value in options.items():
        _check(made, name, option, value)
    taken = {field: settings[key] for field, key in settings_of(made).items() if key in settings}
    return made(**options, **taken)


def _fields(made: Any) -> tuple[dataclasses.Field[Any], ...]:
    if not (isinstance(made, type) and dataclasses.is_dataclass(made)):
        return ()
    return tuple(field for field in dataclasses.fields(made) if field.init)


def _check(made: Any, name: str, option: str, value: Any) -> None:
    from pydantic import ValidationError

    try:
        _adapter(made, option).validate_python(value, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        msg = f"the option {option!r} of format {name!r} cannot be {value!r}: {problem['msg']}"
        raise ConfigurationError(msg, hint=f"it must be {_spelled(made, option)}") from error


@cache
def _adapter(made: Any, option: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    hint = _hints(made)[option]
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))


@cache
def _hints(made: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(made, include_extras=True)


def _spelled(made: Any, option: str) -> str:
    hint = _hints(made)[option]
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
