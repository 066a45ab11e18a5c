"""The format protocol: values to bytes and back, and the powers that some formats add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster_buckets.objects import Body, Payload

__all__ = ["Column", "Description", "Format", "SupportsConcat", "SupportsDescribe"]


@runtime_checkable
class Format(Protocol):
    """How values become bytes. A third party inherits nothing and registers one entry point.

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


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, its type spelled as Arrow spells it."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Description:
    """What can be said of an object without decoding its values.

    Attributes:
        rows: How many rows it has; ``None`` where the format has none.
        columns: Its columns in order; ``None`` where the format has none.
    """

    rows: int | None = None
    columns: tuple[Column, ...] | None = None


@runtime_checkable
class SupportsDescribe(Protocol):
    """The power to tell rows and columns from the encoded bytes."""

    def describe(self, file: BinaryIO) -> Description:
        """Describe a seekable file, reading only what is needed."""
        ...


@runtime_checkable
class SupportsConcat(Protocol):
    """The power to make one value of several objects, one below the other."""

    def can_concat(self, as_type: type) -> bool:
        """Whether objects can be joined into one value of this class."""
        ...

    def concat(self, payloads: Sequence[Payload], as_type: type) -> Any:
        """One value of all objects, in this order.

        Raises:
            DecodeError: The bytes are not in this format, or do not fit together; the message
                names the object and the column.
        """
        ...
