"""What counts as a difference: the event log with a bucket, a bucket with another."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagster_buckets import AssetAddress, Body, HiveLayout, MemoryStore, OpAddress, ValueStore
from dagster_buckets.cli.comparing import Record, Verification, verified
from dagster_buckets.cli.differences import differences
from dagster_buckets.cli.inventory import inventory
from dagster_buckets.cli.source import KnownAsset, Source
from dagster_buckets.values import Stored

A, B = AssetAddress.of(["a"], "1"), AssetAddress.of(["b"])


def empty() -> Source:
    return Source(ValueStore(MemoryStore(secrets.token_hex(8)), HiveLayout()))


def record_of(stored: Stored) -> Record:
    address, info = stored.address, stored.info
    assert isinstance(address, AssetAddress)
    partition = address.partition[0][1] if address.partition else None
    return Record(
        *(address.path, partition, "run", datetime.now(UTC)),
        uri=info.uri,
        size=info.size,
        etag=info.etag,
        digest=info.header.digest if info.header else None,
    )


def kinds(found: Verification) -> list[tuple[str, str | None]]:
    return [(finding.kind, finding.asset) for finding in found.findings]


def test_nothing_differs() -> None:
    source = empty()
    records = [record_of(source.values.write(address, [1])) for address in (A, B)]
    found = verified(source, inventory(source), records)
    assert (found.findings, found.intact, found.rewritten) == ([], 2, 0)


def test_missing_altered_and_orphaned() -> None:
    source = empty()
    one, two = (source.values.write(address, [1]) for address in (A, B))
    source.values.store.delete([one.info.key])
    source.values.store.put(two.info.key, Body(iter([b"[2]"])))
    source.values.write(AssetAddress.of(["c"]), [3])
    source.values.write(OpAddress("r", "s", "o"), [4])
    source.values.store.put("x", Body.of(b"y"))
    found = verified(source, inventory(source), [record_of(one), record_of(two)])
    assert kinds(found) == [("missing", "a"), ("altered", "b"), ("orphaned", "c")]
    assert "another version of the same size" in found.findings[1].reason
    assert (found.intact, found.ops, found.others) == (0, 1, 1)


def test_the_same_bytes_written_again_are_no_difference() -> None:
    source = empty()
    record = record_of(source.values.write(B, [1]))
    source.values.write(B, [1])
    changed = replace(record, etag="another")
    found = verified(source, inventory(source), [changed])
    assert (found.findings, found.intact, found.rewritten) == ([], 1, 1)
    found = verified(source, inventory(source), [replace(changed, digest="xxh3-128:00")])
    assert kinds(found) == [("altered", "b")]


def test_size_differs() -> None:
    source = empty()
    record = record_of(source.values.write(B, [1]))
    found = verified(source, inventory(source), [replace(record, size=99, etag="")])
    assert found.findings[0].reason == "it has 3 bytes, and 99 were written"


def test_only_full_finds_bytes_that_changed_under_the_same_version() -> None:
    source = empty()
    record = replace(record_of(source.values.write(B, [1])), digest="xxh3-128:00")
    # Of the version that was noted the header is not asked for.
    assert kinds(verified(source, inventory(source), [record])) == []
    assert kinds(verified(source, inventory(source), [record], full=True)) == [("altered", "b")]


def test_what_a_run_writes_meanwhile_is_no_difference() -> None:
    source = empty()
    before = inventory(source)
    one = source.values.write(A, [1])
    assert verified(source, before, [record_of(one)]).findings == []
    before = inventory(source)
    again = source.values.write(A, [1, 2])
    assert verified(source, before, [record_of(again)]).findings == []


def test_values_elsewhere() -> None:
    record = Record(("a",), None, "run", datetime.now(UTC), uri="memory://other/a/data.json")
    none = replace(record, uri=None)
    source = empty()
    found = verified(source, [], [record, none])
    assert (found.findings, found.unrecorded) == ([], 1)
    known = KnownAsset(("a",), None, lambda _: AssetAddress(("a",)), lambda: None)
    found = verified(Source(source.values, {("a",): known}), [], [record])
    assert kinds(found) == [("missing", "a")]
    assert "where this I/O manager does not look" in found.findings[0].reason


def test_an_older_format_of_a_value_is_orphaned() -> None:
    source = empty()
    source.values.write(B, [1], format_name="json")
    record = record_of(source.values.write(B, b"1", format_name="bytes"))
    found = verified(source, inventory(source), [record])
    assert kinds(found) == [("orphaned", "b")]
    assert str(record.uri) in found.findings[0].reason


def test_sizes_and_formats_are_reasons() -> None:
    one, other = empty(), empty()
    one.values.write(A, [1])
    other.values.write(A, [11])
    one.values.write(B, [1])
    other.values.write(B, "[1]")
    result = differences(one, other, (inventory(one), inventory(other)))
    assert [difference.reason for difference in result.found] == [
        "it has 3 bytes in A and 4 in B", "its format is json in A and text in B",
    ]  # fmt: skip


def diff(one: Source, other: Source, **options: Any) -> tuple[list[tuple[str, str]], int, int]:
    result = differences(one, other, (inventory(one), inventory(other)), **options)
    found: list[tuple[str, str]] = [(d.kind, str(d.document()["asset"])) for d in result.found]
    return found, result.alike, result.undecided


def test_differences_of_two_buckets() -> None:
    one, other = empty(), empty()
    for name, left, right in (
        ("same", [1], [1]), ("left", [1], None), ("right", None, [1]), ("bytes", [1], [2]),
        ("size", [1], [22]), ("format", [1], "[1]"),
    ):  # fmt: skip
        for source, value in ((one, left), (other, right)):
            if value is not None:
                source.values.write(AssetAddress.of([name]), value)
    assert diff(one, other) == (
        [("differs", "bytes"), ("differs", "format"), ("only in A", "left"),
         ("only in B", "right"), ("differs", "size")], 1, 0,
    )  # fmt: skip


def test_what_has_no_digest_is_undecided_until_it_is_read() -> None:
    one, other = empty(), empty()
    for source, data in ((one, b"[1]"), (other, b"[2]")):
        source.values.store.put(HiveLayout().key(B, "json"), Body.of(data))
        stream = Body(iter([b"[0]"]))
        source.values.store.put(HiveLayout().key(A, "json"), stream)
    assert diff(one, other) == ([("differs", "b")], 0, 1)
    found, alike, undecided = diff(one, other, full=True)
    assert (found, alike, undecided) == ([("differs", "b")], 1, 0)
