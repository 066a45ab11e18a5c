"""Buffers: memory for large objects that is touched once, and that Arrow can use as it is."""

from __future__ import annotations

__all__ = ["writable"]

#: Smaller ones are not worth the import of Arrow.
_LARGE = 16 * 1024 * 1024


def writable(size: int) -> memoryview:
    """Memory of so many bytes, to be filled; until then nobody knows what is in it.

    A large ``bytearray`` would be cleared first, page by page. Large memory is Arrow's own, so that
    Arrow need not copy what comes to lie there; see
    :func:`~dagster_buckets.formats.frames.arrow_buffer`.

    Args:
        size: In bytes.

    Example:
        >>> target = writable(3)
        >>> target[:] = b"abc"
        >>> bytes(target)
        b'abc'
    """
    if size < _LARGE:
        return memoryview(bytearray(size))
    import pyarrow as pa

    return memoryview(pa.allocate_buffer(size)).cast("B")
