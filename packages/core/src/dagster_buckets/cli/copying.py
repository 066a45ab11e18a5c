"""Copying: values whose bytes another bucket keeps as they are, under its own keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dagster_buckets.address import AssetAddress, label_of
from dagster_buckets.cli.comparing import digest_in
from dagster_buckets.cli.manifests import folder_of, manifest_of
from dagster_buckets.errors import ConfigurationError, IntegrityError
from dagster_buckets.names import AUTO, MANIFEST
from dagster_buckets.objects import Body, Digest, Header, ObjectInfo, Repeatable, digest_of
from dagster_buckets.parts import check_room
from dagster_buckets.stores.base import ObjectStore

if TYPE_CHECKING:
    from dagster_buckets.cli.inventory import Entry
    from dagster_buckets.formats.base import Format
    from dagster_buckets.values import ValueStore

__all__ = ["copy", "format_of", "takes"]

#: What one request carries; what is larger is not held.
_ONE_REQUEST = 16 * 1024 * 1024
_CHUNK = 8 * 1024 * 1024


def format_of(values: ValueStore, entry: Entry, format_name: str) -> Format | None:
    """The format of a stored value; ``None`` if nothing tells.

    Args:
        values: Where it lies.
        entry: The object.
        format_name: That of the manager or asset, for keys that do not tell.
    """
    if entry.extension:
        # Its bytes are copied and not decoded: there is nothing to trust.
        return replace(values.formats, allow_pickle=True).found(entry.extension)
    header = entry.info.header or values.store.head(entry.info.key).header
    name = (header.format if header else None) or format_name
    return None if name == AUTO else values.formats.named(name)


def takes(old: ValueStore, new: ValueStore, stored: Format, format_name: str) -> bool:
    """Whether the new place would read these bytes as they are.

    Args:
        old: Where they lie.
        new: Where they shall lie.
        stored: Their format.
        format_name: What is written there, or ``auto``.
    """
    if getattr(stored, "runs_code", False) and old.formats.signing_keys != new.formats.signing_keys:
        return False
    of_parts = stored.extension.removesuffix(f".{MANIFEST}")
    if of_parts != stored.extension and not new.layout.exclusive:
        return False
    if format_name != AUTO:
        # Whoever reads by the name of the format finds a manifest, too.
        return new.formats.named(format_name).extension in {stored.extension, of_parts}
    try:
        new.formats.trusted(stored)
    except ConfigurationError:
        return False
    return True


@dataclass(slots=True)
class _Pieces:
    """The bytes of one version, in pieces, as often as they are asked for; and their digest."""

    store: ObjectStore
    info: ObjectInfo
    digest: str = field(default="", init=False)

    def __call__(self) -> Iterator[bytes]:
        digest = Digest()
        with self.store.open(self.info.key, self.info) as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
                yield piece
        known = self.info.header.digest if self.info.header else None
        if digest.size != self.info.size or (known and known != digest.text):
            msg = f"{self.info.uri} came with the digest {digest.text}, but {known} was written"
            hint = "the stored object is damaged; materialize it again"
            raise IntegrityError(msg, uri=self.info.uri, hint=hint)
        self.digest = digest.text


def copy(
    old: ValueStore, new: ValueStore, entry: Entry, address: AssetAddress, stored: Format
) -> None:
    """Copy one object under the key that its value has there, and read it back.

    What its header says is verified on the way. What is larger than one request carries is never
    held.

    Raises:
        IntegrityError: What came is not what was written, or what was read back is not what was
            sent; that is removed again.
        StoreError: See there.
    """
    key = new.layout.key(address, stored.extension)
    new.places.check_before_write(address, key)
    header = Header(format=stored.name, address=label_of(address))
    if entry.is_manifest and (manifest := manifest_of(old.store, entry)) is not None:
        # Before the manifest, so that whoever reads that finds them.
        there, here = new.places.parts_of(key, stored), folder_of(old.store, entry)
        check_room(new.layout, there)
        for part in manifest.parts:
            _copied(old.store, here.ref(part, entry.info.modified).info, new.store,
                    there.key(part.name), header)  # fmt: skip
    _copied(old.store, entry.info, new.store, key, header)


def _copied(old: ObjectStore, info: ObjectInfo, new: ObjectStore, key: str, header: Header) -> None:
    body, found = _body(old, info)
    written = new.put(key, body, header=header)
    if digest_in(new, written) != found():
        new.delete([key])
        msg = f"{written.uri} reads back as other bytes than those that were sent"
        raise IntegrityError(msg, uri=written.uri, hint="it was removed again; run this once more")


def _body(store: ObjectStore, info: ObjectInfo) -> tuple[Body, Callable[[], str]]:
    if info.size <= _ONE_REQUEST:
        payload = store.get(info.key)
        digest = digest_of([payload.data])
        header = payload.info.header or Header()
        return Body((payload.data,), filename=header.filename, tail=header.tail), lambda: digest
    info = store.head(info.key)
    pieces = _Pieces(store, info)
    header = info.header or Header()
    known = (info.size, header.digest) if header.digest else None
    body = Body(Repeatable(pieces), filename=header.filename, known=known, tail=header.tail)
    return body, lambda: pieces.digest
