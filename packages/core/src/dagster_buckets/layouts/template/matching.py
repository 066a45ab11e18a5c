"""Matching: the keys of one variant of a template, written and read."""

from __future__ import annotations

import re
from functools import lru_cache

from dagster_buckets.address import AssetAddress
from dagster_buckets.layouts.encoding import EXTENSION, NAME_CHARACTERS, decode, encode_name
from dagster_buckets.layouts.template.fields import (
    Atom,
    Digits,
    Parts,
    Shard,
    Text,
    Value,
    Variant,
)
from dagster_buckets.layouts.template.shards import shard_of
from dagster_buckets.layouts.template.times import digits_of, key_of

__all__ = ["directives_of", "pattern_of", "read", "write"]

_NAME = f"[{NAME_CHARACTERS}]+"


@lru_cache(maxsize=1024)
def directives_of(variant: Variant, dimension: str) -> frozenset[str]:
    """The parts of a dimension's time that the variant tells."""
    return frozenset(
        a.directive for a in variant.atoms if isinstance(a, Digits) and a.dimension == dimension
    )


def write(variant: Variant, address: AssetAddress) -> str | None:
    """The key without its extension; ``None`` where the address lacks what a field stands for.

    What the fields do not tell of the address is lost.
    """
    values = dict(address.partition)
    found = ""
    for atom in variant.atoms:
        if isinstance(atom, Text):
            found += atom.text
        elif isinstance(atom, Value):
            found += encode_name(values[atom.dimension])
        elif isinstance(atom, Parts):
            parts = _parts(atom, address.path)
            if not parts:
                return None
            found += parts
        elif isinstance(atom, Shard):
            found += shard_of(address, atom.width)
        elif isinstance(atom, Digits):
            directives = directives_of(variant, atom.dimension)
            digits = digits_of(values[atom.dimension], directives)
            if digits is None:
                return None
            found += digits[atom.directive]
    return found


@lru_cache(maxsize=4096)
def _parts(atom: Parts, path: tuple[str, ...]) -> str:
    return "/".join(map(encode_name, atom.of(path)))


@lru_cache(maxsize=1024)
def pattern_of(atoms: tuple[Atom, ...]) -> re.Pattern[str]:
    """What these atoms can be, with a group for each field."""
    return re.compile("".join(map(_group, atoms)), re.ASCII)


def read(
    variant: Variant, found: re.Match[str], asset: tuple[str, ...] | None
) -> AssetAddress | None:
    """The address whose key this may be; where fields say the same thing twice, one is believed.

    Args:
        variant: The variant.
        found: The match of its pattern with a key.
        asset: The asset key, where the variant is of one asset.
    """
    fields = [atom for atom in variant.atoms if not isinstance(atom, Text)]
    groups = list(zip(fields, found.groups(), strict=True))
    try:
        path = asset or _path([(a, text.split("/")) for a, text in groups if isinstance(a, Parts)])
        partition: dict[str, str | None] = {}
        for dimension in variant.dimensions:
            own = [(a, text) for a, text in groups if getattr(a, "dimension", None) == dimension]
            digits = {a.directive: text for a, text in own if isinstance(a, Digits)}
            whole = [decode(text) for a, text in own if isinstance(a, Value)]
            partition[dimension] = whole[0] if whole else key_of(digits)
    except UnicodeError:
        return None
    known = {name: value for name, value in partition.items() if value is not None}
    return AssetAddress.of(path, known) if len(known) == len(partition) else None


def _group(atom: Atom) -> str:
    if isinstance(atom, Text):
        return re.escape(atom.text)
    if isinstance(atom, Digits):
        return rf"(\d{{{atom.width}}})"
    if isinstance(atom, Shard):
        return f"([0-9a-f]{{{atom.width}}})"
    if isinstance(atom, Value) or (isinstance(atom, Parts) and atom.single):
        return f"({_NAME})"
    return f"({_NAME}(?:/{_NAME})*)" if isinstance(atom, Parts) else f"({EXTENSION})"


def _path(parts: list[tuple[Parts, list[str]]]) -> tuple[str, ...]:
    # As long as the longest field needs, and what a slice leaves out at both ends.
    lengths = [
        len(texts) + abs(a.start or 0) + abs(a.stop or 0) for a, texts in parts if not a.single
    ]
    path = [""] * max([*lengths, 1])
    for atom, texts in parts:
        for position, text in zip(atom.positions(len(path)), texts, strict=False):
            path[position] = decode(text)
    return tuple(path)
