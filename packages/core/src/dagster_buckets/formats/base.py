"""The format protocol: values to bytes and back, and the powers that some formats add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

from dagster_buckets.objects import Column, Description

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster_buckets.formats.limits import Bound
    from dagster_buckets.formats.plans import Plan
    from dagster_buckets.objects import Body, Payload
    from dagster_buckets.parts import PartFolder
    from dagster_buckets.references import ObjectRef

__all__ = [
    "Column",
    "Description",
    "FirstRows",
    "Format",
    "Part",
    "Parts",
    "RunsCode",
    "SupportsCompression",
    "SupportsConcat",
    "SupportsDescribe",
    "SupportsFirstRows",
    "SupportsLazy",
    "SupportsListedParts",
    "SupportsParts",
    "SupportsPlans",
    "SupportsStreaming",
    "SupportsStructures",
]


@runtime_checkable
class Format(Protocol):
    """How values become bytes. A third party inherits nothing and registers one entry point.

    The class of a format can be called without arguments. If it is a dataclass, its fields are its
    options: ``format_options`` of a manager and ``dagster_buckets/…`` metadata set them by name, of
    the types that they are annotated with. A field ``compression`` says that the format compresses
    by itself; all others are compressed as a whole where that is asked for. See
    :mod:`dagster_buckets.formats.options` for fields that are no options.

    ``FormatConformance`` in ``dagster_buckets.testing`` checks what is said here.
    """

    @property
    def name(self) -> str:
        """The name that ``format=…`` takes, and that of the entry point."""
        ...

    @property
    def extension(self) -> str:
        """The end of the object key, without a dot; unique to this format."""
        ...

    @property
    def media_type(self) -> str:
        """The IANA media type, kept as the object's content type where the store has one."""
        ...

    @property
    def claims(self) -> tuple[str, ...]:
        """The types that ``format="auto"`` writes in this format.

        Qualified class names (``builtins.dict``, ``pandas.core.frame.DataFrame``), so that no
        library is imported to decide; or the name of a special attribute
        (``__arrow_c_stream__``) that any class may have. The nearest class in the MRO wins.
        """
        ...

    def encode(self, value: Any) -> Body:
        """The bytes of a value; ``decode`` gives an equal value of the same type.

        Raises:
            UnsupportedTypeError: This format does not write values of this type.
            EncodeError: The type fits, the value does not.
        """
        ...

    def decode(self, payload: Payload, as_type: type | None) -> Any:
        """The value of an object.

        Args:
            payload: The object, verified.
            as_type: The class that the consumer asked for; ``None`` means the class that was
                written, as far as the format knows it.

        Raises:
            UnsupportedTypeError: This format cannot give that class.
            DecodeError: The bytes are not in this format.
        """
        ...


@runtime_checkable
class SupportsDescribe(Protocol):
    """The power to tell rows and columns from the encoded bytes."""

    def describe(self, file: BinaryIO) -> Description:
        """Describe a seekable file, reading only what is needed."""
        ...


