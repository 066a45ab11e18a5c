"""``diff``: one bucket against another."""

from __future__ import annotations

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

__all__ = ["command"]


@click.command("diff", cls=Command)
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@source_options(resource=False)
@click.option("--full", is_flag=True, help="Read values of one size, and compare their bytes.")
@click.option("--ops", is_flag=True, help="Compare outputs of ops as well.")
@json_option
def command(  # noqa: PLR0913 - the options of a command
    request: Request, left: str, right: str, *, full: bool, ops: bool, as_json: bool
) -> None:
    """Compare the values of two buckets. Exit code 1 if they differ.

    A and B are URIs, or with Definitions the resource keys of two I/O managers, which may have
    different layouts. Values are compared by format, size and the digest in their headers;
    values without a digest (streams, and what others wrote) need --full.

    \b
    Examples:
      dagster-buckets diff s3://lake/prod s3://lake/branch
      dagster-buckets diff s3://lake/prod gs://lake/prod --full
      dagster-buckets diff -m shop.definitions io_manager old_io_manager
    """
    from dagster_buckets.cli.differences import differences
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.output import dump, plural, progress, shown
    from dagster_buckets.cli.source import open_pair

    a, b = open_pair(request, left, right)
    with progress("listed objects") as tick:
        entries = inventory(a, tick=tick), inventory(b, tick=tick)
    with progress("compared values") as tick:
        result = differences(a, b, entries, full=full, ops=ops, tick=tick)
    if as_json:
        found = [difference.document() for difference in result.found]
        counts = {"alike": result.alike, "undecided": result.undecided}
        dump({"a": a.base, "b": b.base, **counts, "differences": found})
    else:
        for difference in result.found:
            document = difference.document()
            key = f"@{document['partition']}" if document["partition"] is not None else ""
            what = click.style(f"{difference.kind:<9}", bold=True)
            reason = f"  {difference.reason}" if difference.kind == "differs" else ""
            click.echo(f"{what}  {shown(str(document['asset']) + key)}{reason}")
        undecided = f", {result.undecided:,} undecided (use --full)" if result.undecided else ""
        differing = f"{len(result.found):,} different"
        click.echo(f"{plural(result.alike, 'value')} alike, {differing}{undecided}")
    if result.found:
        raise click.exceptions.Exit(1)
