"""One way, once, in this process: prints what was measured as JSON."""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.meter import Meter


def main(case: str, call: str, arguments: str, warm: str) -> None:
    """Measure once.

    Args:
        case: A module of :mod:`benchmarks.cases`.
        call: One of its functions.
        arguments: Its keyword arguments, as JSON.
        warm: The same for a first call, which is not measured; none if it is empty.
    """
    given, first = json.loads(arguments), json.loads(warm)
    way = getattr(importlib.import_module(f"benchmarks.cases.{case}"), call)
    if first:
        way(Meter(first.get("endpoint", "")), **first)
    meter = Meter(given.get("endpoint", ""))
    more = way(meter, **given) or {}
    sys.stdout.write("\n" + json.dumps({**meter.record(), **more}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
