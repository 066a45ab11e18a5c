"""The tables of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.running import ROUNDS, Bound, Case, Record, Results

__all__ = ["bounds_table", "lines", "table"]

MIB = 1024 * 1024


def _seconds(record: Record) -> str:
    return f"{record.median('seconds'):.2f}"


def _spread(record: Record) -> str:
    return f"{record.least('seconds'):.2f} to {record.most('seconds'):.2f}"


def _requests(record: Record) -> str:
    least, most = record.least("requests"), record.most("requests")
    return f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}"


#: By name: the head of the column, and its cell.
COLUMNS: dict[str, tuple[str, Callable[[Record], str]]] = {
    "seconds": ("s, median", _seconds),
    "spread": ("least to most", _spread),
    "cpu": ("CPU-s", lambda record: f"{record.median('cpu'):.2f}"),
    "memory": ("peak, MiB", lambda record: f"{record.median('memory') / MIB:,.0f}"),
    "requests": ("requests", _requests),
    "methods": (
        "which",
        lambda record: ", ".join(f"{k} {v}" for k, v in record.rounds[-1]["requests"].items()),
    ),
    "rounds": ("rounds", lambda record: str(len(record.rounds))),
    "moved": (
        "MB moved",
        lambda record: f"{(record.median('up') + record.median('down')) / 1e6:,.1f}",
    ),
}


def lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: of its columns all but the first hold figures."""
    out = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join([*out, *(f"| {' | '.join(row)} |" for row in rows), ""])


def table(case: Case, results: Results) -> str:
    """One case."""
    columns = [COLUMNS[name] for name in case.columns]
    compared = any(record.way.beside for record in results.values())
    head = ["what", *(title for title, _ in columns), *(["to the floor"] if compared else [])]

    def cells(name: str, record: Record) -> list[str]:
        name = name + (f" ({len(record.rounds)} rounds)" if len(record.rounds) < ROUNDS else "")
        out = [name, *(cell(record) for _, cell in columns)]
        if compared:
            beside = results.get(record.way.beside)
            out.append(f"{record.over(beside):.2f}" if beside else "")
        return out

    return lines(head, (cells(name, record) for name, record in results.items() if record.rounds))


def bounds_table(bounds: Sequence[Bound]) -> str:
    """What must hold, and whether it does."""
    rows = (
        [
            bound.what,
            f"{bound.value:,.2f}",
            f"{'≥' if bound.least else '≤'} {bound.limit:,g}",
            "yes" if bound.holds else "**no**",
        ]
        for bound in bounds
    )
    return lines(["bound", "measured", "wanted", "holds"], rows)
