"""Plugins: formats, layouts and stores by name, from entry points. The built-ins use them too.

Groups: ``dagster_buckets.formats``, ``dagster_buckets.layouts``, ``dagster_buckets.stores``. Entry
points are collected once and loaded when they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, cast

from dagster_buckets.errors import (
    ConfigurationError,
    MissingDependencyError,
    PluginConflictError,
    UnknownPluginError,
    UnsupportedTypeError,
)
from dagster_buckets.formats.base import Format
from dagster_buckets.formats.compression import SUFFIXES, Codec
from dagster_buckets.formats.frames import qualified
from dagster_buckets.formats.options import option_names
from dagster_buckets.layouts.base import Layout, LayoutSpec, SupportsSpec

__all__ = [
    "Kind",
    "all_options",
    "check_name",
    "format_by_extension",
    "format_class",
    "format_for_type",
    "get_format",
    "get_layout",
    "get_store_class",
    "names",
    "option_owners",
    "refuse_type",
]

Kind = Literal["formats", "layouts", "stores"]


@dataclass(frozen=True, slots=True)
class _Registry:
    kind: Kind
    points: dict[str, list[EntryPoint]]

    def names(self) -> list[str]:
        return sorted(self.points)

    def load(self, name: str) -> Any:
        self.check(name)
        point = self.points[name][0]
        try:
            return point.load()
        except ModuleNotFoundError as error:
            missing = error.name or str(error)
            msg = f"{self._one} {name!r} of {_owner(point)} needs the module {missing!r}"
            hint = f"pip install {_owner(point)} {missing.partition('.')[0]}"
            raise MissingDependencyError(msg, hint=hint) from error
        except Exception as error:
            # An import runs a third party's code, so any exception can come out of it.
            msg = (
                f"{self._one} {name!r} ({point.value}) of {_owner(point)} does not import: {error}"
            )
            raise ConfigurationError(msg, hint=f"upgrade or uninstall {_owner(point)}") from error

    def check(self, name: str) -> None:
        found = self.points.get(name, [])
        if not found:
            msg = f"there is no {self._one} {name!r}; installed: {', '.join(self.names())}"
            hint = f"check the spelling, or install the distribution that offers this {self._one}"
            raise UnknownPluginError(msg, hint=hint)
        if len(found) > 1:
            owners = " and ".join(sorted(_owner(point) for point in found))
            msg = f"{owners} both offer a {self._one} {name!r}"
            raise PluginConflictError(msg, hint="uninstall one of them")

    @property
    def _one(self) -> str:
        return self.kind.removesuffix("s")


@cache
def _registry(kind: Kind) -> _Registry:
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"dagster_buckets.{kind}"):
        same = points.setdefault(point.name, [])
        # An editable install can list one distribution twice.
        if all((point.value, _owner(point)) != (p.value, _owner(p)) for p in same):
            same.append(point)
    return _Registry(kind, points)


def names(kind: Kind) -> list[str]:
    """The names of all installed plugins of a kind; nothing is loaded."""
    return _registry(kind).names()


def check_name(kind: Kind, name: str) -> None:
    """Raise the error for an unknown or doubly claimed name without loading anything.

    Raises:
        UnknownPluginError: No distribution offers it.
        PluginConflictError: Several do; the message names them.
    """
    _registry(kind).check(name)


def format_class(name: str) -> Any:
    """What makes the format of this name: a class or a function; raises as :func:`get_format`."""
    return _registry("formats").load(name)


@cache
def get_format(name: str) -> Format:
    """The format of this name, with the default of every option.

    Raises:
        UnknownPluginError, PluginConflictError: See :func:`check_name`.
        MissingDependencyError: A library that it needs is not installed.
    """
    registry = _registry("formats")
    return cast("Format", _checked(registry, name, Format, registry.load(name)()))


@lru_cache(maxsize=1024)
def get_layout(layout: str, *, scheme: str = "", asset: tuple[str, ...] | None = None) -> Layout:
    """The layout that a setting names.

    Args:
        layout: The name, or ``name:argument`` for a layout that takes one.
        scheme: That of the store's URIs, by which ``legacy`` knows whose keys are meant.
        asset: The only asset that the layout is for.

    Raises:
        ConfigurationError: The layout refuses the argument, or takes none; and as
            :func:`get_format`.
    """
    name, colon, argument = layout.partition(":")
    registry = _registry("layouts")
    made = registry.load(name)
    if isinstance(made, SupportsSpec):
        return cast(
            "Layout",
            _checked(registry, name, Layout, made.from_spec(LayoutSpec(argument, scheme, asset))),
        )
    if colon:
        msg = f"the layout {name!r} takes no argument, but {argument!r} was given"
        raise ConfigurationError(msg, hint=f"write layout={name!r}")
    return cast("Layout", _checked(registry, name, Layout, made()))


@cache
def get_store_class(name: str) -> Callable[..., Any]:
    """The store class for a URI scheme (``s3``, ``gs``, ``file``); raises as :func:`get_format`."""
    return cast("Callable[..., Any]", _registry("stores").load(name))


@cache
def format_by_extension(extension: str) -> tuple[Format, Codec | None] | None:
    """The format whose objects end like this, and how they are compressed as a whole.

    ``None`` if no installed one does.
    """
    for codec, suffix in (*SUFFIXES.items(), (None, "")):
        inner = extension.removesuffix(f".{suffix}") if suffix else extension
        found = next((f for f in _formats() if f.extension == inner), None)
        if found is not None and (codec is None or inner != extension):
            return found, codec
    return None


def all_options() -> set[str]:
    """The options that any installed format has."""
    return {option for f in _formats() for option in option_names(type(f))}


def option_owners(option: str) -> list[str]:
    """The names of the formats that have an option of this name."""
    return [f.name for f in _formats() if option in option_names(type(f))]


@cache
def format_for_type(cls: type) -> Format | None:
    """The format that ``format="auto"`` writes for a class; ``None`` if nobody claims it.

    The nearest class in the MRO decides, then the special attributes that formats claim.

    Raises:
        PluginConflictError: Two formats claim the same class.
    """
    for base in cls.__mro__[:-1]:
        claimers = [f for f in _formats() if qualified(base) in f.claims]
        if len(claimers) > 1:
            raise _claimed_twice(claimers, qualified(base))
        if claimers:
            return claimers[0]
    special = [f for f in _formats() if any(_has(cls, claim) for claim in f.claims)]
    if len(special) > 1:
        raise _claimed_twice(special, qualified(cls))
    return special[0] if special else None


def _has(cls: type, claim: str) -> bool:
    return claim.startswith("__") and hasattr(cls, claim)


def _claimed_twice(claimers: list[Format], claimed: str) -> PluginConflictError:
    both = " and ".join(sorted(repr(f.name) for f in claimers))
    msg = f"formats {both} both claim {claimed} for format='auto'"
    return PluginConflictError(msg, hint="set format=… on the manager or the asset")


def refuse_type(cls: type) -> UnsupportedTypeError:
    """The error for a value that no format claims."""
    msg = f"format 'auto' finds no format for {qualified(cls)}"
    hint = (
        "return a frame, an array, a str, bytes, a Path, plain dicts and lists or a dataclass; "
        "or, if everyone who can write the bucket may run code here, set the metadata "
        "dagster_buckets/format to 'pickle'"
    )
    return UnsupportedTypeError(msg, hint=hint)


def _formats() -> Iterable[Format]:
    for name in names("formats"):
        try:
            yield get_format(name)
        except MissingDependencyError:
            # No value of a library that is not here can be meant for its format. Whoever names
            # the format gets the error.
            continue


def _checked(registry: _Registry, name: str, protocol: Any, plugin: Any) -> Any:
    if not isinstance(plugin, protocol):
        point = registry.points[name][0]
        msg = f"{point.value} of {_owner(point)} is not a {protocol.__name__}"
        hint = f"it lacks a method of dagster_buckets' {protocol.__name__} protocol; upgrade it"
        raise ConfigurationError(msg, hint=hint)
    return plugin


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
