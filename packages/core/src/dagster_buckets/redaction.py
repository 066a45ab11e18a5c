"""Redaction: what keeps secrets out of exceptions, whoever raised them, and out of ``repr``."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Hidden", "redacting"]

_HIDDEN = "***"
#: What is shorter is a word like "demo", and replacing it would garble messages.
_SHORTEST = 8


class Hidden(str):
    """A secret whose ``repr`` does not show it, nor does that of a dict or list that holds it.

    Everything else treats it as the text that it is.

    Example:
        >>> {"secret": Hidden("correct-horse-battery")}
        {'secret': '***'}
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_HIDDEN)


@contextmanager
def redacting(secrets: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Take the secrets out of an exception that passes, and out of its causes and contexts.

    A server may quote what it was sent, and a client what it was given.

    Args:
        secrets: Called only when something is raised.
    """
    try:
        yield
    except Exception as error:
        if hidden := _pattern(secrets()):
            _redact(error, hidden, set())
        raise


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
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
