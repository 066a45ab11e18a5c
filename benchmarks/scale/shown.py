"""Figures for people."""

from __future__ import annotations

from benchmarks.scale.model import GB, PB, TB

__all__ = ["shown_dollars", "shown_size", "shown_time"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


def shown_size(size: float) -> str:
    """Bytes."""
    for unit, name in ((PB, "PB"), (TB, "TB"), (GB, "GB"), (10**6, "MB"), (1000, "kB")):
        if size >= unit:
            return f"{size / unit:,.3g} {name}"
    return f"{size:,.0f} B"


def shown_time(seconds: float) -> str:
    """Seconds, in a unit that suits them."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.3g} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.3g} h"
    return f"{seconds / _DAY:,.3g} days"


def shown_dollars(dollars: float) -> str:
    """Dollars."""
    return f"{dollars:,.0f}" if dollars >= 100 else f"{dollars:.3g}"  # noqa: PLR2004 - no cents
