"""Measures, prints and keeps it: ``python -m benchmarks --peers PYTHON [CASE …]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.report import bounds_table, table
from benchmarks.results import CASES, case_of, keep
from benchmarks.running import run


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--peers", type=Path, required=True, help="the peers' interpreter")
    parser.add_argument("--only", default="", help="ways whose names have this in them")
    parser.add_argument("--rounds", type=int, default=0, help="instead of five")
    given = parser.parse_args()
    for name in given.cases or CASES:
        case = case_of(name)
        results = run(case, given.peers, log=_log, rounds=given.rounds, only=given.only)
        sys.stdout.write(table(case, results) + "\n")
        if given.only:
            continue
        keep(name, results)
        sys.stdout.write(bounds_table(case.bounds(results)) + "\n")


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
