"""The picture of the page: seconds over partitions, by the model and as measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.scale import model
from benchmarks.scale.model import Place
from benchmarks.scale.tables import measured_place

__all__ = ["plot"]

mpl.use("svg")
# The same file for the same figures.
mpl.rcParams["svg.hashsalt"] = "dagster-buckets"
_COUNTS = [10**n for n in range(1, 8)]
_COLOURS = {"write": "#1f6feb", "load": "#d29922", "list": "#8b949e"}


def plot(records: Mapping[str, Any], target: Path) -> None:
    """Lines of the model, points of what was measured; both axes logarithmic."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for verb, colour in _COLOURS.items():
        write = verb == "write"
        place = measured_place(records, write=write)
        if verb == "list":
            model_of = [model.list_pages(count) * place.latency for count in _COUNTS]
        else:
            model_of = [model.times(c, 11, place, write=write).seconds for c in _COUNTS]
        left.plot(_COUNTS, model_of, color=colour, label=f"{verb}, model")
        everything = records["partitions"]["rows"] + records["many"]["rows"]
        rows = [row for row in everything if row["verb"] == verb]
        x, y = [row["count"] for row in rows], [row["seconds"] for row in rows]
        left.plot(x, y, "o", color=colour, label=f"{verb}, measured")
    left.set_title("one run, partitions of a few bytes", fontsize=9)
    cpu = measured_place(records, write=True).cpu
    for runs, prefixes, style in ((1, 1, "-"), (100, 1, "--"), (100, 256, ":")):
        how = Place(cpu=cpu, runs=runs, prefixes=prefixes)
        seconds = [model.times(c, model.TB // c, how, write=True).seconds for c in _COUNTS]
        label = f"runs: {runs}, prefixes: {prefixes}"
        right.plot(_COUNTS, seconds, style, color=_COLOURS["write"], label=label)
    right.set_title("1 TB written, model", fontsize=9)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("partitions")
        axes.set_ylabel("seconds")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target, format="svg", metadata={"Date": None})
