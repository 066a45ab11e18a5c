"""Fields: the syntax of a template, and what each of its fields stands for.

A template is a tuple of atoms. Parts in brackets are optional, so one template stands for several
*variants*; each serves the addresses with exactly its partition dimensions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from dagster_buckets.address import DEFAULT_DIMENSION
from dagster_buckets.errors import ConfigurationError

__all__ = [
    "WIDTHS",
    "Atom",
    "Digits",
    "Extension",
    "Parts",
    "Shard",
    "Text",
    "Value",
    "Variant",
    "merged",
    "variants",
]

#: The directives of ``strftime`` that a template knows, and how many digits each gives.
WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "j": 3}

_LITERAL = re.compile(r"[A-Za-z0-9_.=,+@:;!'()$& -]+", re.ASCII)
_ASSET = re.compile(r"asset(\[(?P<start>-?\d+)?(?P<colon>:)?(?P<stop>-?\d+)?\])?", re.ASCII)
_DIMENSION = re.compile(r"(partition|date|dim\.(?P<name>[^:{}]+))(:(?P<pattern>[^{}]+))?")
_SHARD = re.compile(r"shard(:(?P<width>[1-4]))?", re.ASCII)
#: 256 shards.
_WIDTH = 2
_KNOWN = (
    "the fields are {asset}, {asset[0]}, {asset[1:]}, {partition}, {dim.NAME}, {date:%Y/%m/%d}, "
    "{dim.NAME:%Y/%m/%d}, {shard}, {shard:1} to {shard:4} and {ext}; [...] holds what only some "
    "addresses have"
)


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of the asset key: one, or a slice of them joined by ``/``.

    Attributes:
        start: Index of the first part, or ``None`` for the beginning.
        stop: Index after the last part, or ``None`` for the end.
        single: Whether it is the part at ``start`` alone.
    """

    start: int | None = None
    stop: int | None = None
    single: bool = False

    def of(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """These parts of an asset key; empty where it has none of them."""
        if not self.single:
            return path[self.start : self.stop]
        index = self.start or 0
        return (path[index],) if -len(path) <= index < len(path) else ()

    def positions(self, length: int) -> list[int]:
        """The indexes of these parts in an asset key of this length."""
        return [int(index) for index in self.of(tuple(map(str, range(length))))]


@dataclass(frozen=True, slots=True)
class Value:
    """The partition key in one dimension."""

    dimension: str


@dataclass(frozen=True, slots=True)
class Digits:
    """A part of the time that a partition key spells: one directive of ``strftime``."""

    dimension: str
    directive: str

    @property
    def width(self) -> int:
        """How many digits there are, always."""
        return WIDTHS[self.directive]


@dataclass(frozen=True, slots=True)
class Shard:
    """Digits that follow from the whole address, and tell nothing that other fields do not.

    Attributes:
        width: How many hexadecimal digits there are, always.
    """

    width: int


@dataclass(frozen=True, slots=True)
class Extension:
    """The extension of the format."""


Atom: TypeAlias = Text | Parts | Value | Digits | Shard | Extension


@dataclass(frozen=True, slots=True)
class Variant:
    """One reading of a template, with or without each of its optional parts.

    Attributes:
        atoms: In order. Only :class:`Text` can hold a ``/``.
        has_extension: Whether its keys tell the format.
        tells_time: Whether there are :class:`Digits` in it.
    """

    atoms: tuple[Atom, ...]

    has_extension: bool = field(init=False)
    tells_time: bool = field(init=False)

    def __post_init__(self) -> None:
        atoms = self.atoms
        object.__setattr__(self, "has_extension", bool(atoms) and isinstance(atoms[-1], Extension))
        object.__setattr__(self, "tells_time", any(isinstance(atom, Digits) for atom in atoms))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The partition dimensions of the addresses that it serves, in alphabetical order."""
        return tuple(sorted({a.dimension for a in self.atoms if isinstance(a, Value | Digits)}))

    def components(self) -> list[tuple[Atom, ...]]:
        """The atoms between the slashes."""
        found: list[list[Atom]] = [[]]
        for atom in self.atoms:
            if not isinstance(atom, Text):
                found[-1].append(atom)
                continue
            first, *rest = atom.text.split("/")
            found[-1] += [Text(first)] if first else []
            found += [[Text(text)] if text else [] for text in rest]
        return [tuple(component) for component in found]


def variants(template: str) -> tuple[Variant, ...]:
    """Read a template.

    Raises:
        ConfigurationError: It is not one; the message says where and why.
    """
    segments = [(_atoms(template, text), optional) for text, optional in _segments(template)]
    for atoms, optional in segments:
        if optional and not any(isinstance(atom, Value | Digits) for atom in atoms):
            raise _refuse(template, "a part in brackets needs a field of a partition")
    choices = itertools.product(
        *([True, False] if optional else [True] for _, optional in segments)
    )
    found = [
        Variant(
            merged(
                [
                    a
                    for (atoms, _), used in zip(segments, chosen, strict=True)
                    if used
                    for a in atoms
                ]
            )
        )
        for chosen in choices
    ]
    for variant in found:
        _check(template, variant)
    served = [variant.dimensions for variant in found]
    for twice in {dimensions for dimensions in served if served.count(dimensions) > 1}:
        reason = f"its brackets leave two ways to write the dimensions {', '.join(twice)}"
        raise _refuse(template, reason)
    return tuple(found)


def _segments(template: str) -> Iterator[tuple[str, bool]]:
    """The text outside of brackets and inside, in turn."""
    depth, start, braces = 0, 0, False
    for position, character in enumerate(template):
        if character in "{}":
            if braces == (character == "{"):
                raise _refuse(template, f"the {character!r} at position {position} has no partner")
            braces = not braces
        elif character in "[]" and not braces:
            if depth == (character == "["):
                raise _refuse(template, f"the {character!r} at position {position} has no partner")
            yield template[start:position], depth == 1
            depth, start = 1 - depth, position + 1
    if braces or depth:
        raise _refuse(template, "a brace or bracket is not closed")
    yield template[start:], False


def _atoms(template: str, segment: str) -> list[Atom]:
    found: list[Atom] = []
    for number, piece in enumerate(re.split(r"\{([^{}]*)\}", segment)):
        if number % 2:
            found += _field(template, piece)
        elif piece:
            found.append(_text(template, piece))
    return found


def _text(template: str, text: str) -> Text:
    for component in text.split("/"):
        if component and not _LITERAL.fullmatch(component):
            raise _refuse(template, f"{component!r} holds a character that is not safe in keys")
    return Text(text)


def _field(template: str, name: str) -> list[Atom]:
    if name == "ext":
        return [Extension()]
    if found := _SHARD.fullmatch(name):
        return [Shard(int(found["width"] or _WIDTH))]
    if found := _ASSET.fullmatch(name):
        start, stop = (int(found[edge]) if found[edge] else None for edge in ("start", "stop"))
        if "[" not in name or found["colon"]:
            if (start or 0) < 0 or (stop is not None and stop >= 0):
                raise _refuse(template, "slices count from both ends, as {asset[1:-1]} does")
            return [Parts(start, stop)]
        if start is not None and stop is None:
            return [Parts(start, single=True)]
    elif found := _DIMENSION.fullmatch(name):
        dimension = found["name"] or DEFAULT_DIMENSION
        if found["pattern"]:
            return _time(template, dimension, found["pattern"])
        if name != "date":
            return [Value(dimension)]
        raise _refuse(template, "{date} needs a format, such as {date:%Y/%m/%d}")
    raise _refuse(template, f"there is no field {{{name}}}")


def _time(template: str, dimension: str, pattern: str) -> list[Atom]:
    found: list[Atom] = []
    for piece in re.split(r"(%.?)", pattern):
        if piece.startswith("%"):
            if piece[1:] not in WIDTHS:
                known = ", ".join(f"%{name}" for name in WIDTHS)
                raise _refuse(template, f"{piece!r} is none of the directives {known}")
            found.append(Digits(dimension, piece[1:]))
        elif piece:
            found.append(_text(template, piece))
    return found


def merged(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """The same atoms, with texts that follow each other in one."""
    found: list[Atom] = []
    for atom in atoms:
        if found and isinstance(atom, Text) and isinstance(last := found[-1], Text):
            found[-1] = Text(last.text + atom.text)
        else:
            found.append(atom)
    return tuple(found)


def _check(template: str, variant: Variant) -> None:
    for component in variant.components():
        text = "".join(atom.text for atom in component if isinstance(atom, Text))
        if not component or (text in {".", ".."} and len(component) == 1):
            raise _refuse(template, "it gives keys with an empty, '.' or '..' component")
    shards = [i for i, atom in enumerate(variant.atoms) if isinstance(atom, Shard)]
    if shards and (not shards[0] or any(isinstance(a, Parts) for a in variant.atoms[shards[0] :])):
        reason = "{shard} stands after {asset}, and not first: one asset could not be listed alone"
        raise _refuse(template, reason)
    extensions = [i for i, atom in enumerate(variant.atoms) if isinstance(atom, Extension)]
    if not extensions:
        return
    before = variant.atoms[extensions[0] - 1]
    ends = extensions == [len(variant.atoms) - 1] and extensions != [0]
    if not ends or not isinstance(before, Text) or not before.text.endswith("."):
        raise _refuse(template, "{ext} stands only at the end, after a dot")


def _refuse(template: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"the template {template!r} is not one: {reason}", hint=_KNOWN)