@runtime_checkable
class SupportsCompression(Protocol):
    """The power to compress, of its own or around another format."""

    @property
    def compression(self) -> str | None:
        """The codec; ``None`` or ``"none"`` for none."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """What :meth:`SupportsConcat.part` made of one object.

    Attributes:
        uri: The object's, for errors.
        value: The format's own business.
        size: Bytes that it has in memory, where the format tells.
    """

    uri: str
    value: Any
    size: int = 0


@runtime_checkable
class SupportsConcat(Protocol):
    """The power to make one value of several objects, one below the other."""

    def can_concat(self, as_type: type) -> bool:
        """Whether objects can be joined into one value of this class."""
        ...

    def part(self, source: Payload | ObjectRef) -> Part:
        """What one object adds to the value: decoded, and free of its bytes.

        Called on many threads, on each for the object that it has just fetched, so that decoding
        need not wait for the last one.

        Args:
            source: The object, verified; a reference only to formats with
                :class:`SupportsStreaming`.

        Raises:
            DecodeError: The bytes are not in this format; the message names the object.
        """
        ...

    def concat(
        self,
        parts: Sequence[Part],
        as_type: type | None,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """One value of all parts, in this order.

        Args:
            parts: At least one.
            as_type: A class that :meth:`can_concat`; ``None`` for the one that was written, which
                is asked of formats of parts only (:class:`SupportsParts`).
            columns: Of each object the constant columns to add after those of the data (the
                dimensions and keys of its partition), all of Arrow's type ``string``.

        Raises:
            DecodeError: They do not fit together, or a column to add is in the data already; the
                message names the object and the column.
        """
        ...


@runtime_checkable
class SupportsLazy(Protocol):
    """The power to scan objects: a query engine reads of them what the query needs, later."""

    def can_scan(self, as_type: type) -> bool:
        """Whether objects can be scanned through this class."""
        ...

    def scan(
        self,
        refs: Sequence[ObjectRef],
        as_type: type,
        columns: Sequence[Mapping[str, str]] | None = None,
    ) -> Any:
        """One scan over all objects, in this order; only their schemas are read now.

        It can be used several times, from any thread, and never gives bytes of another version
        than the one that a reference describes.

        Args:
            refs: The objects; at least one.
            as_type: A class that :meth:`can_scan`.
            columns: As of :meth:`SupportsConcat.concat`. A filter on them reads nothing of the
                objects that it leaves out.

        Raises:
            ObjectNotFoundError: An object was deleted.
            DecodeError: As of :meth:`SupportsConcat.concat`.
        """
        ...


@runtime_checkable
class SupportsStreaming(Protocol):
    """The power to make a value without holding all bytes of its object."""

    def streams_above(self, as_type: type | None) -> int | None:
        """Objects of more than so many bytes are handed over as references for this class.

        ``None`` means that all of them are fetched. At most 16 MiB; what is not larger arrives in
        one request.
        """
        ...

    def stream(self, ref: ObjectRef, as_type: type | None) -> Any:
        """The value of an object of which nothing was read, as ``decode`` would give it.

        Raises:
            ObjectNotFoundError, StoreUnavailableError: The object was deleted or written again.
            UnsupportedTypeError, DecodeError: As of :meth:`Format.decode`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What :meth:`SupportsParts.parts` tells of a value.

    Attributes:
        refs: Those of its parts that can have wanted rows, in order; at least one.
        bound: What they may become together, where all of them are held.
    """

    refs: tuple[ObjectRef, ...]
    bound: Bound


@runtime_checkable
class SupportsParts(Protocol):
    """The power to keep a value in several objects, which a manifest names.

    The manifest is the object of the value: it is written last and read first. Parts have names
    that no other write has, so whoever has read a manifest finds what it names.
    """

    @property
    def inner(self) -> Format:
        """The format of the parts."""
        ...

    def encode_parts(self, value: Any, folder: PartFolder, label: str | None) -> Body:
        """Write the parts of a value, and give its manifest.

        Args:
            value: The value.
            folder: Takes the parts.
            label: Whose value it is, for their headers.

        Raises:
            UnsupportedTypeError, EncodeError: As of :meth:`Format.encode`. No part is left then.
            StoreError: The store failed.
        """
        ...

    def parts(self, payload: Payload, folder: PartFolder, as_type: type | None) -> Parts:
        """The parts that a manifest names, less those that it tells are not wanted. No request.

        Args:
            payload: The manifest.
            folder: Where they lie.
            as_type: What the value is going to be.

        Raises:
            DecodeError: It is no manifest, or it tells that the value is too large for memory.
        """
        ...


@runtime_checkable
class SupportsPlans(Protocol):
    """The power to leave the writing of parts to the tasks that compute a value."""

    def plan(self, value: Any, folder: PartFolder, label: str | None) -> Plan | None:
        """What writes the parts when it is computed; ``None`` for a value that is there already.

        Arguments and errors as of :meth:`SupportsParts.encode_parts`; nothing is written yet.
        """
        ...


@runtime_checkable
class SupportsListedParts(Protocol):
    """The power to make a list of parts, of which a manifest tells what each is of the list."""

    def told_by(self, payload: Payload) -> Format:
        """This format, of a value with this manifest.

        Raises:
            DecodeError: It is no manifest.
        """
        ...

    def gathered(self, refs: Sequence[ObjectRef], wanted: Any) -> Any:
        """The value.

        Args:
            refs: Its parts.
            wanted: A class, or an annotation that :meth:`SupportsStructures.can_structure`.

        Raises:
            UnsupportedTypeError: It cannot be that.
            IntegrityError, DecodeError: A part is not what the manifest says.
        """
        ...


@dataclass(frozen=True, slots=True)
class FirstRows:
    """What :meth:`SupportsFirstRows.first_rows` made of an object.

    Attributes:
        table: A ``pyarrow.Table`` with all columns, or those that the format's options choose.
        total: How many rows the object has; ``None`` where nothing short of reading it tells.
    """

    table: Any
    total: int | None


@runtime_checkable
class SupportsFirstRows(Protocol):
    """The power to give the first rows of an object without fetching the others."""

    def first_rows(self, ref: ObjectRef, count: int) -> FirstRows:
        """The first rows of a large object; not more than its parts in which they lie are fetched.

        Args:
            ref: The object.
            count: How many; for 0 only the columns, and the number of rows, are looked up.

        Raises:
            ObjectNotFoundError, StoreUnavailableError: The object was deleted or written again.
            DecodeError: The bytes are not in this format.
        """
        ...


@runtime_checkable
class SupportsStructures(Protocol):
    """The power to make what only an annotation describes: ``list[Model]``, not ``list``."""

    def can_structure(self, annotation: Any) -> bool:
        """Whether ``decode`` takes this annotation in place of a class.

        A class whose instances it makes, or ``list[…]``, ``dict[str, …]`` or ``Optional`` of such.
        ``decode`` then raises a :class:`~dagster_buckets.errors.DecodeError` for a value that does
        not fit.
        """
        ...


@runtime_checkable
class RunsCode(Protocol):
    """A format whose ``decode`` runs code that the object names.

    ``format="auto"`` neither writes nor reads it unless the manager allows it.
    """

    @property
    def runs_code(self) -> bool:
        """Whether that is so."""
        ...
