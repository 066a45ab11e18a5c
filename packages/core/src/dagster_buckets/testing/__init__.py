"""The test kit: what every store, format, layout and I/O manager must do, as classes to subclass.

Needs ``dagster-buckets-core[testing]``. A plugin's test module gives a subclass its fixtures.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_buckets.testing.formats import FormatConformance, FormatSamples
    from dagster_buckets.testing.io_managers import IOManagerConformance
    from dagster_buckets.testing.layouts import LayoutConformance
    from dagster_buckets.testing.stores import RawObjects, StoreConformance

__all__ = [
    "FormatConformance",
    "FormatSamples",
    "IOManagerConformance",
    "LayoutConformance",
    "RawObjects",
    "StoreConformance",
]

_HOMES = {
    "FormatConformance": "formats",
    "FormatSamples": "formats",
    "IOManagerConformance": "io_managers",
    "LayoutConformance": "layouts",
    "RawObjects": "stores",
    "StoreConformance": "stores",
}


def __getattr__(name: str) -> Any:
    # A store's tests need neither Dagster nor Hypothesis.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
