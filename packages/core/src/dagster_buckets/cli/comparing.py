"""Comparing: the event log with a bucket, and a bucket with another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from dagster_buckets.address import AssetAddress, OpAddress
from dagster_buckets.cli.inventory import Entry, name_of, partition_of
from dagster_buckets.cli.manifests import folder_of, manifest_of
from dagster_buckets.errors import ObjectNotFoundError
from dagster_buckets.objects import Digest, ObjectInfo

if TYPE_CHECKING:
    from dagster_buckets.cli.source import Source
    from dagster_buckets.stores.base import ObjectStore

__all__ = ["Finding", "Kind", "Record", "Verification", "digest_in", "verified"]

Kind = Literal["missing", "altered", "orphaned"]

#: So much of an object is held while its digest is computed.
_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What the event log says of one value.

    Attributes:
        path: The parts of the asset key.
        partition: The partition key.
        run_id: Of the run that materialized it.
        materialized: When.
        uri: Where it was written; ``None`` if another I/O manager, or none, wrote it.
        size: Bytes.
        etag: Of that version; ``None`` where the store gives none.
        digest: Of its bytes; ``None`` for a stream.
    """

    path: tuple[str, ...]
    partition: str | None
    run_id: str
    materialized: datetime
    uri: str | None = None
    size: int | None = None
    etag: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the event log and the bucket.

    Attributes:
        kind: ``missing``: materialized, and not there. ``altered``: not what was materialized.
            ``orphaned``: a value that no last materialization knows.
        uri: Of the object.
        reason: What differs.
        asset: The asset key; ``None`` where nothing tells.
        partition: The partition key.
        record: The last materialization; ``None`` for what is orphaned.
        info: What is there; ``None`` for what is missing.
    """

    kind: Kind
    uri: str
    reason: str
    asset: str | None
    partition: str | None
    record: Record | None = None
    info: ObjectInfo | None = None

    def document(self) -> dict[str, Any]:
        """As a member of a JSON document."""
        record, info = self.record, self.info
        return {
            "kind": self.kind,
            "asset": self.asset,
            "partition": self.partition,
            "uri": self.uri,
            "reason": self.reason,
            "recorded": record
            and {
                "run_id": record.run_id,
                "materialized": record.materialized,
                "uri": record.uri,
                "size_bytes": record.size,
                "etag": record.etag,
                "digest": record.digest,
            },
            "found": info
            and {
                "size_bytes": info.size,
                "etag": info.etag,
                "modified": info.modified,
                "digest": info.header.digest if info.header else None,
            },
        }


@dataclass(slots=True)
class Verification:
    """What a comparison found.

    Attributes:
        findings: Every difference.
        intact: Values that are what was materialized.
        rewritten: Of them, those that are another version with the same bytes.
        unrecorded: Materializations without a note of where the value lies: no value was stored,
            or another I/O manager stored it.
        ops: Outputs of ops, which no materialization stands for.
        others: Objects that are no values.
    """

    findings: list[Finding] = field(default_factory=list)
    intact: int = 0
    rewritten: int = 0
    unrecorded: int = 0
    ops: int = 0
    others: int = 0


def verified(
    source: Source,
    entries: Sequence[Entry],
    records: Iterable[Record],
    *,
    full: bool = False,
    tick: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Compare the last materializations with what is stored.

    What seems to differ is asked for once more, so that a run that ends meanwhile does no harm;
    a value that a run has stored and not yet reported can count as orphaned.

    Args:
        source: The bucket.
        entries: What was in it **before** the event log was read.
        records: The last materialization of each value.
        full: Read all bytes and compare their digests, too; bounded memory.
        tick: Called with the number of values that were compared.

    Raises:
        StoreError: The store does not answer, or refuses.
    """
    result = Verification()
    here = _written_here(source, records, result)
    there = {entry.info.uri: entry for entry in entries}
    _compare_all(source, here, there, result, full=full, tick=tick)
    last = {(record.path, record.partition): record for record in here.values()}
    for entry in entries:
        if entry.info.uri not in here:
            _leftover(result, entry, last)
    result.findings.sort(key=lambda f: (f.asset or "", f.partition or "", f.uri))
    return result


