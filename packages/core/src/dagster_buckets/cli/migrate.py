"""``migrate``: the values of one place into another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

if TYPE_CHECKING:
    from dagster_buckets.address import AssetAddress
    from dagster_buckets.cli.moving import Journey, Migration

__all__ = ["command"]


@click.command("migrate", cls=Command)
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.argument("targets", metavar="[ASSET[@PARTITION]]...", nargs=-1)
@source_options(resource=False)
@click.option(
    "--to-layout", metavar="LAYOUT", help="The layout of B, if it is a URI. Default: that of A."
)
@click.option("--overwrite", is_flag=True, help="Also replace what was written to B since.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and change nothing.")
@click.option(
    "--max-concurrency", type=click.IntRange(min=1), metavar="N",
    help="Values at once. Default: 8, or 1 if one of the I/O managers is another distribution's.",
)  # fmt: skip
@json_option
def command(  # noqa: PLR0913 - the options of a command
    request: Request,
    old: str,
    new: str,
    targets: tuple[str, ...],
    *,
    to_layout: str | None,
    overwrite: bool,
    dry_run: bool,
    max_concurrency: int | None,
    as_json: bool,
) -> None:
    """Copy the values of assets from A to B, verified. Exit code 1 if one of them failed.

    A and B are URIs, or with Definitions the resource keys of two I/O managers, which need not be
    of dagster-buckets. Nothing is removed from A. Bytes are copied as they are where B reads them;
    otherwise A's I/O manager loads the value and B's writes it. Each is read back and compared.
    What B has is kept if it is newer, so an interrupted run continues when it is started again.
    What an I/O manager of another distribution has, the event log tells.

    \b
    Examples:
      dagster-buckets migrate s3://lake/prod gs://lake/prod
      dagster-buckets migrate -m shop.definitions pickles io_manager --dry-run
      dagster-buckets migrate -m shop.definitions pickles io_manager orders@2024-01-31
    """
    from dagster_buckets.cli.moving import move_all
    from dagster_buckets.cli.output import dump, progress

    with ExitStack() as stack:
        with progress("listed objects") as tick:
            # Only planned so far; the I/O managers stay until all is done.
            coming = _journey(request, (old, new), targets, to_layout, tick, overwrite=overwrite)
            journey = stack.enter_context(coming)
        result = None
        if not dry_run:
            with progress("moved values", len(journey.plan.moves)) as told:
                bound = max_concurrency or journey.max_concurrency
                result = move_all(journey.plan.moves, max_concurrency=bound, tick=told)
    if as_json:
        dump(_document(journey, result))
    else:
        _print(journey, result)
    if result is not None and result.failed:
        raise click.exceptions.Exit(1)


@contextmanager
def _journey(  # noqa: PLR0913 - the options of a command
    request: Request,
    places: tuple[str, str],
    targets: tuple[str, ...],
    to_layout: str | None,
    tick: Callable[[int], None],
    *,
    overwrite: bool,
) -> Iterator[Journey]:
    from dagster_buckets.cli.moving import between_buckets
    from dagster_buckets.cli.source import open_uris
    from dagster_buckets.errors import ConfigurationError

    request.check()
    if places[0] == places[1] and to_layout is None:
        msg = f"A and B are both {places[0]}"
        raise ConfigurationError(msg, hint="name another B")
    if request.has_definitions:
        if to_layout is not None:
            msg = "--to-layout goes with URIs only"
            raise ConfigurationError(msg, hint="the layout is a setting of the I/O manager")
        from dagster_buckets.cli.migrating import between_managers

        with between_managers(request, places, targets, overwrite=overwrite, tick=tick) as journey:
            yield journey
        return
    old, new = open_uris(request, *places, layout=to_layout, new=True)
    yield between_buckets(old, new, targets, overwrite=overwrite, tick=tick)


def _document(journey: Journey, result: Migration | None) -> dict[str, Any]:
    plan = journey.plan
    document: dict[str, Any] = {"a": journey.old, "b": journey.new, "dry_run": result is None}
    if result is None:
        document["moves"] = [
            {**_named(move.address), "how": move.how, "size_bytes": move.size}
            for move in plan.moves
        ]
    else:
        document["copied"], document["converted"] = result.copied, result.converted
        document["size_bytes"] = result.size
    document["already_there"] = plan.there + (result.there if result else 0)
    document["newer_in_b"] = [_named(address) for address in plan.newer]
    document["outputs_of_ops"], document["other_objects"] = plan.ops, plan.others
    if result is not None:
        document["failed"] = [
            {**_named(address), "reason": _reason(error)} for address, error in result.failed
        ]
    return document


def _named(address: AssetAddress) -> dict[str, str | None]:
    from dagster_buckets.cli.inventory import name_of, partition_of

    return {"asset": name_of(address), "partition": partition_of(address)}


def _reason(error: Exception) -> str:
    from dagster_buckets.cli.managers import said
    from dagster_buckets.cli.options import one_line
    from dagster_buckets.errors import BucketsError

    return one_line(error) if isinstance(error, BucketsError) else said(error)


def _print(journey: Journey, result: Migration | None) -> None:
    from dagster_buckets.cli.output import plural, shown, size

    def line(what: str, address: AssetAddress, more: str = "") -> None:
        named = _named(address)
        key = f"@{named['partition']}" if named["partition"] is not None else ""
        label = shown(f"{named['asset']}{key}")
        click.echo(f"{click.style(f'{what:<9}', bold=True)}  {label}{more and f'  {more}'}")

    plan = journey.plan
    for address in plan.newer:
        line("newer in B", address)
    if result is None:
        for move in plan.moves:
            line("copy" if move.how == "copied" else "convert", move.address)
        click.echo(f"{plural(len(plan.moves), 'value')} can go from {journey.old} to {journey.new}")
    else:
        for address, error in result.failed:
            line("failed", address, _reason(error))
        moved = f"{plural(result.copied, 'value')} copied, {result.converted:,} converted"
        known = f" ({size(result.size)})" if result.size else ""
        click.echo(f"{moved}{known} from {journey.old} to {journey.new}")
    there = plan.there + (result.there if result else 0)
    if there:
        click.echo(f"{plural(there, 'value')} already there")
    if plan.ops or plan.others:
        ops, others = plural(plan.ops, "output of an op", "outputs of ops"), plan.others
        click.echo(f"left out: {ops}, {plural(others, 'other object')}")
    if result is None and plan.moves:
        click.echo("nothing was changed; leave out --dry-run to move them")
    elif result is not None and result.failed:
        click.echo(
            f"{plural(len(result.failed), 'value')} failed; run this again to try them again"
        )
