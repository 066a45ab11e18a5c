"""Manifests as commands see them: what a value in parts names, and what lies beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster_buckets.fetching import is_none
from dagster_buckets.manifests import Manifest
from dagster_buckets.objects import ObjectInfo, digest_of
from dagster_buckets.parts import PartFolder

if TYPE_CHECKING:
    from dagster_buckets.cli.inventory import Entry
    from dagster_buckets.stores.base import ObjectStore

__all__ = ["digest_of_parts", "folder_of", "manifest_of", "unnamed"]


def folder_of(store: ObjectStore, entry: Entry) -> PartFolder:
    """Where the parts of a manifest lie."""
    return PartFolder(store, entry.info.key.removesuffix(entry.extension))


def manifest_of(store: ObjectStore, entry: Entry) -> Manifest | None:
    """What is in a manifest; ``None`` for a stored ``None``.

    Raises:
        ObjectNotFoundError: It was deleted.
        DecodeError: It is no manifest.
    """
    payload = store.get(entry.info.key)
    return None if is_none(payload) else Manifest.of(payload)


def unnamed(store: ObjectStore, entry: Entry) -> list[ObjectInfo]:
    """The parts beside a manifest that it does not name."""
    manifest = manifest_of(store, entry)
    folder = folder_of(store, entry)
    named = {folder.key(part.name) for part in manifest.parts} if manifest else set()
    return [info for info in entry.parts if info.key not in named]


def digest_of_parts(manifest: Manifest) -> str:
    """Of two manifests the same if all their parts have the same bytes, whatever their names."""
    lines = [
        f"{part.digest} {part.size} {sorted(part.partition.items())}" for part in manifest.parts
    ]
    if manifest.holds != "rows":
        lines.append(manifest.holds)
    return digest_of(["\n".join(lines).encode()])
