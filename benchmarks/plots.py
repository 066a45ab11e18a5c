"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.cases.growth import COUNTS, SIZES
from benchmarks.running import Record, Results

__all__ = ["plot_growth", "plot_partitions"]

mpl.use("svg")
# The same file for the same figures.
mpl.rcParams["svg.hashsalt"] = "dagster-buckets"

MIB = 1024 * 1024
_OURS, _BARE, _OTHERS = "#1f6feb", "#8b949e", "#d29922"


def plot_partitions(found: Results, target: Path) -> None:
    """Bars of seconds, on a logarithmic scale: ours, the bare client, the others."""
    from matplotlib import pyplot as plt

    records = sorted(found.items(), key=lambda pair: pair[1].median("seconds"))
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(records) + 1))
    for number, (name, record) in enumerate(records):
        seconds = record.median("seconds")
        colour = _OURS if name.startswith("ours") else _OTHERS
        colour = _BARE if name.startswith("bare") else colour
        axes.barh(number, seconds, color=colour)
        axes.text(seconds * 1.05, number, f"{seconds:.1f} s", va="center", fontsize=8)
    labels = [name.replace("`", "").replace("$", "") for name, _ in records]
    axes.set_yticks(range(len(records)), labels, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(record.median("seconds") for _, record in records) * 2)
    axes.set_xlabel("seconds for 1,000 partitions of 20 KiB at 30 ms a request")
    _saved(figure, target)


def plot_growth(found: Results, target: Path) -> None:
    """Time over partitions and over bytes, and memory over bytes; all axes logarithmic."""
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4))
    for verb in ("load", "write"):
        for who, colour in (("ours", _OURS), ("bare client", _BARE)):
            records = [found[f"{verb} {count:,} partitions: {who}"] for count in COUNTS]
            style = "-o" if verb == "load" else "--o"
            _line(left, COUNTS, records, "seconds", f"{verb}, {who}", style, colour)
    _labelled(left, "partitions of 20 KiB", "seconds")
    for verb, style in (("write", "--o"), ("read", "-o")):
        sizes = [size / MIB for size in SIZES.values()]
        values = [found[f"{verb} {label} of bytes"] for label in SIZES]
        streams = {s: found.get(f"{verb} a stream of {label}") for label, s in SIZES.items()}
        streamed = [record for record in streams.values() if record]
        known = [size / MIB for size, record in streams.items() if record]
        for axes, figure_of in ((middle, "seconds"), (right, "memory")):
            _line(axes, sizes, values, figure_of, f"{verb}, bytes", style, _OURS)
            _line(axes, known, streamed, figure_of, f"{verb}, stream of batches", style, _OTHERS)
    _labelled(middle, "MiB", "seconds")
    _labelled(right, "MiB", "peak of memory, MiB")
    _saved(figure, target)


def _line(  # noqa: PLR0913, PLR0917 - what a line is
    axes: Any,
    x: Sequence[float],
    records: Sequence[Record],
    name: str,
    label: str,
    style: str,
    colour: str,
) -> None:
    unit = MIB if name == "memory" else 1
    # A logarithmic scale has no zero.
    values = [max(record.median(name) / unit, 1e-2) for record in records]
    axes.plot(x, values, style, label=label, color=colour, markersize=4)


def _labelled(axes: Any, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=7)


def _saved(figure: Any, target: Path) -> None:
    figure.tight_layout()
    figure.savefig(target, format="svg", metadata={"Date": None})
