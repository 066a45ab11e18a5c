"""What was measured, case by case, between the run that measures and the report."""

from __future__ import annotations

import importlib
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.running import ROOT, Case, Record, Results

__all__ = ["CASES", "case_of", "keep", "kept", "machine"]

#: In the order of the report.
CASES = (
    "partitions",
    "read_from",
    "gcs",
    "large",
    "frames",
    "streams",
    "parts",
    "local",
    "projection",
    "requests",
    "keys",
    "imports",
    "integrity",
    "growth",
)
#: In the repository, so that one case can be measured anew without the others.
_FOLDER = ROOT / "benchmarks" / "records"
_LIBRARIES = ("dagster", "pyarrow", "polars", "pandas", "obstore", "boto3", "gcsfs")


def case_of(name: str) -> Case:
    """A case by the name of its module."""
    case: Case = importlib.import_module(f"benchmarks.cases.{name}").CASE
    return case


def keep(name: str, results: Results) -> None:
    """Keep what was measured, instead of what was before."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    ways = {way: record.rounds for way, record in results.items()}
    told = {"machine": machine(), "day": time.strftime("%Y-%m-%d"), "ways": ways}
    (_FOLDER / f"{name}.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def kept(name: str) -> tuple[Results, dict[str, Any]] | None:
    """What was measured last, and where and when; ``None`` if it never was."""
    path = _FOLDER / f"{name}.json"
    if not path.exists():
        return None
    told = json.loads(path.read_text("utf-8"))
    ways = told.pop("ways")
    found = {way.name: Record(way, ways[way.name]) for way in case_of(name).ways}
    return found, told


def machine() -> str:
    """What it ran on, for people."""
    about = Path("/proc/cpuinfo").read_text("utf-8")
    models = [line.partition(":")[2].strip() for line in about.splitlines() if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{os.cpu_count()} virtual cores ({models[0] if models else platform.machine()}), "
        f"{memory:.0f} GiB of memory, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}; {libraries}"
    )
