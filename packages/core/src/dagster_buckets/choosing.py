"""Choosing: which format a value is written or read in, with which options, and what is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dagster_buckets.errors import ConfigurationError
from dagster_buckets.formats.base import Format, SupportsParts
from dagster_buckets.formats.compression import Codec, check_codec, compressed
from dagster_buckets.formats.dask_types import comes_in_lists
from dagster_buckets.formats.frames import comes_in_parts
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.options import option_names, with_options
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.names import AUTO, MANIFEST
from dagster_buckets.plugins import format_by_extension, format_class, format_for_type, get_format

__all__ = ["AROUND", "COMPRESSION", "OF_TABLES", "Formats", "first_named", "in_parts"]

#: The option that every format has, of its own or around it.
COMPRESSION = "compression"
#: The options that formats of tables have around them: the arguments of ``parted``.
OF_TABLES = frozenset({"part_size", "partition_by"})
#: The options that are around formats.
AROUND = frozenset({COMPRESSION, *OF_TABLES})

_NO_LIMIT = Limit()


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats as a manager and the metadata of one value set them.

    Args:
        options: Of the manager: ``{format: {option: value}}``.
        chosen: Of one value, for whichever format it has; wins.
        allow_pickle: Whether ``auto`` writes what no other format claims as a pickle, and reads
            formats whose objects can run code.
        limit: How large values may become in memory.
        signing_keys: What signs pickles; without, they are neither signed nor checked.

    Example:
        >>> formats = Formats({"parquet": {"row_group_size": 1000}})
        >>> formats.named("parquet").row_group_size
        1000
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    allow_pickle: bool = False
    limit: Limit = field(default_factory=Limit)
    signing_keys: SigningKeys | None = field(default=None, repr=False)

    def check(self) -> None:
        """Refuse options of the manager that cannot work.

        Raises:
            ConfigurationError: A format, an option or the type of its value is not known.
        """
        for name in self.options:
            self.named(name)

    def having(self, chosen: Mapping[str, Any]) -> Formats:
        """The same formats for a value whose metadata sets these options."""
        return replace(self, chosen=chosen) if chosen else self

    def named(self, name: str) -> Format:
        """The format of this name.

        Raises:
            UnknownPluginError, PluginConflictError, MissingDependencyError: See
                :func:`~dagster_buckets.plugins.get_format`.
            ConfigurationError: An option does not suit it.
        """
        return self._made(name, self._given(name))

    def of_class(self, declared: type | None, cls: type | None) -> Format | None:
        """What ``auto`` chooses for a value.

        Args:
            declared: The class that the producer says it returns, if it says so.
            cls: The value's; ``None`` if there is no value to write.
        """
        for candidate in (declared, cls):
            found = None if candidate is None else format_for_type(candidate)
            if found is not None:
                return self.named(found.name)
        return self.named("pickle") if self.allow_pickle and cls is not None else None

    def choose(self, name: str, declared: type | None, cls: type | None) -> Format | None:
        """The named format, or what ``auto`` chooses; in parts for classes that come in them."""
        if any(c and comes_in_lists(c) for c in (declared, cls)):
            found = self.named(name) if name != AUTO else self.of_class(list, None)
            return found and _listed(found)
        made = self.named(name) if name != AUTO else self.of_class(declared, cls)
        if made is None or not any(c and comes_in_parts(c) for c in (declared, cls)):
            return made
        return made if isinstance(made, SupportsParts) else _parted(made)

    def found(self, extension: str) -> Format | None:
        """The format of an object that a listing has found; ``None`` if none ends like this.

        Raises:
            ConfigurationError: Reading it runs code, which nothing allows here.
        """
        of_parts = extension.removesuffix(f".{MANIFEST}")
        found = format_by_extension(of_parts)
        if found is None:
            return None
        inner, codec = found
        # The object says how it is compressed, and whether it has parts, whatever is going to be
        # written.
        given = {n: v for n, v in self._given(inner.name).items() if n not in AROUND}
        made = self.trusted(self._made(inner.name, given, codec))
        return made if of_parts == extension else in_parts(made)

    def trusted(self, format: Format) -> Format:  # noqa: A002 - what it is
        """The format, if a listing may lead to it.

        Raises:
            ConfigurationError: Reading it runs code, which nothing allows here.
        """
        if getattr(format, "runs_code", False) and not self.allow_pickle:
            msg = f"the newest object is in format {format.name!r}, and reading it runs code"
            hint = f"name dagster_buckets/format={format.name!r} where it is loaded, or set "
            hint += "allow_pickle=True, if everyone who can write the bucket may run code here"
            raise ConfigurationError(msg, hint=hint)
        return format

    def _given(self, name: str) -> dict[str, Any]:
        return {**self.options.get(name, {}), **self.chosen}

    def _made(self, name: str, given: Mapping[str, Any], codec: Codec | None = None) -> Format:
        plain = get_format(name)
        options = {option: value for option, value in given.items() if option not in OF_TABLES}
        around = {option: given[option] for option in OF_TABLES if given.get(option) is not None}
        if around:
            return _parted(self._made(name, options, codec), **around)
        if options and COMPRESSION not in option_names(type(plain)):
            codec = codec or check_codec(options.pop(COMPRESSION, None))
        # A load of many objects makes the format of each: mostly nothing is set.
        if options or self.signing_keys is not None or self.limit != _NO_LIMIT:
            settings = {"limit": self.limit, "signing_keys": self.signing_keys}
            plain = cast("Format", with_options(format_class(name), name, options, settings))
        return compressed(plain, codec, self.limit) if codec else plain


def in_parts(inner: Format) -> Format:
    """The same format, of a value that has a manifest.

    Raises:
        ConfigurationError: There are no parts in this format.
    """
    from dagster_buckets.formats.tables import TableFormat

    return _parted(inner) if isinstance(inner, TableFormat) else _listed(inner)


def _listed(inner: Format) -> Format:
    from dagster_buckets.formats.listed import listed

    return listed(inner)


def _parted(inner: Format, **options: Any) -> Format:
    from dagster_buckets.formats.parted import parted

    return parted(inner, **options)


def first_named(*settings: str | None) -> str:
    """The first of these format settings that names one, else :data:`AUTO`."""
    return next((name for name in settings if name not in (None, AUTO)), AUTO) or AUTO
