"""8 GiB of record batches into parts and back, in processes of less than 1 GiB, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.cases.streams import BATCH, FORMS, GIB, MIB, ROUNDS, serving, through
from benchmarks.meter import Meter, peak
from benchmarks.running import Bound, Case, Results, Way

PART_SIZE = 128 * MIB


def stream(meter: Meter, *, endpoint: str, form: str, verb: str, **sizes: int) -> Mapping[str, Any]:
    """Write such a stream through Dagster, or read one and compare every value."""
    through(meter, endpoint=endpoint, form=form, verb=verb, **sizes)
    return {"whole": peak()}


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    return [
        Bound(f"parts, {name}: MiB of the whole process", record.most("whole") / MIB, GIB / MIB)
        for name, record in found.items()
    ]


CASE = Case(
    name="parts",
    title="8 GiB of record batches in parts, in 1 GiB",
    about=(
        "The same stream, which rolls over into parts of 128 MiB. What is bounded is all the "
        "memory of the process, with Dagster and the libraries. Every value that is read is "
        "compared with what was made."
    ),
    limit=(
        "As above. One part is encoded and sent while the next one is filled, and a part is "
        "fetched while the one before it is read."
    ),
    ways=[
        Way(
            f"{verb}, {form}",
            "stream",
            {"form": form, "verb": verb, "part_size": PART_SIZE},
            warm={"size": 4 * BATCH},
            rounds=ROUNDS,
        )
        for form in FORMS
        for verb in ("write", "read")
    ],
    serving=serving,
    bounds=bounds,
)
