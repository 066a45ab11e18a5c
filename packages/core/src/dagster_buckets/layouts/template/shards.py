"""Shards: the digits that spread the keys of one asset over many prefixes."""

from __future__ import annotations

import hashlib

from dagster_buckets.address import AssetAddress, label_of

__all__ = ["shard_of"]


def shard_of(address: AssetAddress, width: int) -> str:
    """The first digits, in lower-case hexadecimal, of the SHA-256 of the address.

    Of nothing but the address, as :func:`~dagster_buckets.address.label_of` spells it and the
    header of the object holds it: whoever knows what it is looking for knows the shard.

    Args:
        address: The asset and its partition.
        width: How many digits, 1 to 64.
    """
    return hashlib.sha256(label_of(address).encode()).hexdigest()[:width]
