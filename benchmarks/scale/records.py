"""What was measured, section by section, in ``benchmarks/records/scale.json``."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.results import machine
from benchmarks.running import ROOT

__all__ = ["Row", "check", "keep", "kept"]

Row = dict[str, Any]

_FILE = ROOT / "benchmarks" / "records" / "scale.json"


def keep(name: str, rows: list[Row]) -> None:
    """Keep the rows of one section, instead of what was before."""
    known = kept()
    known[name] = {"machine": machine(), "day": time.strftime("%Y-%m-%d"), "rows": rows}
    _FILE.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def kept() -> dict[str, Any]:
    """All sections that were measured: where, when, and the rows."""
    found: dict[str, Any] = json.loads(_FILE.read_text("utf-8")) if _FILE.exists() else {}
    return found


def check(found: int, wanted: int) -> None:
    """Fail where not all was done: such a point would mean nothing."""
    if found != wanted:
        msg = f"{found:,} instead of {wanted:,}"
        raise RuntimeError(msg)
