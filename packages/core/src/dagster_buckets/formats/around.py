"""Around: what a format has of the one that it is put around."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_buckets.formats.base import Format

__all__ = ["Around"]


@dataclass(frozen=True, slots=True)
class Around:
    """A format around another one, whose values it takes, and whose name they keep.

    Args:
        inner: The other one.
    """

    inner: Format

    @property
    def name(self) -> str:
        """That of the inner format."""
        return self.inner.name

    @property
    def claims(self) -> tuple[str, ...]:
        """Those of the inner format."""
        return self.inner.claims

    @property
    def runs_code(self) -> bool:
        """As the inner format."""
        return bool(getattr(self.inner, "runs_code", False))
