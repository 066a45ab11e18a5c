"""What an import costs beside ``import dagster``, and the first answer of the command line."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way


def imported(meter: Meter, *, module: str, name: str) -> None:
    """Import it where Dagster is imported already."""
    import dagster  # noqa: F401

    with meter:
        getattr(importlib.import_module(module), name)


def dagster_alone(meter: Meter) -> None:
    """For scale."""
    with meter:
        import dagster  # noqa: F401


def help_of_the_command(meter: Meter) -> None:
    """All of it: a process that begins, prints and ends."""
    command = Path(sys.executable).with_name("dagster-buckets")
    with meter:
        subprocess.run([str(command), "--help"], check=True, capture_output=True)  # noqa: S603


@contextlib.contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """No server."""
    yield {}


_OURS = {
    "dagster_buckets_s3": "S3IOManager",
    "dagster_buckets_gcs": "GCSIOManager",
    "dagster_buckets_local": "LocalIOManager",
}
_PEERS = {
    "dagster_aws.s3": "S3PickleIOManager",
    "dagster_gcp.gcs": "GCSPickleIOManager",
    "dagster_polars": "PolarsParquetIOManager",
}
_HELP = "`dagster-buckets --help`, the whole process"
_ROUNDS = 9


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = [
        Bound(f"import of {name}: ms", found[f"`{name}`"].median("seconds") * 1e3, 50)
        for name in _OURS.values()
    ]
    return [*out, Bound(f"{_HELP}: seconds", found[_HELP].median("seconds"), 0.4)]


CASE = Case(
    name="imports",
    title="Imports",
    about="In a fresh process each, after `import dagster`, which they all need.",
    limit=(
        "Dagster itself, whose import takes two seconds. Of ours most is pydantic, which builds "
        "the settings of a manager."
    ),
    ways=[
        Way("`import dagster`", "dagster_alone", rounds=_ROUNDS),
        *(
            Way(f"`{name}`", "imported", {"module": module, "name": name}, rounds=_ROUNDS)
            for module, name in _OURS.items()
        ),
        *(
            Way(
                f"`{name}`",
                "imported",
                {"module": module, "name": name},
                peer=True,
                rounds=_ROUNDS,
            )
            for module, name in _PEERS.items()
        ),
        Way(_HELP, "help_of_the_command", rounds=_ROUNDS),
    ],
    serving=serving,
    bounds=bounds,
    columns=("seconds", "spread", "memory"),
)
