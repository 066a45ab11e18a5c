"""Writes the report of what was measured last into the documentation; fails if a bound is broken.

Run by ``nox -s bench`` where Matplotlib is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.plots import plot_growth, plot_partitions
from benchmarks.report import bounds_table, table
from benchmarks.results import CASES, case_of, kept
from benchmarks.running import ROOT, Bound, Results

_DOCS = ROOT / "docs" / "explanation"
_HEAD = """\
# Performance

What `nox -s bench` measured last; this page is made by it. Each way runs in a process of its own,
in turn with the others in each round, forth and back; the tables have medians of five rounds or
more, where they do not say otherwise. *Peak* is memory above what the process had before: the value
that is written is not in it, the one that is read is. *To the floor* is the median, over the
rounds, of the ratio to the bare client or the direct call of the same round. After a change, those
ways of a case that it concerns are measured anew.

The cloud is a server of our own in another process, which answers each request after 30 ms and
gives each connection 90 MB/s in either direction, as S3 does from within a region; it computes
nothing. On loopback without the two, none of the differences below could be seen. It shares the
cores with the client.

"""


def main() -> None:
    """Write the page and its plots."""
    measured = {name: found for name in CASES if (found := kept(name))}
    parts = [_HEAD]
    bounds: list[Bound] = []
    places = {told["machine"] for _, told in measured.values()}
    days = sorted({told["day"] for _, told in measured.values()})
    parts.append(f"Measured on {' and '.join(days)}: {'; and '.join(sorted(places))}.\n\n")
    if missing := [case_of(name).title for name in CASES if name not in measured]:
        parts.append(f"Not measured yet: {'; '.join(missing)}.\n\n")
    sections = list(_sections(measured, bounds))
    parts += ["## What must hold\n\n", bounds_table(bounds), "\n", *sections]
    (_DOCS / "performance.md").write_text("".join(parts).rstrip() + "\n", encoding="utf-8")
    for name, plot in (("partitions", plot_partitions), ("growth", plot_growth)):
        if name in measured:
            plot(measured[name][0], _DOCS / f"performance-{name}.svg")
    broken = [bound.what for bound in bounds if not bound.holds]
    if broken:
        sys.exit("These bounds do not hold: " + "; ".join(broken))


def _sections(
    measured: dict[str, tuple[Results, dict[str, Any]]], bounds: list[Bound]
) -> Iterator[str]:
    for name, (results, _) in measured.items():
        case = case_of(name)
        bounds += case.bounds(results)
        yield f"## {case.title}\n\n{case.about}\n\n"
        if name in {"partitions", "growth"}:
            yield f"![{case.title}](performance-{name}.svg)\n\n"
        yield table(case, results) + "\n"
        if case.limit:
            yield f"**What limits it:** {case.limit}\n\n"


if __name__ == "__main__":
    main()
