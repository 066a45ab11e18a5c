"""Options that the commands share, and how their errors end the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from dagster_buckets.cli.request import Request
from dagster_buckets.errors import BucketsError

__all__ = ["Command", "json_option", "source_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

#: Nothing failed and nothing was found: somebody pressed Ctrl-C.
_INTERRUPTED = 130
#: The other end of a pipe has read enough, as ``head`` does.
_PIPE_CLOSED = 141


class _UsageError(click.ClickException):
    """An error on one line."""

    exit_code = 2


class Command(click.Command):
    """A command whose errors are one line on stderr and exit code 2, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except BucketsError as error:
            raise _UsageError(one_line(error)) from error
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:
            # Click would end with 1, which says here that something differs.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_PIPE_CLOSED)


def one_line(error: BucketsError) -> str:
    """The error as one line: what failed, where, and what to do."""
    from dagster_buckets.cli.output import shown

    message = shown(" ".join(error.message.split()))
    if error.uri and error.uri not in message:
        message += f" ({error.uri})"
    return f"{message}; {' '.join(error.hint.split())}" if error.hint else message


_DEFINITIONS = (
    click.option("-m", "--module-name", metavar="MODULE", help="A module with Definitions."),
    click.option("-f", "--python-file", metavar="PATH", help="A Python file with Definitions."),
    click.option(
        "-a", "--attribute", metavar="NAME", help="The attribute that holds the Definitions."
    ),
    click.option("-d", "--working-directory", metavar="PATH", help="Where modules are looked for."),
)
_RESOURCE = click.option(
    "--resource",
    metavar="KEY",
    help="Which I/O manager of the Definitions. Default: the only one of dagster-buckets, or "
    "'io_manager'.",
)
_STORE = (
    click.option(
        "--layout",
        metavar="LAYOUT",
        help="How keys are made, for a URI: 'hive' (default), 'legacy', 'template:…'.",
    ),
    click.option(
        "--endpoint-url", metavar="URL", help="Of another server, for s3:// and gs:// URIs."
    ),
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document; times in ISO 8601, sizes in bytes."
)


def source_options(*, resource: bool = True) -> Callable[[_F], _F]:
    """The options that say which bucket is meant; the command gets them as one ``request``.

    Args:
        resource: Whether there is ``--resource``; otherwise the command names resources itself.
    """

    def decorate(function: _F) -> _F:
        @wraps(function)
        def wrapped(**given: Any) -> Any:
            names = Request.__dataclass_fields__
            request = Request(**{name: given.pop(name) for name in names if name in given})
            return function(request=request, **given)

        made: Any = wrapped
        for option in reversed((*_DEFINITIONS, *((_RESOURCE,) if resource else ()), *_STORE)):
            made = option(made)
        return made  # type: ignore[no-any-return]

    return decorate
