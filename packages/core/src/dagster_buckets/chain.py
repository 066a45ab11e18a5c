"""Chains: value stores that are asked for a value one after another, until one has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagster_buckets.address import Address
from dagster_buckets.choosing import first_named
from dagster_buckets.errors import ConfigurationError, ObjectNotFoundError
from dagster_buckets.names import AUTO
from dagster_buckets.placing import Located
from dagster_buckets.stores.base import base_of
from dagster_buckets.stores.cached import CachedStore
from dagster_buckets.values import ValueStore

__all__ = ["Chain", "Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """One value store of a chain.

    Attributes:
        values: Its layout, formats and limits are for its own objects.
        format: Of its values where no metadata names one.
    """

    values: ValueStore
    format: str = AUTO


@dataclass(frozen=True, slots=True)
class Chain:
    """Value stores, of which a value comes from the first that has it. Nothing is written to it.

    A store has a value if there is an object of it, in whatever format: what cannot be read there
    is an error, and never replaced by what a later store has.

    Args:
        links: At least one; the first is the one that is written to.

    Example:
        >>> from dagster_buckets.address import AssetAddress
        >>> from dagster_buckets.layouts import HiveLayout
        >>> from dagster_buckets.stores.memory import MemoryStore
        >>> branch, production = (
        ...     ValueStore(MemoryStore(name), HiveLayout()) for name in ("branch", "production")
        ... )
        >>> for values, key in ((production, "1"), (production, "2"), (branch, "2")):
        ...     _ = values.write(AssetAddress.of(["a"], key), {})
        >>> chain = Chain((Link(branch), Link(production)))
        >>> [at.uri for at in chain.locate([AssetAddress.of(["a"], key) for key in "12"])]
        ['memory://production/a/partition=1/data.json', 'memory://branch/a/partition=2/data.json']
    """

    links: tuple[Link, ...]

    def check(self) -> None:
        """Refuse a chain that leads back to the objects that are written.

        Raises:
            ConfigurationError: That is so.
        """
        first, *others = (link.values for link in self.links)
        for other in others:
            same_base = base_of(other.store) == base_of(first.store)
            if same_base and other.layout == first.layout:
                msg = f"read_from leads to {base_of(first.store)}, where values are written to"
                hint = "give the manager another bucket, root or prefix than the one it reads from"
                raise ConfigurationError(msg, hint=hint)

    @property
    def max_concurrency(self) -> int:
        """How many objects are read at once, from all stores together."""
        return self.links[0].values.max_concurrency

    @property
    def cache_hits(self) -> int:
        """How many reads of all stores moved no body so far."""
        stores = [link.values.store for link in self.links]
        return sum(store.hits for store in stores if isinstance(store, CachedStore))

    def having(self, options: Mapping[str, Any]) -> Chain:
        """See :meth:`ValueStore.having`; of every link."""
        return Chain(tuple(replace(at, values=at.values.having(options)) for at in self.links))

    def laid_out(self, layout: str | None, path: tuple[str, ...] | None) -> Chain:
        """See :meth:`ValueStore.laid_out`; of every link."""
        return Chain(
            tuple(replace(at, values=at.values.laid_out(layout, path)) for at in self.links)
        )

    def locate(
        self,
        addresses: Sequence[Address],
        *,
        format_name: str = AUTO,
        annotation: Any = None,
        listed: bool = False,
    ) -> list[Located | None]:
        """Where each value lies, in the first store that has it; ``None`` if none has.

        Of every store but the last one listing for each asset, and a second one if the first lacks
        something; of the last what :meth:`ValueStore.locate` asks.

        Args:
            addresses: Whose values.
            format_name: Of all of them, in each store; ``auto`` for what each link says.
            annotation: What the producer of these very objects said that it returned, which has
                written them to the first store.
            listed: As :meth:`ValueStore.locate`.

        Raises:
            BucketsError: As :meth:`ValueStore.locate`, of any store that was asked.
        """
        found: dict[Address, Located | None] = dict.fromkeys(addresses)
        left = list(found)
        *others, last = self.links
        for link in others:
            if not left:
                break
            name = first_named(format_name, link.format)
            places = link.values.holding(left, format_name=name, annotation=annotation)
            found.update(zip(left, places, strict=True))
            left = [address for address in left if found[address] is None]
            annotation = None
        name = first_named(format_name, last.format)
        places = last.values.locate(left, format_name=name, annotation=annotation, listed=listed)
        for address, place in zip(left, places, strict=True):
            found[address] = place and replace(place, lacking=self._before_last(address))
        return [found[address] for address in addresses]

    def uri(self, address: Address, *, format_name: str = AUTO) -> str:
        """The URI of a value that is stored, in the first store that has it.

        Raises:
            ObjectNotFoundError: None has it.
        """
        (located,) = self.locate([address], format_name=format_name, listed=True)
        if located is None:
            raise self.nothing_stored(address)
        return located.uri

    def nothing_stored(self, address: Address) -> ObjectNotFoundError:
        """The error for a value that no store has."""
        lacking = self._before_last(address)
        return self.links[-1].values.places.nothing_stored(address, lacking=lacking)

    def counts(self, located: Sequence[Located]) -> Mapping[str, int]:
        """How many of these each store has, by what its URIs begin with; of one store nothing."""
        if len(self.links) == 1:
            return {}
        bases = [base_of(link.values.store) for link in self.links]
        made = Counter(base_of(at.places.store) for at in located)
        return {base: made[base] for base in dict.fromkeys(bases)}

    def _before_last(self, address: Address) -> tuple[str, ...]:
        return tuple(link.values.places.somewhere(address) for link in self.links[:-1])
