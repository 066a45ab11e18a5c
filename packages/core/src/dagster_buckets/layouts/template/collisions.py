"""Collisions: the proof that a template keeps addresses apart, and an example where it does not.

The proof looks at keys component by component. It is on the safe side: what it cannot prove is
refused. The example is found by writing out the keys of a few hundred small addresses.
"""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Iterator, Sequence

from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import ConfigurationError
from dagster_buckets.layouts.encoding import NAME_CHARACTERS
from dagster_buckets.layouts.runs import RUNS
from dagster_buckets.layouts.template.fields import (
    Atom,
    Digits,
    Extension,
    Parts,
    Shard,
    Text,
    Value,
    Variant,
)
from dagster_buckets.layouts.template.matching import directives_of, pattern_of, read, write
from dagster_buckets.layouts.template.times import CHAINS, digits_of, example_keys, key_of

__all__ = ["check_apart"]

_Component = tuple[Atom, ...]

_IN_NAMES = re.compile(f"[{NAME_CHARACTERS}]+", re.ASCII)
_NAME_SET = frozenset(c for c in map(chr, range(128)) if _IN_NAMES.fullmatch(c))
_EXTENSION_SET = frozenset(string.ascii_letters + string.digits + "_-.")
_DIGIT_SET = frozenset(string.digits)
# Any digits, for the proof: which shard an address has is left to the hash.
_SHARD_SET = frozenset(string.digits + "abcdef")

#: Of each variant; a refused template is told within a tenth of a second.
_EXAMPLES = 1000


def check_apart(
    template: str, variants: Sequence[Variant], *, asset: tuple[str, ...] | None
) -> None:
    """Refuse a template under which two addresses share a key, or a key is a folder of another.

    Args:
        template: As the user wrote it, for the message.
        variants: What it stands for; of one asset without :class:`Parts`.
        asset: The only asset that it is for.

    Raises:
        ConfigurationError: The message shows two such addresses.
    """
    reason = next(_faults(variants, of_one_asset=asset is not None), None)
    if reason is None:
        return
    problem, hint = reason
    msg = f"the template {template!r} does not keep addresses apart: "
    raise ConfigurationError(msg + (_example(variants, asset) or problem), hint=hint)


def _faults(variants: Sequence[Variant], *, of_one_asset: bool) -> Iterator[tuple[str, str]]:
    """Why it cannot be proved safe, with what to do about it."""
    for variant in variants:
        if not of_one_asset:
            yield from _lost_parts(variant)
        yield from _lost_times(variant)
        yield from _run_together(variant)
    for one, other in itertools.combinations_with_replacement(variants, 2):
        if not _apart(one, other):
            problem = "a key of one kind of address can be that, or the folder, of another kind"
            hint = (
                "make the paths differ in a text that no name can hold, such as 'day=' before a "
                "partition, and end them in .{ext}"
            )
            yield problem, hint
    if any(_matches(variant.components()[0], RUNS) for variant in variants):
        yield f"the folder {RUNS!r} holds the outputs of ops", "choose another folder"


def _lost_parts(variant: Variant) -> Iterator[tuple[str, str]]:
    parts = [atom for atom in variant.atoms if isinstance(atom, Parts)]
    several = [atom for atom in parts if not atom.single]
    for length in range(
        1, 4 + max([abs(a.start or 0) + abs(a.stop or 0) for a in parts], default=0)
    ):
        positions = [atom.positions(length) for atom in parts]
        if all(positions) and set(range(length)) != {p for some in positions for p in some}:
            yield (
                "it leaves out parts of the asset key",
                "use {asset}, which is all parts of the key",
            )
            return
    if len(several) != 1:
        yield "where one slice of the asset key ends is unknown", "use {asset} once"


def _lost_times(variant: Variant) -> Iterator[tuple[str, str]]:
    for dimension in variant.dimensions:
        if (
            Value(dimension) not in variant.atoms
            and directives_of(variant, dimension) not in CHAINS
        ):
            problem = f"it leaves out a part of the time of {dimension!r}"
            yield problem, "begin with %Y and leave out nothing before the finest part"


def _run_together(variant: Variant) -> Iterator[tuple[str, str]]:
    """Two fields of unknown length need a character between them that neither can hold."""
    for component in variant.components():
        open_end = False
        for atom in component:
            if isinstance(atom, Text) and not _NAME_SET.issuperset(atom.text):
                open_end = False
            elif isinstance(atom, Value | Parts | Extension):
                if open_end:
                    hint = (
                        "separate the fields by a folder, or by one of '.', '=', ',', '+' and '@'"
                    )
                    yield "where one field ends and the next begins is unknown", hint
                    return
                open_end = True


def _apart(one: Variant, other: Variant) -> bool:
    """Whether no key of one is a key of the other, or the folder of one, for all lengths."""
    # Slices of an asset key that are longer than this only repeat the component in their middle.
    most = len(one.components()) + len(other.components()) + 3
    expanded = [[e for n in range(1, most) if (e := _expanded(v, n))] for v in (one, other)]
    for first, second in itertools.product(*expanded):
        if one is other and len(first) == len(second):
            continue  # told apart within its components
        if not any(_disjoint(p, q) for p, q in zip(first, second, strict=False)):
            return False
    return True


