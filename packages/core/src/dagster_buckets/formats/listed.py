"""Listed: a list in many objects, which Dask's workers write and read, and its manifest.

A partition of a bag is a piece of the list, a ``Delayed`` is one item of it. The format of the
parts is any that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import ConfigurationError, UnsupportedTypeError
from dagster_buckets.formats.base import Format, Parts, SupportsStructures
from dagster_buckets.formats.dask_types import delayed_class, is_bag, is_delayed, list_item
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.tables import TableFormat
from dagster_buckets.manifests import Holds, Manifest
from dagster_buckets.names import MANIFEST
from dagster_buckets.objects import Body, Payload
from dagster_buckets.parts import verified_part
from dagster_buckets.stores.base import changed
from dagster_buckets.transfer import run_all

if TYPE_CHECKING:
    from dagster_buckets.formats.plans import Plan
    from dagster_buckets.parts import PartFolder
    from dagster_buckets.references import ObjectRef

__all__ = ["ListPiece", "ListedFormat", "listed"]

#: Parts that are fetched at once.
_AT_ONCE = 8


def listed(inner: Format) -> Format:
    """A format of lists in parts of this one.

    Raises:
        ConfigurationError: It is a format of tables.
    """
    if isinstance(getattr(inner, "inner", inner), TableFormat):
        msg = f"values in format {inner.name!r} are tables, and a bag or list of Dask's is none"
        hint = "choose format='json' or, where it may run code, 'pickle'; or make a frame of it: "
        hint += "bag.to_dataframe(), dask.dataframe.from_delayed(…)"
        raise ConfigurationError(msg, hint=hint)
    return ListedFormat(inner)


@dataclass(frozen=True, slots=True)
class _Around:
    """What a format has in common with the one that it is made of."""

    of: Format

    @property
    def name(self) -> str:
        """That of the parts."""
        return self.of.name

    @property
    def claims(self) -> tuple[str, ...]:
        """None: nothing is written in parts because of its class alone."""
        return ()

    @property
    def compression(self) -> str | None:
        """Of the parts."""
        found: str | None = getattr(self.of, "compression", None)
        return found

    @property
    def runs_code(self) -> bool:
        """As the format of the parts."""
        return bool(getattr(self.of, "runs_code", False))


@dataclass(frozen=True, slots=True)
class ListedFormat(_Around):
    """Lists as many objects of another format; see :func:`listed`.

    Args:
        of: The format of the parts.
        holds: What they are, once a manifest has told it.
    """

    holds: Holds = "lists"

    @property
    def inner(self) -> ListPiece:
        """What reads a part as a piece of the list."""
        return ListPiece(self.of, whole=False, single=self.holds == "items")

    @property
    def extension(self) -> str:
        """That of the parts and the manifest's."""
        return f"{self.of.extension}.{MANIFEST}"

    @property
    def media_type(self) -> str:
        """Of the manifest."""
        return "application/json"

    def encode(self, value: Any) -> Body:
        """There is no place for parts here: see :meth:`encode_parts`."""
        msg = f"format {self.name!r} in parts does not write {qualified(type(value))}"
        raise UnsupportedTypeError(msg, hint="write a bag or a list of Delayed by ValueStore")

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """Only what the manifest itself says; values are read through their parts."""
        del as_type
        return Manifest.of(payload)

    def encode_parts(self, value: Any, folder: PartFolder, label: str | None) -> Body:
        """See :class:`~dagster_buckets.formats.base.SupportsParts`."""
        return self.plan(value, folder, label).compute()

    def plan(self, value: Any, folder: PartFolder, label: str | None) -> Plan:
        """See :class:`~dagster_buckets.formats.base.SupportsPlans`."""
        from dagster_buckets.formats.dask_lists import plan_of_bag, plan_of_list

        if is_bag(type(value)):
            return plan_of_bag(value, folder, self.of, label)
        if isinstance(value, list) and all(is_delayed(type(item)) for item in value):
            return plan_of_list(value, folder, self.of, label)
        msg = f"{qualified(type(value))} is neither a bag of Dask's nor a list of Delayed"
        hint = "return [delayed, …] and annotate the output with list[Delayed]"
        raise UnsupportedTypeError(msg, hint=hint)

    def parts(self, payload: Payload, folder: PartFolder, as_type: type | None) -> Parts:
        """See :class:`~dagster_buckets.formats.base.SupportsParts`."""
        del as_type
        written = payload.info.modified
        refs = tuple(folder.ref(part, written) for part in Manifest.of(payload).parts)
        # Each part keeps the limits of its own format.
        return Parts(refs, Limit().of(sum(ref.size for ref in refs), payload.info.uri))

    def told_by(self, payload: Payload) -> ListedFormat:
        """See :class:`~dagster_buckets.formats.base.SupportsListedParts`."""
        return replace(self, holds=Manifest.of(payload).holds)

    def can_structure(self, annotation: Any) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsStructures`."""
        if delayed_class(annotation):
            return True
        of = self.of
        listing = list_item(annotation) is not None
        return listing and isinstance(of, SupportsStructures) and of.can_structure(annotation)

    def gathered(self, refs: Sequence[ObjectRef], wanted: Any) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsListedParts`."""
        from dagster_buckets.formats.dask_lists import bag_of, delayed_of

        if is_bag(wanted):
            return bag_of([self.inner] * len(refs), refs)
        if delayed_class(wanted):
            return delayed_of(self.of, refs)
        if wanted not in (None, list, object) and list_item(wanted) is None:
            msg = f"{refs[0].uri} is a part of a list, which cannot be {wanted!r}"
            hint = "annotate the input with list, dask.bag.Bag or list[Delayed]; of several "
            hint += "partitions with dict[str, …] of it"
            raise UnsupportedTypeError(msg, hint=hint)
        wanted = wanted if list_item(wanted) is not None else None
        found, inner = [], self.inner
        read = partial(inner.items, wanted=wanted)
        for outcome in run_all(read, refs, max_concurrency=_AT_ONCE):
            if outcome.error is not None:
                raise outcome.error
            found += outcome.result or []
        return found


@dataclass(frozen=True, slots=True)
class ListPiece(_Around):
    """An object as a piece of a list, which a worker reads.

    Args:
        of: Its format.
        whole: Whether it is a value of its own, and not a part that a manifest names.
        single: Whether it is one item of the list.
    """

    whole: bool = True
    single: bool = False

    @property
    def extension(self) -> str:
        """As it is."""
        return self.of.extension

    @property
    def media_type(self) -> str:
        """As it is."""
        return self.of.media_type

    def encode(self, value: Any) -> Body:
        """As it is."""
        return self.of.encode(value)

    def decode(self, payload: Payload, as_type: Any) -> Any:
        """A list.

        Args:
            payload: The object.
            as_type: What the list shall be, for formats that make what an annotation describes.

        Raises:
            UnsupportedTypeError: It holds something else.
        """
        if self.single:
            return [self.of.decode(payload, list_item(as_type))]
        found = self.of.decode(payload, as_type)
        if not isinstance(found, list):
            uri = payload.info.uri
            msg = f"{uri} holds {qualified(type(found))}, and a bag is made of lists"
            raise UnsupportedTypeError(msg, uri=uri, hint="load it as what it is")
        return found

    def items(self, ref: ObjectRef, wanted: Any = None) -> list[Any]:
        """What the object adds to the list: of the very version that was found.

        Raises:
            ObjectNotFoundError, StoreUnavailableError: It was deleted or written again.
            IntegrityError, DecodeError: It is not what was written.
        """
        payload = ref.get() if self.whole else verified_part(ref)
        if self.whole and payload.info.etag != ref.etag:
            raise changed(ref.uri)
        found: list[Any] = self.decode(payload, wanted)
        return found

    def can_scan(self, as_type: type) -> bool:
        """See :class:`~dagster_buckets.formats.base.SupportsLazy`."""
        return is_bag(as_type)

    def scan(
        self,
        refs: Sequence[ObjectRef],
        as_type: type,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """See :class:`~dagster_buckets.formats.base.SupportsLazy`."""
        from dagster_buckets.formats.dask_lists import bag_of

        del as_type
        return bag_of([self] * len(refs), refs, columns)
