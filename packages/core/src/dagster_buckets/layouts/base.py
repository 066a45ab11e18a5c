"""The layout protocol: addresses to object keys and back, and the powers that some layouts add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from dagster_buckets.address import Address

__all__ = ["Layout", "LayoutSpec", "SupportsOldStems", "SupportsSpec"]


@runtime_checkable
class Layout(Protocol):
    """A pure mapping of addresses to keys relative to the store's prefix.

    No key holds ``.``, ``..`` or empty components. Of an :attr:`exclusive` layout two different
    addresses never get one key, and no key is a folder of another. ``LayoutConformance`` in
    ``dagster_buckets.testing`` checks.
    """

    @property
    def name(self) -> str:
        """The name that ``layout=…`` takes, and that of the entry point."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether no two addresses can share a key.

        Where they can, a value is compared with the address in its header: before it is
        overwritten (which costs one more request) and after it was read.
        """
        ...

    def key(self, address: Address, extension: str) -> str:
        """The object key of a value in a format with this extension (without the dot).

        Raises:
            InvalidKeyError: The address cannot be stored under this layout.
        """
        ...

    def stem(self, address: Address) -> str:
        """What the keys of this address begin with in whatever format.

        Of an exclusive layout, no other address' keys begin with it.
        """
        ...

    def split(self, key: str) -> tuple[tuple[str, str], ...]:
        """How a key can be read as the stem of an address and an extension.

        Exactly one way for the keys of an exclusive layout. The extension is empty where keys do
        not tell it.
        """
        ...

    def prefix(self, path: tuple[str, ...]) -> str:
        """A string that the keys of this asset, all partitions included, begin with.

        Keys of other assets may begin with it, too.
        """
        ...

    def parse(self, key: str) -> tuple[Address, str] | None:
        """The inverse of :meth:`key`: the address and the extension.

        ``None`` for a key that this layout never makes, or that it cannot invert (because a
        component was shortened to a hash).

        Raises:
            ConfigurationError: Keys of this layout do not tell which address they belong to.
        """
        ...


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """What a layout is made from, where ``layout="name:argument"`` says more than its name.

    Attributes:
        argument: What follows the colon; empty without one.
        scheme: That of the store's URIs (``s3``, ``gs``, ``file``); empty if no store is known.
        asset: The only asset that it is for (metadata ``dagster_buckets/layout``), or ``None``.
    """

    argument: str = ""
    scheme: str = ""
    asset: tuple[str, ...] | None = None


@runtime_checkable
class SupportsSpec(Protocol):
    """The power of a layout's class to take an argument."""

    def from_spec(self, spec: LayoutSpec) -> Layout:
        """The layout of this specification.

        Raises:
            ConfigurationError: The argument cannot work.
        """
        ...


@runtime_checkable
class SupportsOldStems(Protocol):
    """The power to find values under keys that are not written any more."""

    def old_stems(self, address: Address) -> tuple[str, ...]:
        """Where else a value may lie, the likeliest first."""
        ...
