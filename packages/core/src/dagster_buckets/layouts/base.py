"""The layout protocol: addresses to object keys and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from dagster_buckets.address import Address

__all__ = ["Layout"]


@runtime_checkable
class Layout(Protocol):
    """A pure, injective mapping of addresses to keys relative to the store's prefix.

    Two different addresses never get one key, no key is a folder of another, and no key holds
    ``.``, ``..`` or empty components: ``LayoutConformance`` in ``dagster_buckets.testing`` checks.
    """

    @property
    def name(self) -> str:
        """The name that ``layout=…`` takes."""
        ...

    def key(self, address: Address, extension: str) -> str:
        """The object key of a value in a format with this extension (without the dot).

        Raises:
            InvalidKeyError: The address cannot be stored under this layout.
        """
        ...

    def stem(self, address: Address) -> str:
        """What the keys of this address begin with in whatever format; no other address' keys do.

        ``key(address, extension) == stem(address) + extension`` for every extension.
        """
        ...

    def folder(self, path: tuple[str, ...]) -> str:
        """The key prefix, with its ``/``, under which all partitions of an asset lie.

        Assets whose key continues this one may lie under it too: filter with :meth:`parse`.
        """
        ...

    def parse(self, key: str) -> tuple[Address, str] | None:
        """The inverse of :meth:`key`: the address and the extension.

        ``None`` for a key that this layout never makes, or that it cannot invert (because a
        component was shortened to a hash).
        """
        ...
