"""Measures, writes what was measured, and judges it: ``python -m benchmarks [CASE …]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.report import bounds_table, table
from benchmarks.running import ROOT, Case, run

CASES = ("partitions", "large", "frames", "streams", "keys", "imports", "local")
_RESULTS = ROOT / ".nox" / "bench-results"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--peers", type=Path, required=True, help="the peers' interpreter")
    parser.add_argument("--only", default="", help="ways whose names have this in them")
    parser.add_argument("--rounds", type=int, default=0, help="instead of five")
    given = parser.parse_args()
    broken = False
    for name in given.cases or CASES:
        case: Case = importlib.import_module(f"benchmarks.cases.{name}").CASE
        results = run(case, given.peers, log=_log, rounds=given.rounds, only=given.only)
        sys.stdout.write(table(case, results) + "\n")
        if given.only:
            continue
        _RESULTS.mkdir(parents=True, exist_ok=True)
        saved = {way: record.rounds for way, record in results.items()}
        (_RESULTS / f"{name}.json").write_text(json.dumps(saved, indent=1), encoding="utf-8")
        bounds = case.bounds(results)
        sys.stdout.write(bounds_table(bounds) + "\n")
        broken |= not all(bound.holds for bound in bounds)
    sys.exit(broken)


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
