"""The command line ``dagster-buckets``: which commands there are, each imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

__all__ = ["cli", "main"]

#: The line that each command has in the help, so that showing it imports none of them.
_COMMANDS = {
    "diff": "Compare what two buckets hold.",
    "du": "Bytes and objects of each asset, and in total.",
    "gc": "List what nobody needs any more, and remove it with --yes.",
    "ls": "List the stored assets and partitions.",
    "migrate": "Copy values to another bucket or I/O manager.",
    "show": "Header, schema, rows and first rows of one stored value.",
    "verify": "Compare the event log with the bucket.",
}


class _Group(click.Group):
    """Commands by the names of their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module: Any = import_module(f"{__name__}.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    if value and not ctx.resilient_parsing:
        from dagster_buckets import __version__

        click.echo(f"dagster-buckets, version {__version__}")
        ctx.exit()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Look at the values that Dagster assets have in a bucket.

    \b
    What to look at is either a URI or a module with Definitions:
      dagster-buckets ls s3://lake/prod
      dagster-buckets ls -m shop.definitions
      dagster-buckets show s3://lake/prod orders@2024-01-31
      dagster-buckets verify -f definitions.py

    Exit codes: 0 fine, 1 something differs, 2 the command could not do its work.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    cli(prog_name="dagster-buckets")