def _expanded(variant: Variant, length: int) -> list[_Component] | None:
    """The components of its keys with that many of them; ``None`` if it has no such keys."""
    components = variant.components()
    for position, component in enumerate(components):
        for index, atom in enumerate(component):
            if isinstance(atom, Parts) and not atom.single:
                before, after = component[:index], component[index + 1 :]
                count = length - len(components) + 1
                if count < 1:
                    return None
                part = (Parts(0, single=True),)
                middle = [before + part, *([part] * (count - 2)), part + after]
                if count == 1:
                    middle = [before + part + after]
                return [*components[:position], *middle, *components[position + 1 :]]
    return components if len(components) == length else None


def _disjoint(one: _Component, other: _Component) -> bool:
    """Whether no text fits both; ``False`` also where that is not known."""
    for p, q in ((one, other), (other, one)):
        text = "".join(atom.text for atom in p if isinstance(atom, Text))
        if all(isinstance(atom, Text) for atom in p):
            return not _matches(q, text)
    heads, tails = (_edges(one, other, 0), _edges(one, other, -1))
    if not (heads[0].startswith(heads[1]) or heads[1].startswith(heads[0])):
        return True
    if not (tails[0].endswith(tails[1]) or tails[1].endswith(tails[0])):
        return True
    signs = {c for atom in one + other if isinstance(atom, Text) for c in atom.text}
    counts = [(_count(one, sign), _count(other, sign)) for sign in signs]
    return any(a[1] < b[0] or b[1] < a[0] for a, b in counts)


def _edges(one: _Component, other: _Component, index: int) -> list[str]:
    """The text that each begins (index 0) or ends (index -1) with."""
    return [e.text if isinstance(e := c[index], Text) else "" for c in (one, other)]


def _count(component: _Component, sign: str) -> tuple[float, float]:
    """How often a text that fits the component holds this character, at least and at most."""
    least, most = 0, 0.0
    for atom in component:
        if isinstance(atom, Text):
            least, most = least + atom.text.count(sign), most + atom.text.count(sign)
        elif isinstance(atom, Digits):
            most += atom.width if sign in _DIGIT_SET else 0
        elif isinstance(atom, Shard):
            most += atom.width if sign in _SHARD_SET else 0
        elif sign in (_EXTENSION_SET if isinstance(atom, Extension) else _NAME_SET):
            most = math.inf
    return least, most


def _matches(component: _Component, text: str) -> bool:
    return pattern_of(component).fullmatch(text) is not None


def _example(variants: Sequence[Variant], asset: tuple[str, ...] | None) -> str | None:
    """Two small addresses whose keys collide, in words; ``None`` if there are none so small."""
    owners: dict[str, AssetAddress] = {}
    for address, key in _small_keys(variants, asset):
        owner = owners.setdefault(key, address)
        if owner != address:
            return f"{owner} and {address} both get the key {key!r}"
    for key, address in owners.items():
        for other in _readings(variants, key, asset):
            if other != address:
                return f"{address} and {other} both get the key {key!r}"
        for end in (i for i, character in enumerate(key) if character == "/"):
            for upper in _readings(variants, key[:end], asset):
                return f"{upper} gets the key {key[:end]!r}, a folder of {key!r}, {address}"
    return None


def _readings(
    variants: Sequence[Variant], key: str, asset: tuple[str, ...] | None
) -> Iterator[AssetAddress]:
    """The addresses that have this key."""
    for variant in variants:
        if found := pattern_of(variant.atoms).fullmatch(key):
            address = read(variant, found, asset)
            extension = found[found.re.groups] if variant.has_extension else ""
            if address is not None and f"{write(variant, address)}{extension}" == key:
                yield address


def _small_keys(
    variants: Sequence[Variant], asset: tuple[str, ...] | None
) -> Iterator[tuple[AssetAddress, str]]:
    words = _words(variants)
    paths = [asset] if asset else [p for n in (1, 2, 3) for p in itertools.product(words, repeat=n)]
    for variant in variants:
        yield from itertools.islice(_of_variant(variant, paths, words), _EXAMPLES)


def _of_variant(
    variant: Variant, paths: Sequence[tuple[str, ...]], words: Sequence[str]
) -> Iterator[tuple[AssetAddress, str]]:
    choices = [
        _times(directives) if (directives := directives_of(variant, dimension)) else words
        for dimension in variant.dimensions
    ]
    for path in paths:
        for values in itertools.product(*choices):
            address = AssetAddress.of(path, dict(zip(variant.dimensions, values, strict=True)))
            key = write(variant, address)
            if key is not None:
                yield address, key + ("x" if variant.has_extension else "")


def _times(directives: frozenset[str]) -> list[str]:
    """Partition keys that spell times; of directives that can do, those that they give back."""
    found = example_keys(directives)
    if directives not in CHAINS:
        return found
    return [key for key in found if key_of(digits_of(key, directives) or {}) == key]


def _words(variants: Sequence[Variant]) -> list[str]:
    """Short names, and such as hold what the template has between its fields."""
    texts = {a.text for v in variants for a in v.atoms if isinstance(a, Text)}
    texts |= {piece for text in texts for piece in text.split("/")}
    between = sorted(t for t in texts if 0 < len(t) < 12 and _IN_NAMES.fullmatch(t))  # noqa: PLR2004
    words = ["a", "b", "aa", *between[:3]]
    words += [f"a{text}a" for text in between[:3]]
    if any(isinstance(atom, Digits) for v in variants for atom in v.atoms):
        words += ["2024", "01", "a2024", "2024a"]
    return list(dict.fromkeys(words))
