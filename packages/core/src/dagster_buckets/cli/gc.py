"""``gc``: what nobody needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

if TYPE_CHECKING:
    from dagster_buckets.cli.garbage import Garbage

__all__ = ["command"]

_UNNAMED = "parts that no manifest names"


@click.command("gc", cls=Command)
@click.argument("targets", metavar="[URI]", nargs=-1)
@source_options()
@click.option(
    "--older-than", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="DAYS",
    help="For how long runs wrote nothing, and values have been replaced.",
)  # fmt: skip
@click.option(
    "--uploads-older-than", type=click.FloatRange(min=1), default=24.0, show_default=True,
    metavar="HOURS", help="For how long nothing came to an unfinished upload or value.",
)  # fmt: skip
@click.option(
    "--dropped-partitions", is_flag=True,
    help="Also values of partitions that assets of the definitions do not have any more.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Remove it. Without this option nothing is changed.")
@json_option
def command(  # noqa: PLR0913 - the options of a command
    request: Request,
    targets: tuple[str, ...],
    *,
    older_than: float,
    uploads_older_than: float,
    dropped_partitions: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List what nobody needs any more, and remove it with --yes.

    That are outputs of ops of old runs (which re-executions of these runs would still read),
    objects of a value that was written again in another format long ago, and what killed writers
    left: uploads in parts, temporary files, and parts of values that no manifest names. The values
    of assets stay, unless you ask for those of dropped partitions.

    \b
    Examples:
      dagster-buckets gc s3://lake/prod
      dagster-buckets gc -m shop.definitions --older-than 90
      dagster-buckets gc -m shop.definitions --dropped-partitions
      dagster-buckets gc s3://lake/prod --yes
    """
    from dagster_buckets.cli.garbage import garbage_in, unnamed_parts
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.output import progress
    from dagster_buckets.cli.source import open_source
    from dagster_buckets.errors import ConfigurationError
    from dagster_buckets.stores.base import SupportsSweep

    source, rest = open_source(request, targets)
    if rest:
        msg = f"gc takes no assets, but {rest[0]!r} was given"
        raise ConfigurationError(msg, hint="it looks at the whole bucket or prefix")
    if dropped_partitions and source.assets is None:
        msg = "only definitions tell which partitions an asset has"
        raise ConfigurationError(msg, hint="name them with -m or -f, or leave the option out")
    assets = source.assets if dropped_partitions else None
    store = source.values.store
    unfinished = timedelta(hours=uploads_older_than)
    with progress("listed objects") as tick:
        entries = inventory(source, tick=tick)
    found = garbage_in(entries, timedelta(days=older_than), assets=assets)
    found.parts.extend(unnamed_parts(store, entries, unfinished))
    uploads = None
    if isinstance(store, SupportsSweep):
        uploads = store.sweep(unfinished, dry_run=not yes)
    if yes:
        store.delete([info.key for info in found.objects])
    if as_json:
        _dump(source.base, found, uploads, removed=yes)
    else:
        _print(source.base, found, uploads, removed=yes)


def _dump(base: str, found: Garbage, uploads: int | None, *, removed: bool) -> None:
    from dagster_buckets.cli.inventory import name_of, newest, partition_of
    from dagster_buckets.cli.output import dump

    runs = [
        {
            "run_id": run,
            "objects": sum(len(entry.objects) for entry in entries),
            "size_bytes": sum(entry.size for entry in entries),
            "modified": newest(entries),
        }
        for run, entries in found.runs.items()
    ]
    older = [
        {"uri": old.info.uri, "size_bytes": old.size, "replaced_by": new.info.uri}
        for old, new in found.older_formats
    ]
    dropped = [
        {
            "asset": name_of(entry.address),
            "partition": partition_of(entry.address),
            "uri": entry.info.uri,
            "size_bytes": entry.size,
        }
        for entry in found.dropped
    ]
    total = sum(info.size for info in found.objects)
    counts = {"objects": len(found.objects), "size_bytes": total, "unfinished_uploads": uploads}
    dump(
        {
            "uri": base,
            "removed": removed,
            **counts,
            "runs": runs,
            "older_formats": older,
            "dropped_partitions": dropped,
            "unnamed_parts": [{"uri": i.uri, "size_bytes": i.size} for i in found.parts],
        }
    )


def _print(base: str, found: Garbage, uploads: int | None, *, removed: bool) -> None:
    from dagster_buckets.cli.inventory import name_of, newest, partition_of
    from dagster_buckets.cli.output import age, plural, shown, size, table

    if found.runs:
        lines = []
        for run, entries in found.runs.items():
            last = newest(entries)
            count = sum(len(entry.objects) for entry in entries)
            total = sum(entry.size for entry in entries)
            lines.append([run, f"{count:,}", size(total), age(last) if last else ""])
        table(["RUN", "OBJECTS", "SIZE", "AGE"], lines, right=("OBJECTS", "SIZE", "AGE"))
    for old, new in found.older_formats:
        click.echo(f"older format  {shown(old.info.uri)}, replaced by {shown(new.info.key)}")
    for entry in found.dropped:
        label = f"{name_of(entry.address)}@{partition_of(entry.address)}"
        click.echo(f"dropped partition  {shown(label)}")
    if found.parts:
        click.echo(plural(len(found.parts), "part that no manifest names", _UNNAMED))
    if uploads is None:
        click.echo("unfinished uploads: this store keeps none that could be looked for")
    elif uploads:
        click.echo(plural(uploads, "unfinished upload"))
    objects = found.objects
    total = sum(info.size for info in objects)
    done = "removed from" if removed else "can go from"
    click.echo(f"{plural(len(objects), 'object')}, {size(total)} {done} {base}")
    if not removed and (objects or uploads):
        click.echo("nothing was changed; remove it with --yes")
