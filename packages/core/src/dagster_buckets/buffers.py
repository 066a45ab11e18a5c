"""Buffers: memory for large objects that is not written before it is filled."""

from __future__ import annotations

import mmap

__all__ = ["writable"]

#: Smaller ones are not worth a mapping of their own.
_MAPPED = 16 * 1024 * 1024


def writable(size: int) -> memoryview:
    """Memory of so many bytes, all of them zero, aligned to at least 16 bytes.

    A large ``bytearray`` is cleared when it is made, page by page, and then filled: each page is
    touched twice. Here the system clears a page when it is first used, and where it has large pages
    it takes those: 512 MiB are there after 256 steps instead of 131,072.

    Args:
        size: In bytes.

    Example:
        >>> target = writable(3)
        >>> target[:] = b"abc"
        >>> bytes(target)
        b'abc'
    """
    if size < _MAPPED:
        return memoryview(bytearray(size))
    mapped = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            mapped.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            # A kernel without them; the memory is there all the same.
            return memoryview(mapped)
    return memoryview(mapped)
