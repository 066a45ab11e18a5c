"""Docstrings as the site shows them: names instead of the roles that editors know, and examples."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)
_ROLE = re.compile(r":(?:py:)?[a-z]+:`~?(?:[^`<]*?\.)?([\w()]+)`|:[a-z]+:`([^`<]+?)\s*<[^`]*>`")


class Roles(griffe.Extension):
    """Turns each role into the name that it leads to, and ``Example`` into the section."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every object that has been read."""
        if obj.docstring:
            text = _ROLE.sub(r"`\1\2`", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)
