"""``show``: what is known of one stored value, without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dagster_buckets.cli.options import Command, json_option, source_options
from dagster_buckets.cli.request import Request

if TYPE_CHECKING:
    from dagster_buckets.cli.inventory import Entry
    from dagster_buckets.cli.previews import Preview

__all__ = ["command"]


@click.command("show", cls=Command)
@click.argument("targets", metavar="[URI] ASSET[@PARTITION]", nargs=-1)
@source_options()
@click.option(
    "-n", "--rows", type=click.IntRange(0, 10_000), default=5, show_default=True,
    help="How many rows of a table to show.",
)  # fmt: skip
@click.option("--columns", metavar="NAME,…", help="Only these columns of a table.")
@json_option
def command(
    request: Request, targets: tuple[str, ...], *, rows: int, columns: str | None, as_json: bool
) -> None:
    """Show header, schema, number of rows and first rows of one value.

    Only what is needed is read: of a large Parquet object the footer and the first group of rows,
    of Arrow IPC the first batches, of text the beginning. Pickles are never unpickled.

    Without a partition the last one is shown. Several dimensions are written as Dagster does,
    'fr|2024-01-31', or 'country=fr,date=2024-01-31'.

    \b
    Examples:
      dagster-buckets show s3://lake/prod sales/orders
      dagster-buckets show -m shop.definitions orders@2024-01-31 --rows 20
      dagster-buckets show gs://lake orders@2024-01-31 --columns id,amount --json
    """
    from dagster_buckets.cli.inventory import inventory
    from dagster_buckets.cli.previews import preview
    from dagster_buckets.cli.source import open_source
    from dagster_buckets.errors import ConfigurationError

    source, wanted = open_source(request, targets)
    if len(wanted) != 1:
        msg = f"show takes one asset, and {len(wanted)} were given"
        raise ConfigurationError(msg, hint="write for instance orders@2024-01-31")
    entries = inventory(source, wanted)
    entry, stale = _newest_of_last(entries)
    values = source.values
    if columns is not None:
        values = values.having({"columns": columns.split(",")})
    entry = _with_header(source.values.store, entry)
    entry, older = _named_parts(source.values.store, entry)
    seen = preview(values, entry, rows)
    partitions = len({e.address for e in entries})
    if as_json:
        _dump(entry, seen, partitions, [e.info.uri for e in stale], older)
    else:
        _print(entry, seen, partitions, [e.info.uri for e in stale], older)


def _newest_of_last(entries: list[Entry]) -> tuple[Entry, list[Entry]]:
    """The newest object of the last partition, and its older siblings in other formats."""
    last = max(entries, key=lambda e: getattr(e.address, "partition", ()))
    same = sorted((e for e in entries if e.address == last.address), key=lambda e: e.info.modified)
    return same[-1], same[:-1]


def _with_header(store: Any, entry: Entry) -> Entry:
    from dataclasses import replace

    return replace(entry, info=store.head(entry.info.key))


def _named_parts(store: Any, entry: Entry) -> tuple[Entry, int]:
    """The value with the parts that its manifest names, and how many others lie beside them."""
    from dataclasses import replace

    from dagster_buckets.cli.manifests import unnamed

    if not entry.is_manifest:
        return entry, 0
    others = {info.key for info in unnamed(store, entry)}
    named = tuple(info for info in entry.parts if info.key not in others)
    return replace(entry, parts=named), len(others)


def _dump(entry: Entry, seen: Preview, partitions: int, stale: list[str], older: int) -> None:
    from dataclasses import asdict

    from dagster_buckets.cli.inventory import name_of, partition_of
    from dagster_buckets.cli.output import dump

    info = entry.info
    dump(
        {
            "asset": name_of(entry.address),
            "partition": partition_of(entry.address),
            "partitions": partitions,
            "uri": info.uri,
            "size_bytes": entry.size,
            "modified": info.modified,
            "etag": info.etag,
            "format": entry.format,
            "compression": entry.compression,
            "header": asdict(info.header) if info.header else None,
            "older_formats": stale,
            "parts": len(entry.parts),
            "parts_of_no_manifest": older,
            **asdict(seen),
        }
    )


def _print(entry: Entry, seen: Preview, partitions: int, stale: list[str], older: int) -> None:
    from dagster_buckets.cli.inventory import name_of, partition_of
    from dagster_buckets.cli.output import age, pair, plural, size

    info = entry.info
    pair("asset", name_of(entry.address))
    key = partition_of(entry.address)
    if key is not None:
        pair("partition", f"{key} (the last of {partitions:,})" if partitions > 1 else key)
    pair("uri", info.uri)
    codec = f", compressed with {entry.compression}" if entry.compression else ""
    pair("format", f"{entry.format or 'unknown'}{codec}")
    parts = f", in {plural(len(entry.parts), 'part')}" if entry.parts else ""
    pair("size", f"{size(entry.size)} ({plural(entry.size, 'byte')}{parts})")
    pair("modified", f"{info.modified.isoformat()} ({age(info.modified)} ago)")
    pair("etag", info.etag or None)
    if info.header is None:
        pair("header", "none: something else than dagster-buckets wrote or changed it")
    else:
        pair("digest", info.header.digest or "none, it was written as a stream")
        pair("write id", info.header.write_id)
        pair("filename", info.header.filename)
    for uri in stale:
        pair("older", uri)
    if older:
        pair("older", f"{plural(older, 'part')} that no manifest names: see dagster-buckets gc")
    pair("rows", None if seen.rows is None else f"{seen.rows:,}")
    _print_content(seen)


def _print_content(seen: Preview) -> None:
    from dagster_buckets.cli.output import shown, table

    if seen.columns is not None:
        click.echo()
        lines = [[c.name, c.type, "" if c.nullable else "required"] for c in seen.columns]
        table(["COLUMN", "TYPE", ""], lines)
    if seen.head and seen.columns:
        click.echo()
        names = [column.name for column in seen.columns]
        table(names, [[_cell(row[name]) for name in names] for row in seen.head])
    for array in seen.arrays or ():
        what = f"{array['dtype']} {tuple(array['shape'])}"
        click.echo(f"{shown(array['name'])}: {what}" if array["name"] else what)
    if seen.text is not None:
        click.echo()
        for line in seen.text.splitlines():
            click.echo(shown(line.expandtabs()))
    if seen.note:
        click.echo()
        click.echo(shown(seen.note))


def _cell(value: object) -> str:
    text = "null" if value is None else str(value)
    longest = 60
    return text if len(text) <= longest else text[: longest - 1] + "…"
