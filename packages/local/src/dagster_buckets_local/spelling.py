"""Spelling: whether a file that was found under a name really has that name.

A file system that ignores letter case (macOS, FAT), Unicode normal forms (APFS, HFS+) or trailing
dots and spaces (FAT, Windows) takes two names of ours for one file.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

__all__ = ["is_spelled", "other_spelling"]

_SWAPPED = str.maketrans(ascii_lowercase + ascii_uppercase, ascii_uppercase + ascii_lowercase)


def is_spelled(folder: int, name: str) -> bool:
    """Whether an existing entry of a folder, found under ``name``, has exactly this name.

    The folder is listed only where another spelling leads to something, too. That is so wherever
    two names are one file, and on any other disk only where both files exist; elsewhere this
    costs one call that finds nothing.
    """
    for variant in _variants(name):
        if os.access(variant, os.F_OK, dir_fd=folder):
            return name in os.listdir(folder)
    return True


def other_spelling(folder: int, name: str) -> str | None:
    """The name that an entry which was found under ``name`` has; ``None`` if it is gone."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    names, folded = os.listdir(folder), _fold(name)
    for listed in names:
        # FUSE gives each spelling an inode number of its own.
        if _fold(listed) == folded:
            return listed
    for listed in names:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(listed, dir_fd=folder, follow_symlinks=False), found):
                return listed
    return None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold()).rstrip(
        ". "
    )


@lru_cache(maxsize=4096)
def _variants(name: str) -> tuple[str, ...]:
    # Which letters beyond ASCII have a pair differs between file systems: swap those only in a
    # name that has no others.
    swapped = name.translate(_SWAPPED)
    found = [swapped if swapped != name else name.swapcase()]
    if not name.isascii():
        found += [unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]
    if name[-1] in ". ":
        found.append(name.rstrip(". "))
    return tuple(variant for variant in dict.fromkeys(found) if variant not in {name, ""})
