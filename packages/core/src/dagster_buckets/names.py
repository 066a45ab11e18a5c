"""Names that mean something in settings and metadata, for modules that must be cheap to import."""

from __future__ import annotations

from typing import Final

__all__ = ["AUTO", "MANIFEST"]

#: As a format: the one that goes with the value's type.
AUTO: Final = "auto"
#: Behind the extension of a format whose values lie in parts: that of the manifest.
MANIFEST = "manifest"
