"""Times: partition keys of time windows, taken apart into the digits of a template and back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping

__all__ = ["CHAINS", "digits_of", "example_keys", "key_of"]

# Dagster's own spellings; a template's fields decide which of them its partition keys have.
_SPELLINGS = {"S": "%Y-%m-%d-%H:%M:%S", "H": "%Y-%m-%d-%H:%M", "": "%Y-%m-%d"}
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d(-\d\d:\d\d(:\d\d)?)?", re.ASCII)

#: The sets of directives that leave no time out between two that they tell.
CHAINS = tuple(
    frozenset(day + finer)
    for day in ("Y", "Ym", "Ymd", "Yj", "Ymdj")
    for finer in (("", "H", "HM", "HMS") if day[-1] in "dj" else ("",))
)


def digits_of(key: str, directives: Collection[str]) -> dict[str, str] | None:
    """The digits that each directive gives for a partition key; ``None`` if it spells no time."""
    moment = _moment(key, _spelling(directives))
    if moment is None:
        return None
    known = {
        "Y": f"{moment.year:04}",
        "m": f"{moment.month:02}",
        "d": f"{moment.day:02}",
        "j": f"{moment.timetuple().tm_yday:03}",
        "H": f"{moment.hour:02}",
        "M": f"{moment.minute:02}",
        "S": f"{moment.second:02}",
    }
    return {directive: known[directive] for directive in directives}


def key_of(digits: Mapping[str, str]) -> str | None:
    """The partition key of these digits; what they leave out is the first of its kind.

    ``None`` where they are no time, or do not tell the year.
    """
    numbers = {directive: int(text) for directive, text in digits.items()}
    try:
        moment = dt.datetime(  # noqa: DTZ001 - a partition key has no zone
            numbers.get("Y", 0),
            numbers.get("m", 1),
            numbers.get("d", 1),
            numbers.get("H", 0),
            numbers.get("M", 0),
            numbers.get("S", 0),
        )
        if "j" in numbers and "d" not in numbers:
            moment += dt.timedelta(days=numbers["j"] - 1)
    except (ValueError, OverflowError):
        return None
    return moment.strftime(_spelling(digits).replace("%Y", f"{moment.year:04}"))


def example_keys(directives: Collection[str]) -> list[str]:
    """Partition keys that differ in one part of the time each."""
    spelling = _spelling(directives)
    moments = [
        dt.datetime(2024, 1, 1),  # noqa: DTZ001
        dt.datetime(2023, 1, 1),  # noqa: DTZ001
        dt.datetime(2024, 2, 1),  # noqa: DTZ001
        dt.datetime(2024, 1, 2),  # noqa: DTZ001
        dt.datetime(2024, 1, 1, 1),  # noqa: DTZ001
        dt.datetime(2024, 1, 1, 0, 1),  # noqa: DTZ001
    ]
    return list(dict.fromkeys(moment.strftime(spelling) for moment in moments))


def _spelling(directives: Collection[str]) -> str:
    if "S" in directives:
        return _SPELLINGS["S"]
    return _SPELLINGS["H" if {"H", "M"} & set(directives) else ""]


def _moment(key: str, spelling: str) -> dt.datetime | None:
    # strptime alone would take digits that are missing.
    if not _SHAPE.fullmatch(key):
        return None
    try:
        return dt.datetime.strptime(key, spelling)  # noqa: DTZ007
    except ValueError:
        return None
