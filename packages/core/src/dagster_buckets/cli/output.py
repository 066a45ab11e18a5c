"""Output: tables, sizes and ages for people, one JSON document for programs, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import click

__all__ = ["age", "dump", "pair", "plural", "progress", "shown", "size", "table"]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_AGES = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
#: Work that is done sooner shows no progress.
_LONG = 1.0
#: Seconds between two updates of what is shown.
_EACH = 0.1


def dump(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def size(count: int) -> str:
    """Bytes for people.

    Example:
        >>> size(1023), size(1536), size(5 * 1024**4)
        ('1023 B', '1.5 KiB', '5.0 TiB')
    """
    number, unit = float(count), "B"
    for larger in _UNITS:
        if number < _STEP:
            break
        number, unit = number / _STEP, larger
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def age(moment: datetime, now: datetime | None = None) -> str:
    """How long ago that was, for people.

    Example:
        >>> noon = datetime(2024, 1, 31, 12, tzinfo=UTC)
        >>> age(noon, noon.replace(hour=14, minute=59)), age(noon, noon)
        ('2 h', '0 s')
    """
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    unit, length = next(((u, n) for u, n in _AGES if seconds >= n), _AGES[-1])
    return f"{seconds // length} {unit}"


def plural(count: int, one: str, many: str = "") -> str:
    """A number and what it counts.

    Example:
        >>> plural(1, "object"), plural(1200, "object")
        ('1 object', '1,200 objects')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pair(name: str, value: object) -> None:
    """Print one line of a name and a value, if there is a value."""
    if value is not None:
        click.echo(f"{click.style(f'{name}:'.ljust(11), bold=True)} {shown(str(value))}")


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Print rows in columns; nothing is cut, so that pipes get all of it.

    Args:
        headers: Of the columns.
        rows: Texts, as many in each as there are headers.
        right: The headers of numbers.
    """
    lines = [[shown(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if header in right else cell.ljust(width)
            for cell, width, header in zip(line, widths, headers, strict=True)
        ]
        text = "  ".join(cells).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 else text)


def shown(text: str) -> str:
    """A key on one line: what would move a terminal's cursor is spelled out."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far long work is, if somebody is there to see it.

    Gives a function that takes how much is done so far.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    # Not for each of what may be millions of objects.
    due = time.monotonic() + _LONG
    bar: Any = None
    task: Any = None

    def told(done: int) -> None:
        nonlocal bar, task, due
        if time.monotonic() < due:
            return
        due = time.monotonic() + _EACH
        if bar is None:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            bar.start()
            task = bar.add_task(what, total=total)
        bar.update(task, completed=done, description=f"{what}: {done:,}")

    try:
        yield told
    finally:
        if bar is not None:
            bar.stop()
