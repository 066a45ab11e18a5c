"""Measures the points and keeps them: ``python -m benchmarks.scale [SECTION …]``."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.scale.points import POINTS
from benchmarks.scale.records import keep


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(POINTS)}")
    for name in parser.parse_args().sections or POINTS:
        begun = time.monotonic()
        rows = POINTS[name]()
        keep(name, rows)
        for row in rows:
            sys.stdout.write(f"{name}: {row}\n")
        sys.stdout.write(f"{name} took {time.monotonic() - begun:.0f} s\n")


if __name__ == "__main__":
    main()
