"""Parts: the objects beside a manifest, in the folder that only they use."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from dagster_buckets.address import Address
from dagster_buckets.errors import ConfigurationError, IntegrityError
from dagster_buckets.layouts.base import Layout
from dagster_buckets.manifests import PartEntry
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import Body, Header, ObjectInfo, Payload, digest_of
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.base import ObjectStore

__all__ = [
    "DEEPEST",
    "FOLDER",
    "PartFolder",
    "check_room",
    "new_write_id",
    "verified_part",
    "whose",
]

#: Behind what the keys of a value begin with: a name with a dot, which no asset's folder has.
FOLDER = "parts/"
#: So many folders may be between that and a part: one for each column that tells parts apart.
DEEPEST = 8


def new_write_id() -> str:
    """What tells the parts of one write from those of all others."""
    return uuid.uuid4().hex[:12]


def whose(layout: Layout, key: str) -> tuple[Address, str | None] | None:
    """Whose value an object is, with its extension, or can be a part of, without one.

    ``None`` if the key is neither's.

    Raises:
        ConfigurationError: The keys of the layout do not tell.
    """
    if parsed := layout.parse(key):
        return parsed
    # The first folder that is one of parts: in it, a value of a column may look like another.
    at = key.find(f".{FOLDER}")
    while at >= 0:
        if parsed := layout.parse(f"{key[: at + 1]}{MANIFEST}"):
            return parsed[0], None
        at = key.find(f".{FOLDER}", at + 1)
    return None


def check_room(layout: Layout, folder: PartFolder) -> None:
    """Refuse a layout under which the keys of parts could be those of values.

    Raises:
        ConfigurationError: That is so, or nobody knows.
    """
    try:
        names = (f"{'a=b/' * depth}part-0.x" for depth in range(DEEPEST + 1))
        taken = any(layout.parse(folder.key(name)) for name in names)
    except ConfigurationError:
        taken = True
    if taken or not layout.exclusive:
        msg = f"the layout {layout.name!r} has no room for the parts of a value"
        raise ConfigurationError(
            msg, hint="choose layout='hive', or leave part_size and partition_by out"
        )


@dataclass(frozen=True, slots=True)
class PartFolder:
    """Where the parts of one value lie.

    Args:
        store: In which store.
        stem: What the keys of the value begin with, its dot included.
    """

    store: ObjectStore
    stem: str

    def key(self, name: str) -> str:
        """Of a part."""
        return f"{self.stem}{FOLDER}{name}"

    def put(self, name: str, body: Body, format_name: str, label: str | None) -> ObjectInfo:
        """Write a part; raises as :meth:`~dagster_buckets.stores.base.ObjectStore.put`."""
        return self.store.put(self.key(name), body, header=Header(format_name, label))

    def delete_of(self, write_id: str) -> None:
        """Remove what one write has put here, which no manifest names."""
        found = [info.key for info in self.store.scan(self.key(""))]
        begin = f"part-{write_id}-"
        self.store.delete([key for key in found if key.rpartition("/")[2].startswith(begin)])

    def ref(self, part: PartEntry, written: datetime) -> ObjectRef:
        """A part that was not read.

        Its name is unique to its write and it is never written again, so no version has to be
        told; what is read in full is compared with the digest in the manifest.

        Args:
            part: Which.
            written: When the manifest was.
        """
        key = self.key(part.name)
        header = Header(size=part.size, digest=part.digest, tail=part.tail)
        info = ObjectInfo(key, self.store.uri(key), part.size, "", written, header)
        constant = {name: {"value": value} for name, value in part.partition.items()}
        told = {**part.statistics, **constant}
        return ObjectRef(info, self.store, statistics=told, rows=part.rows)


def verified_part(ref: ObjectRef) -> Payload:
    """A part, read in full and compared with its manifest.

    Raises:
        ObjectNotFoundError: It is not there any more.
        IntegrityError: It is another one than the manifest says.
    """
    payload, told = ref.get(), ref.info.header or Header()
    header = payload.info.header
    # Not every file system keeps headers; what has one was compared with it already.
    digest = header.digest if header and header.digest else digest_of([payload.data])
    size = payload.info.size
    if (size, digest) != (told.size, told.digest or digest):
        msg = f"{ref.uri} has {size:,} bytes and the digest {digest}, its manifest says "
        msg += f"{told.size:,} and {told.digest}"
        raise IntegrityError(msg, uri=ref.uri, hint="materialize the value again")
    return payload
