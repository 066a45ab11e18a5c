"""Forks: what the child of a process cannot use any more."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

__all__ = ["LINEAGE", "Lineage", "unforked"]


@dataclass
class Lineage:
    """Where this process stands among the forks since this module was imported.

    Attributes:
        generation: How many forks lie between that process and this one. What was made in another
            generation has sockets and locks that belong to another process.
        made: The connections of this process. A child never frees them, also not at its end: where
            another thread was using obstore's pool, that would wait for it forever.
        without_obstore: Whether obstore was loaded when one of them was made. Its runtime has
            threads, which a fork does not copy: in the child every call waits for them forever.
    """

    generation: int = 0
    without_obstore: bool = False
    made: WeakSet[Any] = field(default_factory=WeakSet)

    def fork(self) -> None:
        """Note that this process was forked just now."""
        self.generation += 1
        # Whoever loaded it: it has one runtime for everybody, and does not tell whether it runs.
        self.without_obstore |= "obstore" in sys.modules
        for connections in self.made:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connections))
        self.made = WeakSet()


#: Of this process.
LINEAGE = Lineage()

# Locks of the parent's other threads are never freed in a child, those of modules that are being
# imported and of native libraries among them: no fork meanwhile.
_whole = threading.RLock()


@contextmanager
def unforked() -> Iterator[None]:
    """Work that must be whole in every child: forks by other threads wait for this block."""
    with _whole:
        yield


def _after_in_child() -> None:
    _whole.release()
    LINEAGE.fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_whole.acquire,
        after_in_parent=_whole.release,
        after_in_child=_after_in_child,
    )
