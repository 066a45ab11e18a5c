"""Secret fields: which settings of a manager hold secrets, and what keeps those out of sight."""

import json
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field

__all__ = ["LiteralSecretWarning", "redacting", "secret_field", "secrets_in", "warn_of_literals"]

#: Dagster's own mark, which its launchpad looks at.
_MARK = "dagster__is_secret"
_HIDDEN = "***"
#: What is shorter is a word like "demo", and replacing it would garble messages.
_SHORTEST = 8


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


@contextmanager
def redacting(secrets: Callable[[], Mapping[str, str]]) -> Iterator[None]:
    """Take the secrets out of an exception that passes, and out of its causes and contexts.

    The last resort behind the stores, which know what they sent: a server may quote it.
    """
    try:
        yield
    except Exception as error:
        if hidden := _pattern(secrets().values()):
            _redact(error, hidden, set())
        raise


def _pattern(secrets: Any) -> re.Pattern[str] | None:
    parts = {part for secret in secrets for part in _parts(secret) if len(part) >= _SHORTEST}
    # A key in PEM has line breaks, which JSON writes as two characters.
    parts |= {json.dumps(part)[1:-1] for part in parts}
    # The longest first: one may begin with another.
    found = sorted(parts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _parts(secret: str) -> Iterator[str]:
    """The text, and what of it may be shown alone: values of JSON, entries of ``id:secret``."""
    yield secret
    try:
        known = json.loads(secret)
    except ValueError:
        for entry in re.split(r"[\s,]+", secret):
            yield entry
            yield entry.partition(":")[2]
        return
    if isinstance(known, Mapping):
        for name, value in known.items():
            if isinstance(value, str) and re.search("key|secret|token", name) and "uri" not in name:
                yield value


def _redact(error: BaseException | None, hidden: re.Pattern[str], seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.args = _without(error.args, hidden)
    for name, value in list(vars(error).items()):
        vars(error)[name] = _without(value, hidden)
    inner = [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
    failures = getattr(error, "failures", {})
    inner += failures.values() if isinstance(failures, Mapping) else ()
    for other in inner:
        _redact(other, hidden, seen)


def _without(value: Any, hidden: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return hidden.sub(_HIDDEN, value) if hidden.search(value) else value
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return hidden.sub(_HIDDEN, text).encode("latin-1") if hidden.search(text) else value
    # The details that boto3 and google-auth give with an exception.
    if type(value) in (list, tuple):
        cleaned = type(value)(_without(item, hidden) for item in value)
        # An exception that is not ours keeps the very objects it has.
        return value if all(map(operator.is_, value, cleaned)) else cleaned
    if type(value) is dict:
        values = [_without(item, hidden) for item in value.values()]
        return (
            value
            if all(map(operator.is_, value.values(), values))
            else dict(zip(value, values, strict=True))
        )
    return value
