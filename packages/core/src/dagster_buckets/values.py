"""Values: a store seen through a layout and formats. Writes and reads values by address.

This is the whole data path without Dagster: ``layout.key`` → ``format.encode`` → ``store.put``
and back. The I/O manager adds Dagster's contexts before it and metadata after it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from dagster_buckets.address import Address, AssetAddress, asset_of
from dagster_buckets.errors import (
    ConfigurationError,
    EncodeError,
    ObjectNotFoundError,
    PartitionError,
    UnsupportedTypeError,
    concerning,
)
from dagster_buckets.formats.base import Description, Format, SupportsConcat, SupportsDescribe
from dagster_buckets.layouts.base import Layout
from dagster_buckets.objects import Body, Header, ObjectInfo, Payload
from dagster_buckets.plugins import (
    format_by_extension,
    format_for_type,
    get_format,
    names,
    refuse_type,
)
from dagster_buckets.shapes import item_class
from dagster_buckets.stores.base import ObjectStore

__all__ = ["AUTO", "Located", "OnMissing", "Stored", "ValueStore"]

AUTO = "auto"
OnMissing = Literal["error", "skip", "none"]

#: The bytes of a stored ``None`` in formats that have none of their own: a value, not a gap.
_NONE = b"dagster-buckets:none:6f1d0c5e9b7a4e02\n"


@dataclass(frozen=True, slots=True)
class Stored:
    """One value that was written: where, how, and what can be said of it."""

    address: Address
    format: str
    info: ObjectInfo
    description: Description


@dataclass(frozen=True, slots=True)
class Located:
    """Where a value lies and in which format it is."""

    address: Address
    key: str
    format: Format


@dataclass(frozen=True, slots=True)
class ValueStore:
    """A store, a layout and a bound on concurrency.

    Args:
        store: Where the bytes go.
        layout: Under which key.
        max_concurrency: How many objects are read or written at once.

    Example:
        >>> from dagster_buckets.layouts import HiveLayout
        >>> from dagster_buckets.stores import MemoryStore
        >>> values = ValueStore(MemoryStore("shop"), HiveLayout())
        >>> values.write(AssetAddress.of(["total"]), {"eur": 12.5}).info.uri
        'memory://shop/total/data.json'
        >>> values.read(AssetAddress.of(["total"]))
        {'eur': 12.5}
    """

    store: ObjectStore
    layout: Layout
    max_concurrency: int = 32

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
        with self._about([address]):
            chosen = choose_format(format_name, annotation, type(value))
            if chosen is None:
                raise refuse_type(type(value))
            key = self.layout.key(address, chosen.extension)
        with concerning(str(address), self.store.uri(key)):
            body = _encode(chosen, value)
            info = self.store.put(key, body, header=Header(format=chosen.name))
            return Stored(address, chosen.name, info, _describe(chosen, body))

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
            raise self.nothing_stored(address)
        return self.load(located, as_type)

    def load(self, located: Located, as_type: type | None) -> Any:
        """Read the value that :meth:`locate` found."""
        payload = self.fetch(located)
        with concerning(str(located.address), payload.info.uri):
            return None if is_none(payload) else located.format.decode(payload, as_type)

    def fetch(self, located: Located) -> Payload:
        """Read the bytes that :meth:`locate` found."""
        with concerning(str(located.address), self.store.uri(located.key)):
            try:
                return self.store.get(located.key)
            except ObjectNotFoundError as error:
                raise self.nothing_stored(located.address, located) from error

    def locate(
        self, addresses: Sequence[Address], *, format_name: str = AUTO, annotation: Any = None
    ) -> list[Located | None]:
        """Where each value lies; ``None`` where a listing shows that there is none.

        No request if the format is known from its name or the producer's annotation (the object
        may then be missing all the same), otherwise one listing for each asset.

        Raises:
            ConfigurationError: Two objects of one address are equally new, or the newest is in
                a format that is not installed.
        """
        if not addresses:
            return []
        if not addresses:
            return []
        with self._about(addresses):
            return self._locate(addresses, choose_format(format_name, annotation, None))

    def _locate(self, addresses: Sequence[Address], known: Format | None) -> list[Located | None]:
        if known is not None:
            return [
                Located(address, self.layout.key(address, known.extension), known)
                for address in addresses
            ]
        stems = {self.layout.stem(address): address for address in addresses}
        found: dict[Address, list[tuple[str, ObjectInfo]]] = {a: [] for a in addresses}
        for prefix in self._listing_prefixes(addresses):
            for info in self.store.scan(prefix):
                # The stem ends where the extension begins, and no extension holds a "/".
                slash = info.key.rfind("/") + 1
                end = info.key.find(".", slash) + 1
                address = stems.get(info.key[:end])
                if address is not None:
                    found[address].append((info.key[end:], info))
        return [self._newest(address, found[address]) for address in addresses]

    def concat(self, located: Sequence[Located], payloads: Sequence[Payload], as_type: type) -> Any:
        """One value of many objects, joined in this order; those that hold ``None`` are left out.

        Raises:
            PartitionError: Their formats differ, or cannot be joined into this class.
            DecodeError: They do not fit together.
        """
        kinds = sorted({place.format.name for place in located})
        power = located[0].format
        with concerning(asset_of(located[0].address)):
            if len(kinds) > 1:
                msg = f"the partitions are stored in different formats: {', '.join(kinds)}"
                hint = "load them as dict[str, …], or materialize them again in one format"
                raise PartitionError(msg, hint=hint)
            if not isinstance(power, SupportsConcat) or not power.can_concat(as_type):
                msg = f"objects in format {power.name!r} cannot be joined to {as_type.__name__}"
                hint = f"annotate the input with dict[str, {as_type.__name__}]"
                raise PartitionError(msg, hint=hint)
            frames = [payload for payload in payloads if not is_none(payload)]
            return power.concat(frames, as_type) if frames else None

    def exists(self, located: Located) -> bool:
        """Whether the object is there, asked once more (a 404 can be transient)."""
        try:
            self.store.head(located.key)
        except ObjectNotFoundError:
            return False
        return True

    def _listing_prefixes(self, addresses: Sequence[Address]) -> list[str]:
        if len(addresses) == 1:
            return [self.layout.stem(addresses[0])]
        kept: list[str] = []
        folders = {
            self.layout.folder(a.path) if isinstance(a, AssetAddress) else self.layout.stem(a)
            for a in addresses
        }
        for folder in sorted(folders):
            # Of an asset below another, the listing of the upper one has it all.
            if not kept or not folder.startswith(kept[-1]):
                kept.append(folder)
        return kept

    @contextmanager
    def _about(self, addresses: Sequence[Address]) -> Iterator[None]:
        """Name the value and, while its format is not known yet, all objects that it may be."""
        first = addresses[0]
        subject = str(first) if len(addresses) == 1 else asset_of(first)
        # Its own block, because an address can be one that the store cannot hold.
        with concerning(subject):
            uri = self._somewhere(first) if len(addresses) == 1 else None
            with concerning(subject, uri):
                yield

    def _somewhere(self, address: Address) -> str:
        return self.store.uri(self.layout.key(address, "x"))[: -len("x")] + "*"

    def _newest(self, address: Address, found: list[tuple[str, ObjectInfo]]) -> Located | None:
        if not found:
            return None
        newest = max(info.modified for _, info in found)
        candidates = [(extension, info) for extension, info in found if info.modified == newest]
        uris = sorted(info.uri for _, info in candidates)
        with concerning(str(address), uris[0]):
            if len(candidates) > 1:
                msg = f"{' and '.join(uris)} are equally new"
                hint = "name one in the metadata dagster_buckets/format, or delete the other"
                raise ConfigurationError(msg, hint=hint)
            extension, info = candidates[0]
            chosen = format_by_extension(extension)
            if chosen is None:
                msg = f"no installed format ({', '.join(names('formats'))}) reads {info.uri}"
                hint = "install the plugin that wrote it, or delete it if it is not a value"
                raise ConfigurationError(msg, hint=hint)
            return Located(address, info.key, chosen)

    def nothing_stored(self, address: Address, at: Located | None = None) -> ObjectNotFoundError:
        """The error for a value that is not there; lists its siblings to say what is."""
        uri = self.store.uri(at.key) if at else self._somewhere(address)
        others = self.store.scan(self.layout.stem(address)) if at else iter(())
        other = next((info.uri for info in others if info.key != at.key), None) if at else None
        msg = f"nothing is stored for {address}"
        hint = "materialize it first, or check the manager's bucket, prefix and layout"
        if other is not None:
            msg += f" in format {at.format.name!r}" if at else ""
            hint = f"there is {other}, which this format does not read: materialize it again"
        error = ObjectNotFoundError(msg, uri=uri, hint=hint)
        error.subject = str(address)
        return error


def choose_format(name: str, annotation: Any, cls: type | None) -> Format | None:
    """The format to use: the named one, or that which claims the annotation's class or ``cls``."""
    if name != AUTO:
        return get_format(name)
    declared = item_class(annotation)
    by_annotation = format_for_type(declared) if declared is not None else None
    if by_annotation is not None or cls is None:
        return by_annotation
    return format_for_type(cls)


def is_none(payload: Payload) -> bool:
    """Whether the object is the mark of a stored ``None``."""
    return payload.info.size == len(_NONE) and bytes(payload.data) == _NONE


def _encode(chosen: Format, value: Any) -> Body:
    try:
        body = chosen.encode(value)
    except UnsupportedTypeError:
        if value is None:
            return Body.of(_NONE)
        raise
    if body.size == len(_NONE) and body.joined() == _NONE:
        msg = "these bytes are how a None is stored, so they would come back as None"
        raise EncodeError(msg, hint="add or remove a byte")
    return body


def _describe(chosen: Format, body: Body) -> Description:
    if body.held is None or not isinstance(chosen, SupportsDescribe):
        return Description()
    if body.size == len(_NONE) and body.joined() == _NONE:
        return Description()
    return chosen.describe(io.BytesIO(body.joined()))
