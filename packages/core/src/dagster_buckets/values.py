"""Values: a store seen through a layout and formats. Writes and reads values by address.

This is the whole data path without Dagster: ``layout.key`` → ``format.encode`` → ``store.put``
and back. The I/O manager adds Dagster's contexts before it and metadata after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dagster_buckets.address import Address, asset_of
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import concerning
from dagster_buckets.formats.dask_types import written_class
from dagster_buckets.layouts.base import Layout
from dagster_buckets.names import AUTO
from dagster_buckets.placing import Located, Places
from dagster_buckets.plugins import get_layout, refuse_type
from dagster_buckets.reading import Reader
from dagster_buckets.shapes import declared_class
from dagster_buckets.stores.base import ObjectStore, base_of
from dagster_buckets.storing import Stored, Storing

__all__ = [
    "AUTO",
    "OnMissing",
    "Stored",
    "ValueStore",
    "scheme_of",
]

OnMissing = Literal["error", "skip", "none"]


@dataclass(frozen=True, slots=True)
class ValueStore:
    """A store, a layout and a bound on concurrency.

    Args:
        store: Where the bytes go.
        layout: Under which key.
        max_concurrency: How many objects are read or written at once.
        general: The layout of everything else in the store, where ``layout`` is for one asset.
        formats: How the formats are set.
        preview_rows: How many of the first rows the description of what is written has.

    Example:
        >>> from dagster_buckets.address import AssetAddress
        >>> from dagster_buckets.layouts import HiveLayout
        >>> from dagster_buckets.stores.memory import MemoryStore
        >>> values = ValueStore(MemoryStore("shop"), HiveLayout())
        >>> values.write(AssetAddress.of(["total"]), {"eur": 12.5}).info.uri
        'memory://shop/total/data.json'
        >>> values.read(AssetAddress.of(["total"]))
        {'eur': 12.5}
    """

    store: ObjectStore
    layout: Layout
    max_concurrency: int = 32
    general: Layout | None = None
    formats: Formats = field(default_factory=Formats)
    preview_rows: int = 0

    @property
    def places(self) -> Places:
        """Where values lie."""
        return Places(self.store, self.layout, self.general, self.formats)

    def having(self, options: Mapping[str, Any]) -> ValueStore:
        """The same store for values whose metadata sets these options of formats."""
        return replace(self, formats=self.formats.having(options)) if options else self

    def laid_out(self, layout: str | None, path: tuple[str, ...] | None) -> ValueStore:
        """The same store, seen through the layout that an asset's metadata names.

        Args:
            layout: As the setting ``layout``; ``None`` for that of this store.
            path: The asset's key; ``None`` for the output of an op.

        Raises:
            ConfigurationError: There is no such layout, or it cannot work.
        """
        if layout is None:
            return self
        scheme = scheme_of(self.store)
        return replace(
            self, layout=get_layout(layout, scheme=scheme, asset=path), general=self.layout
        )

    def write(
        self, address: Address, value: Any, *, format_name: str = AUTO, annotation: Any = None
    ) -> Stored:
        """Write one value, all or nothing.

        Args:
            address: Under which name.
            value: What.
            format_name: A format's name; ``auto`` takes the one that claims the annotation's
                class, or else the value's.
            annotation: What the producer says that it returns.

        Raises:
            FormatError: The value does not fit; nothing was written.
            StoreError: The store failed; the old value is still there.
        """
        storing = self.begin(address, value, format_name=format_name, annotation=annotation)
        return storing.put(storing.encoded(value))

    def begin(
        self, address: Address, value: Any, *, format_name: str = AUTO, annotation: Any = None
    ) -> Storing:
        """What :meth:`write` is going to do, once it is known to be possible.

        Arguments and errors are those of :meth:`write`.
        """
        with self._about([address]):
            cls = written_class(value)
            chosen = self.formats.choose(format_name, declared_class(annotation), cls)
            if chosen is None:
                raise refuse_type(type(value))
            key = self.layout.key(address, chosen.extension)
        with concerning(str(address), self.store.uri(key)):
            self.places.check_before_write(address, key)
        return Storing(self.places, address, chosen, key, self.preview_rows)

    def read(
        self,
        address: Address,
        as_type: type | None = None,
        *,
        format_name: str = AUTO,
        annotation: Any = None,
    ) -> Any:
        """Read one value.

        Args:
            address: Under which name.
            as_type: The class to return; ``None`` for the one that was written.
            format_name: A format's name; ``auto`` finds the newest object by a listing, unless
                ``annotation`` tells.
            annotation: What the producer of this very object said that it returns.

        Raises:
            ObjectNotFoundError: Nothing is stored under this address in this format.
        """
        (located,) = self.locate([address], format_name=format_name, annotation=annotation)
        if located is None:
            raise self.places.nothing_stored(address)
        reader = Reader(as_type)
        return reader.value(reader.piece(located))

    def locate(
        self,
        addresses: Sequence[Address],
        *,
        format_name: str = AUTO,
        annotation: Any = None,
        listed: bool = False,
    ) -> list[Located | None]:
        """Where each value lies; ``None`` where two listings show that there is none.

        No request if the format is known from its name or the producer's annotation (the object
        may then be missing all the same), otherwise one listing for each asset; a second one where
        the first lacks something.

        Args:
            addresses: Whose values.
            format_name: A format's name, or ``auto``.
            annotation: What the producer of these very objects said that it returned.
            listed: List even if the format is known, to see what is there.

        Raises:
            ConfigurationError: Two objects of one address are equally new, or the newest is in
                a format that is not installed.
        """
        if not addresses:
            return []
        with self._about(addresses):
            known = self.formats.choose(format_name, declared_class(annotation), None)
            if known is not None and not listed:
                return [self.places.at(address, known) for address in addresses]
            found = self.places.find(addresses, known)
            return found if all(found) else self.places.find(addresses, known)

    def holding(
        self, addresses: Sequence[Address], *, format_name: str = AUTO, annotation: Any = None
    ) -> list[Located | None]:
        """Where each value lies; ``None`` for those of which two listings show no object at all.

        As :meth:`locate`, but a named format does not save the listing, which shows what is there
        in whatever format. Only what ``annotation`` tells of is known to be there.
        """
        with self._about(addresses):
            known = self.formats.choose(format_name, declared_class(annotation), None)
            if known is None:
                return self.locate(addresses)
            if annotation is not None:
                return [self.places.at(address, known) for address in addresses]
            there = self.places.listed(addresses)
            there = there if all(there.values()) else self.places.listed(addresses)
            return [self.places.at(a, known) if there[a] else None for a in addresses]

    def uri(self, address: Address, *, format_name: str = AUTO) -> str:
        """The URI of a value.

        No request if the format is named: there may be nothing yet. ``auto`` finds the newest
        object by a listing.

        Raises:
            ObjectNotFoundError: The format is not named, and nothing is stored.
        """
        (located,) = self.locate([address], format_name=format_name)
        if located is None:
            raise self.places.nothing_stored(address)
        return self.store.uri(located.key)

    def parse(self, uri: str) -> tuple[Address, str] | None:
        """The inverse of :meth:`uri`: the address and the extension.

        ``None`` for a URI outside of this store and for an object that no value has.

        Raises:
            ConfigurationError: The keys of the layout do not tell which address they belong to.
        """
        base = base_of(self.store)
        return self.layout.parse(uri.removeprefix(base)) if uri.startswith(base) else None

    @contextmanager
    def _about(self, addresses: Sequence[Address]) -> Iterator[None]:
        """Name the value and, while its format is not known yet, all objects that it may be."""
        first = addresses[0]
        subject = str(first) if len(addresses) == 1 else asset_of(first)
        # Its own block, because an address can be one that the store cannot hold.
        with concerning(subject):
            uri = self.places.somewhere(first) if len(addresses) == 1 else None
            with concerning(subject, uri):
                yield


def scheme_of(store: ObjectStore) -> str:
    """The scheme of a store's URIs: ``s3``, ``gs``, ``file`` or another's."""
    return store.uri("x").partition(":")[0]
