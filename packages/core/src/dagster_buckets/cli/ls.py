"""``ls``: the assets and partitions of a bucket, one line each."""

from __future__ import annotations

from typing import Any

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

__all__ = ["command"]


@click.command("ls", cls=Command)
@click.argument("targets", metavar="[URI] [ASSET[@PARTITION]]...", nargs=-1)
@source_options()
@click.option("--all", "absent", is_flag=True, help="With Definitions: what is not there, too.")
@click.option("--ops", is_flag=True, help="Outputs of ops as well.")
@json_option
def command(
    request: Request, targets: tuple[str, ...], *, absent: bool, ops: bool, as_json: bool
) -> None:
    """List the stored assets and partitions, each with format, size and age.

    With Definitions a column tells how that compares with the event log of DAGSTER_HOME:
    'stored', 'missing' (materialized, and not there), 'unmaterialized' (there, and not
    materialized), 'undefined' (there, and not in the Definitions), with --all 'absent' (neither
    there nor materialized). Without DAGSTER_HOME the log is left out.

    \b
    Examples:
      dagster-buckets ls s3://lake/prod
      dagster-buckets ls gs://lake sales/orders --json
      dagster-buckets ls -m shop.definitions
      dagster-buckets ls -f definitions.py orders@2024-01-31
    """
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.listing import rows_of
    from dagster_buckets.cli.output import progress
    from dagster_buckets.cli.source import open_source
    from dagster_buckets.errors import ConfigurationError

    source, wanted = open_source(request, targets)
    history = None
    if source.assets is not None:
        from dagster_buckets.cli.event_log import EventLog

        if EventLog.is_there():
            log = click.get_current_context().with_resource(EventLog.opened())
            history = log.materialized_partitions
    elif absent:
        msg = "--all needs Definitions, which tell what could be there"
        raise ConfigurationError(msg, hint="give -m or -f")
    with progress("listed objects") as tick:
        entries = inventory(source, () if source.assets is not None else wanted, tick=tick)
    rows = rows_of(source, entries, wanted, history, absent=absent, ops=ops)
    if as_json:
        _dump(source.base, rows)
    else:
        _print(source.base, rows, states=source.assets is not None)


def _dump(base: str, rows: list[Any]) -> None:
    from dagster_buckets.cli.output import dump

    dump({"uri": base, "values": [row.document() for row in rows]})


def _print(base: str, rows: list[Any], *, states: bool) -> None:
    from dagster_buckets.cli.output import age, plural, size, table

    if not rows:
        click.echo(f"nothing is stored in {base}")
        return
    headers = ["ASSET", "PARTITION", "FORMAT", "SIZE", "AGE", *(["STATE"] if states else [])]
    lines = []
    for row in rows:
        entry = row.entry
        line = [row.label, row.partition or "", row.format or ""]
        line += [size(entry.size), age(entry.info.modified)] if entry else ["", ""]
        lines.append([*line, *([row.state or ""] if states else [])])
    table(headers, lines, right=("SIZE", "AGE"))
    there = [row.entry for row in rows if row.entry]
    objects, total = sum(len(e.objects) for e in there), sum(e.size for e in there)
    click.echo(f"{plural(objects, 'object')}, {size(total)} in {base}")
