"""Storing: one value on its way into a store, from what is encoded to what can be said of it."""

from __future__ import annotations

import io
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.address import Address, label_of
from dagster_buckets.errors import EncodeError, UnsupportedTypeError, concerning
from dagster_buckets.fetching import NONE
from dagster_buckets.formats.base import (
    Format,
    SupportsCompression,
    SupportsDescribe,
    SupportsParts,
    SupportsPlans,
)
from dagster_buckets.objects import Body, Description, Header, ObjectInfo
from dagster_buckets.parts import PartFolder, check_room
from dagster_buckets.placing import Places
from dagster_buckets.powers import has_power
from dagster_buckets.stores.base import console_url

if TYPE_CHECKING:
    from dagster_buckets.formats.plans import Plan

__all__ = ["Stored", "Storing"]

#: What one request carries: streams that are not longer are written as one.
_ONE_REQUEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One value that was written: where, how, and what can be said of it.

    Attributes:
        address: Whose value it is.
        format: The name of its format.
        info: What the store says of the object.
        description: Its rows and columns.
        compression: The codec; ``None`` for what is not compressed.
        seconds: How long it took to encode and to write it.
        console_url: Where the store's web console shows the object; ``None`` if it has none.
    """

    address: Address
    format: str
    info: ObjectInfo
    description: Description
    compression: str | None = None
    seconds: float = 0.0
    console_url: str | None = None


@dataclass(frozen=True, slots=True)
class Storing:
    """The writing of one value, of which nothing is written yet.

    Attributes:
        places: Where to.
        address: Whose value it is.
        format: What it is written in.
        key: Where it is going to be.
        preview_rows: How many of its first rows are told.
        begun: When, by the monotonic clock.
    """

    places: Places
    address: Address
    format: Format
    key: str
    preview_rows: int = 0
    begun: float = field(default_factory=time.monotonic)

    def plan(self, value: Any) -> Plan | None:
        """What writes the parts of the value elsewhere; ``None`` if it is written from here.

        Raises:
            FormatError: The value does not fit.
            ConfigurationError: The layout has no room for parts.
        """
        if value is None or not has_power(self.format, SupportsPlans):
            return None
        with self.about():
            chosen = cast("SupportsPlans", self.format)
            return chosen.plan(value, self._room(), label_of(self.address))

    def encoded(self, value: Any) -> Body:
        """The bytes of the value's object; its parts are written by then.

        Raises:
            FormatError: The value does not fit; nothing was written.
            StoreError: The store failed.
        """
        with self.about():
            try:
                body = self._body(value).settled(_ONE_REQUEST)
            except UnsupportedTypeError:
                if value is None:
                    return Body.of(NONE)
                raise
            if _is_mark(body):
                msg = "these bytes are how a None is stored, so they would come back as None"
                raise EncodeError(msg, hint="add or remove a byte")
            return body

    def put(self, body: Body) -> Stored:
        """Write the object, all or nothing.

        Raises:
            StoreError: The store failed; the old value is still there.
        """
        with self.about():
            store, label = self.places.store, label_of(self.address)
            # Before the value is stored: nothing after that may fail.
            console = console_url(store, self.key)
            info = store.put(self.key, body, header=Header(self.format.name, label))
            return Stored(
                self.address,
                self.format.name,
                info,
                self._description(body),
                self._compression(body),
                seconds=time.monotonic() - self.begun,
                console_url=console,
            )

    def about(self) -> AbstractContextManager[None]:
        """Say in every error that passes whose value it is about, and where."""
        return concerning(str(self.address), self.places.store.uri(self.key))

    def _room(self) -> PartFolder:
        folder = self.places.parts_of(self.key, self.format)
        check_room(self.places.layout, folder)
        return folder

    def _body(self, value: Any) -> Body:
        if value is None or not has_power(self.format, SupportsParts):
            return self.format.encode(value)
        chosen = cast("SupportsParts", self.format)
        return chosen.encode_parts(value, self._room(), label_of(self.address))

    def _description(self, body: Body) -> Description:
        if body.description is not None:
            return body.description(self.preview_rows)
        if body.held is None or not isinstance(self.format, SupportsDescribe):
            return Description()
        if _is_mark(body):
            return Description()
        return self.format.describe(io.BytesIO(body.joined()))

    def _compression(self, body: Body) -> str | None:
        chosen = self.format
        if not isinstance(chosen, SupportsCompression) or _is_mark(body):
            return None
        return None if chosen.compression in (None, "none") else chosen.compression


def _is_mark(body: Body) -> bool:
    """Whether these are the bytes of a stored ``None``, which no format has made."""
    return body.size == len(NONE) and body.joined() == NONE
