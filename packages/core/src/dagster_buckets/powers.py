"""Powers: the small protocols that a format or a store has beside that of all."""

from __future__ import annotations

from typing import Any

__all__ = ["has_power"]

_KNOWN: dict[tuple[type, Any], bool] = {}


def has_power(plugin: object, power: Any) -> bool:
    """Whether a plugin has a power: Python takes 15 µs to find out, for each object."""
    key = (type(plugin), power)
    if key not in _KNOWN:
        _KNOWN[key] = isinstance(plugin, power)
    return _KNOWN[key]
