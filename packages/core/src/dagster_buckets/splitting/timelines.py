"""Timelines: windows of time as numbers, by instants, by days and by what local clocks show."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TypeAlias

from dagster_buckets.errors import ConfigurationError

__all__ = ["AMBIGUOUS", "Timeline", "Window", "begins_a_day", "days", "instants", "shown"]

#: From its start to before its end, both aware, in the time zone of the partitions.
Window: TypeAlias = tuple[datetime, datetime]

#: The label of a local time that the clocks show twice, in two windows.
AMBIGUOUS = -1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what clocks show, in any time zone
_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Timeline:
    """What holds from each edge to the next: the place of a window, or ``None`` between windows.

    Attributes:
        edges: Ascending, in a unit that the maker of the timeline tells.
        labels: Of each edge, what holds from there on; of the last one ``None``.

    Example:
        >>> Timeline((0, 10, 20), (1, 0, None)).at(9)
        1
    """

    edges: tuple[int, ...]
    labels: tuple[int | None, ...]

    def at(self, moment: int) -> int | None:
        """What holds then."""
        place = bisect_right(self.edges, moment)
        return self.labels[place - 1] if place else None


def instants(windows: Sequence[Window]) -> Timeline:
    """The windows by microseconds since the epoch.

    Raises:
        ConfigurationError: They overlap, or one is empty.
    """
    return _timeline([(_micros(start), _micros(end)) for start, end in windows])


def days(windows: Sequence[Window]) -> Timeline:
    """Windows of whole days by days since the epoch, as calendars show them.

    Raises:
        ConfigurationError: They overlap, or one is empty.
    """
    first = _LOCAL_EPOCH.toordinal()
    return _timeline(
        [(start.toordinal() - first, end.toordinal() - first) for start, end in windows]
    )


def begins_a_day(moment: datetime) -> bool:
    """Whether it is the first instant of a day, which is not midnight where that is skipped."""
    return _micros(datetime.combine(moment.date(), time(), moment.tzinfo)) == _micros(moment)


def shown(timeline: Timeline, zone: tzinfo | None) -> Timeline:
    """A timeline of instants by the microseconds that the clocks of a zone show.

    A time that they skip is read as if they had not been put forward yet (Python's ``fold=0``); one
    that they show twice is :data:`AMBIGUOUS` if that makes a difference.
    """
    changes = _changes(timeline, zone)
    offsets = {offset for _, before, after in changes for offset in (before, after)}
    offsets |= {_offset(edge, zone) for edge in timeline.edges}
    edges = {edge + offset for edge in timeline.edges for offset in offsets}
    edges |= {at + offset for at, before, after in changes for offset in (before, after)}

    def label(edge: int) -> int | None:
        clock = (_LOCAL_EPOCH + edge * _MICROSECOND).replace(tzinfo=zone)
        moment, later = _micros(clock), _micros(clock.replace(fold=1))
        found = timeline.at(moment)
        # A time that the clocks skip has its later reading first.
        return found if later <= moment or timeline.at(later) == found else AMBIGUOUS

    ordered = sorted(edges)
    return Timeline(tuple(ordered), tuple(label(edge) for edge in ordered))


def _timeline(spans: Sequence[tuple[int, int]]) -> Timeline:
    """The spans one after another, and what lies between them."""
    labels: dict[int, int | None] = {}
    reached = -math.inf
    for place in sorted(range(len(spans)), key=spans.__getitem__):
        start, end = spans[place]
        if not reached <= start < end:
            msg = "the windows of time overlap, or one is empty"
            raise ConfigurationError(msg, hint="give windows that follow each other")
        labels[start], labels[end] = place, None
        reached = end
    return Timeline(tuple(labels), tuple(labels.values()))


def _changes(timeline: Timeline, zone: tzinfo | None) -> list[tuple[int, int, int]]:
    """When clocks of the zone are changed near an edge, and their offsets before and after."""
    changes = []
    # No clock was ever changed by more than a day, and none twice in one.
    for day in {edge // _DAY + near for edge in timeline.edges for near in range(-2, 2)}:
        low, high = day * _DAY, (day + 1) * _DAY
        before, after = _offset(low, zone), _offset(high, zone)
        while after != before and high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
        if after != before:
            changes.append((high, before, after))
    return changes


def _offset(moment: int, zone: tzinfo | None) -> int:
    clock = (_EPOCH + moment * _MICROSECOND).astimezone(zone)
    return _micros(clock.replace(tzinfo=UTC)) - moment


def _micros(moment: datetime) -> int:
    # Python compares and subtracts two times of one zone by what the clocks show.
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