def _written_here(
    source: Source, records: Iterable[Record], result: Verification
) -> dict[str, Record]:
    """The records of values in this bucket, by their URIs."""
    here: dict[str, Record] = {}
    for record in records:
        if record.uri is None:
            result.unrecorded += 1
        elif record.uri.startswith(source.base):
            here[record.uri] = record
        elif record.path in (source.assets or {}):
            reason = f"it was written to {record.uri}, where this I/O manager does not look"
            result.findings.append(_finding("missing", record, record.uri, reason))
    return here


def _compare_all(  # noqa: PLR0913 - what was listed, what was noted, and what for
    source: Source,
    here: Mapping[str, Record],
    there: Mapping[str, Entry],
    result: Verification,
    *,
    full: bool,
    tick: Callable[[int], None],
) -> None:
    from dagster_buckets.transfer import Outcome, run_all

    def compare(item: tuple[str, Record]) -> Finding | bool:
        uri, record = item
        key, entry = uri.removeprefix(source.base), there.get(uri)
        store = source.values.store
        found = compared(store, record, key, entry.info if entry else None, full=full)
        if isinstance(found, Finding) or entry is None or not entry.is_manifest:
            return found
        reason = _fault_of_parts(store, entry, full=full)
        return _finding("altered", record, uri, reason, entry.info) if reason else found

    def take(outcome: Outcome[tuple[str, Record], Finding | bool]) -> None:
        if outcome.error is not None:
            raise outcome.error
        if isinstance(outcome.result, Finding):
            result.findings.append(outcome.result)
        else:
            result.intact += 1
            result.rewritten += bool(outcome.result)
        tick(result.intact + len(result.findings))

    bound = source.values.max_concurrency
    run_all(compare, list(here.items()), max_concurrency=bound, then=take)


def compared(
    store: ObjectStore, record: Record, key: str, info: ObjectInfo | None, *, full: bool
) -> Finding | bool:
    """Compare one value: a difference, or whether it is another version with the same bytes."""
    uri = record.uri or ""
    same_version = info is not None and bool(record.etag) and info.etag == record.etag
    if not same_version:
        try:
            info = store.head(key)
        except ObjectNotFoundError:
            reason = f"run {record.run_id} materialized it, and nothing is there"
            return _finding("missing", record, uri, reason)
        same_version = bool(record.etag) and info.etag == record.etag
    if info is None:  # pragma: no cover - head gave it
        raise AssertionError
    if record.size is not None and info.size != record.size:
        reason = f"it has {info.size:,} bytes, and {record.size:,} were written"
        return _finding("altered", record, uri, reason, info)
    found = info.header.digest if info.header else None
    if full:
        found = digest_in(store, info)
    if record.digest is not None and found is not None:
        if found != record.digest:
            return _finding("altered", record, uri, "its bytes have another digest", info)
        return not same_version
    if same_version or not record.etag:
        return False
    return _finding("altered", record, uri, "it is another version of the same size", info)


def _fault_of_parts(store: ObjectStore, entry: Entry, *, full: bool) -> str | None:
    """What is wrong with the parts that a manifest names."""
    manifest, folder = manifest_of(store, entry), folder_of(store, entry)
    there = {info.key: info for info in entry.parts}
    for part in manifest.parts if manifest else ():
        key = folder.key(part.name)
        # Asked for once more: it may have been written after the listing.
        try:
            info = there.get(key) or store.head(key)
        except ObjectNotFoundError:
            return f"its part {part.name} is not there"
        if info.size != part.size or (full and digest_in(store, info) != part.digest):
            return f"its part {part.name} is not the one that was written"
    return None


def digest_in(store: ObjectStore, info: ObjectInfo) -> str:
    """The digest of an object's bytes, read in pieces."""
    digest = Digest()
    with store.open(info.key, info) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.text


def _leftover(
    result: Verification, entry: Entry, records: dict[tuple[tuple[str, ...], str | None], Record]
) -> None:
    if entry.address is None:
        result.others += 1
    elif isinstance(entry.address, OpAddress):
        result.ops += 1
    else:
        newer = records.get((entry.address.path, partition_of(entry.address)))
        reason = "no materialization in the event log"
        if newer is not None:
            reason = f"the last materialization is {newer.uri}"
        result.findings.append(
            Finding(
                "orphaned",
                entry.info.uri,
                reason,
                name_of(entry.address),
                partition_of(entry.address),
                info=entry.info,
            )
        )


def _finding(
    kind: Kind, record: Record, uri: str, reason: str, info: ObjectInfo | None = None
) -> Finding:
    name = name_of(AssetAddress(record.path))
    return Finding(kind, uri, reason, name, record.partition, record, info)
