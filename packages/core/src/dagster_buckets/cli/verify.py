"""``verify``: the event log against the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

if TYPE_CHECKING:
    from dagster_buckets.cli.comparing import Verification

__all__ = ["command"]

_COLORS = {"missing": "red", "altered": "red", "orphaned": "yellow"}


@click.command("verify", cls=Command)
@click.argument("targets", metavar="[URI]", nargs=-1)
@source_options()
@click.option("--full", is_flag=True, help="Read all bytes and compare their digests, too.")
@json_option
def command(request: Request, targets: tuple[str, ...], *, full: bool, as_json: bool) -> None:
    """Compare the event log of DAGSTER_HOME with the bucket.

    The last materialization of each asset and partition says where its value was written, how
    large it was and which version. Found are values that are 'missing' (materialized, and not
    there), 'altered' (other bytes, or another version, than were materialized) and 'orphaned'
    (there, and known to no last materialization). Exit code 1 if there are any.

    Without --full no bytes are read: size, version and the digest in the header are compared.
    Nothing is changed.

    \b
    Examples:
      dagster-buckets verify -m shop.definitions
      dagster-buckets verify s3://lake/prod
      dagster-buckets verify -m shop.definitions --full --json
    """
    from dagster_buckets.cli.comparing import verified
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.output import progress
    from dagster_buckets.cli.source import open_source
    from dagster_buckets.errors import ConfigurationError

    source, rest = open_source(request, targets)
    if rest:
        msg = f"verify takes no assets, but {rest[0]!r} was given"
        raise ConfigurationError(msg, hint="it looks at the whole bucket or prefix")
    from dagster_buckets.cli.event_log import EventLog

    log = click.get_current_context().with_resource(EventLog.opened())
    # In this order: what is materialized while the bucket is listed is then known.
    with progress("listed objects") as tick:
        entries = inventory(source, tick=tick)
    paths = {entry.path for entry in entries if entry.path is not None}
    paths |= set(log.asset_paths()) if source.assets is None else set(source.assets)
    records = list(log.last_materializations(sorted(paths)))
    with progress("compared values", len(records)) as tick:
        result = verified(source, entries, records, full=full, tick=tick)
    if as_json:
        _dump(source.base, result)
    else:
        _print(source.base, result)
    if result.findings:
        raise click.exceptions.Exit(1)


def _dump(base: str, result: Verification) -> None:
    from dagster_buckets.cli.output import dump

    dump(
        {
            "uri": base,
            "intact": result.intact,
            "rewritten": result.rewritten,
            "unrecorded": result.unrecorded,
            "outputs_of_ops": result.ops,
            "not_values": result.others,
            "findings": [finding.document() for finding in result.findings],
        }
    )


def _print(base: str, result: Verification) -> None:
    from dagster_buckets.cli.output import plural, shown

    for finding in result.findings:
        partition = "" if finding.partition is None else f"@{finding.partition}"
        kind = click.style(f"{finding.kind:<8}", fg=_COLORS[finding.kind], bold=True)
        click.echo(f"{kind}  {shown((finding.asset or '') + partition)}  {shown(finding.uri)}")
        click.echo(f"          {shown(finding.reason)}")
    counts = {kind: sum(finding.kind == kind for finding in result.findings) for kind in _COLORS}
    differing = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    again = f" ({result.rewritten:,} written again with the same bytes)" if result.rewritten else ""
    click.echo(
        f"{plural(result.intact, 'value')} as materialized{again}; {differing or 'no difference'} "
        f"in {base}"
    )
    notes = {
        "materialization without a value of ours": result.unrecorded,
        "output of ops": result.ops,
        "object that is no value": result.others,
    }
    many = (
        "materializations without a value of ours",
        "outputs of ops",
        "objects that are no values",
    )
    said = [plural(n, one, more) for (one, n), more in zip(notes.items(), many, strict=True) if n]
    if said:
        click.echo(f"not compared: {', '.join(said)}")
