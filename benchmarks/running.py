"""Running ways beside each other: each in a process of its own, in turn, in every round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "ROUNDS", "Bound", "Case", "Record", "Results", "Way", "run"]

ROOT = Path(__file__).parents[1]
#: Of every way, if it is not said otherwise.
ROUNDS = 5
_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do something.

    Attributes:
        name: For people; unique in its case.
        call: The function of the case's module: takes a meter and what is given here and by the
            case's server, and measures.
        given: Its arguments.
        warm: Those that differ in a first call, which is not measured: it imports and connects
            what every later call of the process shares. No first call if empty.
        peer: Whether it runs in the environment of the peers, not in ours.
        beside: The name of the way that it is compared with.
        rounds: How often.
    """

    name: str
    call: str
    given: Mapping[str, Any] = field(default_factory=dict)
    warm: Mapping[str, Any] = field(default_factory=dict)
    peer: bool = False
    beside: str = ""
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must not exceed, or not fall below.

    Attributes:
        what: For people, with its unit.
        value: As measured.
        limit: The bound.
        least: Whether it is a lower bound.
    """

    what: str
    value: float
    limit: float
    least: bool = False

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.value >= self.limit if self.least else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Record:
    """What was measured of one way: each list has a figure for each round.

    Attributes:
        way: Which.
        rounds: As :meth:`~benchmarks.meter.Meter.record` gives them, and what the way returned.
    """

    way: Way
    rounds: list[dict[str, Any]]

    def all(self, name: str) -> list[float]:
        """One figure, round by round; requests are added up."""
        found = [one[name] for one in self.rounds]
        return [float(sum(x.values()) if isinstance(x, dict) else x) for x in found]

    def median(self, name: str) -> float:
        """Of one figure."""
        return statistics.median(self.all(name))

    def least(self, name: str) -> float:
        """Of one figure."""
        return min(self.all(name))

    def most(self, name: str) -> float:
        """Of one figure."""
        return max(self.all(name))

    def over(self, other: Record, name: str = "seconds") -> float:
        """As a multiple of another: of that in the same round, whose noise is the same."""
        if len(self.rounds) != len(other.rounds):
            return self.median(name) / other.median(name)
        pairs = zip(self.all(name), other.all(name), strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)


Results = Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class Case:
    """Ways to do the same, or alike.

    Attributes:
        name: Of its module.
        title: For people.
        about: What is measured, how, and what the limit is; Markdown.
        ways: In the order of the table.
        serving: Runs the server and fills it; gives the arguments that all ways take.
        bounds: What must hold.
        limit: What keeps it from being faster or smaller, for the report.
        columns: The figures of the table, by their names in :mod:`benchmarks.report`.
    """

    name: str
    title: str
    about: str
    ways: Sequence[Way]
    serving: Callable[[], AbstractContextManager[Mapping[str, Any]]]
    bounds: Callable[[Results], Sequence[Bound]]
    limit: str = ""
    columns: Sequence[str] = ("seconds", "cpu", "memory", "requests", "moved")


def run(
    case: Case, peers: Path, *, log: Callable[[str], None], rounds: int = 0, only: str = ""
) -> Results:
    """Measure.

    Args:
        case: What.
        peers: The interpreter that has the peers.
        log: Is told of each round.
        rounds: Instead of what the ways say, if fewer.
        only: Of the ways whose names have this in them.
    """
    ways = [way for way in case.ways if only in way.name]
    found: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    with case.serving() as given:
        for number in range(max(way.rounds for way in ways)):
            if rounds and number >= rounds:
                break
            begun = time.monotonic()
            # Forth and back: nobody always follows the same one.
            for way in ways if number % 2 else reversed(ways):
                if number < way.rounds:
                    python = peers if way.peer else Path(sys.executable)
                    found[way.name].append(_once(python, case.name, way, given))
                    one = found[way.name][-1]
                    log(f"  {way.name}: {one['seconds']:.2f} s, {one['cpu']:.2f} CPU-s")
            log(f"{case.name}: round {number + 1} took {time.monotonic() - begun:.0f} s")
    return {way.name: Record(way, found[way.name]) for way in ways}


def _once(python: Path, case: str, way: Way, given: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {**given, **way.given}
    warm = json.dumps({**arguments, **way.warm} if way.warm else {})
    done = subprocess.run(  # noqa: S603 - our own command
        [
            str(python),
            "-W",
            "ignore",
            "-m",
            "benchmarks.worker",
            case,
            way.call,
            json.dumps(arguments),
            warm,
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes"},
    )
    if done.returncode:
        msg = f"{case}, {way.name}:\n{done.stderr[-4000:]}"
        raise RuntimeError(msg)
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record
