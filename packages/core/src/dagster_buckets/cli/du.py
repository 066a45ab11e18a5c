"""``du``: what each asset takes."""

from __future__ import annotations

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

__all__ = ["command"]

_OTHERS = {"op": "(outputs of ops)", "other": "(not values)"}


@click.command("du", cls=Command)
@click.argument("targets", metavar="[URI] [ASSET]...", nargs=-1)
@source_options()
@json_option
def command(request: Request, targets: tuple[str, ...], *, as_json: bool) -> None:
    """Bytes and objects of each asset, the largest first, and in total.

    What listings show: older versions in a bucket with versioning and unfinished uploads are
    billed, and not counted here.

    \b
    Examples:
      dagster-buckets du s3://lake/prod
      dagster-buckets du -m shop.definitions sales/orders
      dagster-buckets du gs://lake --json
    """
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.listing import usage_of
    from dagster_buckets.cli.output import age, dump, plural, progress, size, table
    from dagster_buckets.cli.source import open_source

    source, wanted = open_source(request, targets)
    with progress("listed objects") as tick:
        usages = usage_of(inventory(source, wanted, tick=tick))
    objects, total = sum(u.objects for u in usages), sum(u.size for u in usages)
    if as_json:
        parts = [
            {
                "kind": usage.kind,
                "name": usage.name,
                "objects": usage.objects,
                "size_bytes": usage.size,
                "modified": usage.modified,
            }
            for usage in usages
        ]
        dump({"uri": source.base, "objects": objects, "size_bytes": total, "assets": parts})
        return
    if usages:
        lines = [
            [
                usage.name if usage.name is not None else _OTHERS[usage.kind],
                f"{usage.objects:,}",
                size(usage.size),
                age(usage.modified) if usage.modified else "",
            ]
            for usage in usages
        ]
        table(["ASSET", "OBJECTS", "SIZE", "AGE"], lines, right=("OBJECTS", "SIZE", "AGE"))
    click.echo(f"{plural(objects, 'object')}, {size(total)} in {source.base}")
