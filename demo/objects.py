"""The table of what was written: a listing of the store, and keys that the layout parses."""

from collections.abc import Iterator
from dataclasses import dataclass

from dagster_buckets import AssetAddress, ValueStore
from dagster_buckets.plugins import format_by_extension
from rich.filesize import decimal
from rich.table import Table

from demo.assets import ASSETS

__all__ = ["StoredObject", "objects_table", "stored_objects"]

_MANY = 30
_SAMPLES = 2


@dataclass(frozen=True)
class StoredObject:
    """One object of the demo."""

    asset: str
    partition: str
    format: str
    size: int
    uri: str


def stored_objects(values: ValueStore) -> list[StoredObject]:
    """Every object of the demo's assets."""
    return [found for asset in ASSETS for found in _of_asset(values, tuple(asset.key.path))]


def _of_asset(values: ValueStore, path: tuple[str, ...]) -> Iterator[StoredObject]:
    for info in values.store.scan(values.layout.prefix(path)):
        parsed = values.layout.parse(info.key)
        if parsed is None:
            continue
        address, extension = parsed
        if not isinstance(address, AssetAddress) or address.path != path:
            continue
        found = format_by_extension(extension)
        yield StoredObject(
            asset="/".join(path),
            partition=", ".join(f"{name}={value}" for name, value in address.partition),
            format=found[0].name if found else extension,
            size=info.size,
            uri=info.uri,
        )


def objects_table(objects: list[StoredObject], *, every: bool) -> Table:
    """A row for each object; of many partitions two as a sample, unless ``every`` is asked for."""
    title = f"{len(objects)} objects"
    table = Table("asset", "partition", "format", title=title, title_justify="left")
    table.add_column("size", justify="right")
    table.add_column("URI", overflow="fold")
    by_asset: dict[str, list[StoredObject]] = {}
    for found in objects:
        by_asset.setdefault(found.asset, []).append(found)
    for asset, members in by_asset.items():
        short = not every and len(objects) > _MANY and len(members) > _SAMPLES
        if short:
            formats = ", ".join(sorted({member.format for member in members}))
            size = decimal(sum(member.size for member in members))
            table.add_row(asset, f"{len(members)} partitions", formats, size, "for example")
        for member in members[: _SAMPLES if short else None]:
            row = (member.partition, member.format, decimal(member.size), member.uri)
            table.add_row("" if short else asset, *row)
    return table
