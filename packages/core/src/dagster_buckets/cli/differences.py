"""Differences: what one bucket holds and another does not, or otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dagster_buckets.address import Address, OpAddress
from dagster_buckets.cli.comparing import digest_in
from dagster_buckets.cli.inventory import Entry, name_of, partition_of
from dagster_buckets.cli.manifests import digest_of_parts, manifest_of

if TYPE_CHECKING:
    from dagster_buckets.cli.source import Source

__all__ = ["Comparison", "Difference", "differences"]

Kind = Literal["only in A", "only in B", "differs"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that the buckets do not have alike.

    Attributes:
        kind: What is the case.
        address: Whose value.
        reason: What differs.
        left: The newest object of it in A; ``None`` for none.
        right: That in B.
    """

    kind: Kind
    address: Address
    reason: str
    left: Entry | None = None
    right: Entry | None = None

    def document(self) -> dict[str, Any]:
        """As a member of a JSON document."""
        sides = {
            side: entry
            and {
                "uri": entry.info.uri,
                "format": entry.format,
                "size_bytes": entry.size,
                "modified": entry.info.modified,
            }
            for side, entry in (("a", self.left), ("b", self.right))
        }
        name, partition = name_of(self.address), partition_of(self.address)
        kind = self.kind.replace(" ", "_").lower()
        return {
            "kind": kind, "asset": name, "partition": partition, "reason": self.reason, **sides,
        }  # fmt: skip


@dataclass(slots=True)
class Comparison:
    """What two buckets have in common, and what not.

    Attributes:
        found: The differences.
        alike: Values of the same bytes.
        undecided: Values of the same size and format whose digests are not known on both sides.
    """

    found: list[Difference] = field(default_factory=list)
    alike: int = 0
    undecided: int = 0


def differences(  # noqa: PLR0913 - two sides, and how
    left: Source,
    right: Source,
    entries: tuple[Sequence[Entry], Sequence[Entry]],
    *,
    full: bool = False,
    ops: bool = False,
    tick: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare the values of two buckets by their addresses, whatever the layouts.

    Of several formats of one value the newest counts. Objects that are no values are left out.

    Args:
        left: A.
        right: B.
        entries: What is in each.
        full: Read the bytes of values of the same size and format, and compare their digests.
        ops: Compare outputs of ops, too.
        tick: Called with the number of values that were compared.

    Raises:
        StoreError: A store does not answer, or refuses.
    """
    from dagster_buckets.transfer import Outcome, run_all

    in_a, in_b = (_newest(side, ops=ops) for side in entries)
    result = Comparison()

    def compare(address: Address) -> Difference | bool | None:
        a, b = in_a.get(address), in_b.get(address)
        if a is None or b is None:
            kind: Kind = "only in A" if b is None else "only in B"
            return Difference(kind, address, f"it is {kind}", a, b)
        reason = _reason(a, b)
        if reason is None:
            one, other = _digest(left, a, full=full), _digest(right, b, full=full)
            if one is None or other is None:
                return None
            reason = None if one == other else "their bytes have different digests"
        return reason is None or Difference("differs", address, reason, a, b)

    def take(outcome: Outcome[Address, Difference | bool | None]) -> None:
        if outcome.error is not None:
            raise outcome.error
        if isinstance(outcome.result, Difference):
            result.found.append(outcome.result)
        elif outcome.result is None:
            result.undecided += 1
        else:
            result.alike += 1
        tick(result.alike + result.undecided + len(result.found))

    addresses = sorted({*in_a, *in_b}, key=lambda a: (name_of(a) or "", partition_of(a) or ""))
    run_all(compare, addresses, max_concurrency=left.values.max_concurrency, then=take)
    return result


def _newest(entries: Sequence[Entry], *, ops: bool) -> dict[Address, Entry]:
    found: dict[Address, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.info.modified):
        if entry.address is not None and (ops or not isinstance(entry.address, OpAddress)):
            found[entry.address] = entry
    return found


def _reason(a: Entry, b: Entry) -> str | None:
    if (a.format, a.compression) != (b.format, b.compression):
        return f"its format is {a.format} in A and {b.format} in B"
    if a.is_manifest != b.is_manifest:
        return f"it lies in parts in {'A' if a.is_manifest else 'B'} only"
    if not a.is_manifest and a.info.size != b.info.size:
        return f"it has {a.info.size:,} bytes in A and {b.info.size:,} in B"
    return None


def _digest(source: Source, entry: Entry, *, full: bool) -> str | None:
    if entry.is_manifest:
        manifest = manifest_of(source.values.store, entry)
        # Names differ between writes; what is in the parts, their digests tell.
        return "none" if manifest is None else digest_of_parts(manifest)
    if full:
        return digest_in(source.values.store, entry.info)
    header = source.values.store.head(entry.info.key).header
    return header.digest if header else None
