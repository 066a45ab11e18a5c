"""``TemplateLayout``: keys by a path with named fields."""

from __future__ import annotations

import itertools
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError, InvalidKeyError
from dagster_buckets.layouts.base import LayoutSpec
from dagster_buckets.layouts.encoding import check_extension, encode_name
from dagster_buckets.layouts.runs import RUNS, parse_run, run_stem
from dagster_buckets.layouts.template.collisions import check_apart
from dagster_buckets.layouts.template.fields import Parts, Text, Value, Variant, merged, variants
from dagster_buckets.layouts.template.matching import directives_of, pattern_of, read, write
from dagster_buckets.layouts.template.times import digits_of, key_of

__all__ = ["TemplateLayout"]


@dataclass(frozen=True, slots=True)
class TemplateLayout:
    """Keys by a path with named fields.

    Guarantee: a template under which two addresses could share a key, or one key be a folder of
    another, is refused when it is constructed, with two such addresses; so are, later, addresses
    that it has no place for. ``parse`` inverts ``key`` as in ``hive``. Outputs of ops lie where
    ``hive`` puts them.

    ====================  ==========================================================================
    field                 stands for
    ====================  ==========================================================================
    ``{asset}``           the parts of the asset key, as folders; ``{asset[0]}``, ``{asset[-1]}``,
                          ``{asset[1:]}`` for some of them
    ``{partition}``       the partition key of an asset with one dimension
    ``{dim.NAME}``        the partition key in the dimension ``NAME``
    ``{date:%Y/%m/%d}``   the time that the only partition key spells (``2024-01-31``,
                          ``2024-01-31-23:00``); ``{dim.NAME:%Y}`` for one of several dimensions.
                          Of ``strftime`` it knows ``%Y %m %d %H %M %S %j``.
    ``{shard}``           two hexadecimal digits that follow from the whole address and spread the
                          partitions of an asset over 256 prefixes; ``{shard:1}`` to ``{shard:4}``
                          have as many digits. It stands after ``{asset}``, and not first.
    ``{ext}``             the format's extension. A template without it keeps all formats of a value
                          under one key.
    ``[…]``               what is there only for addresses with the dimensions in it
    ====================  ==========================================================================

    Values are percent-encoded down to ``A-Za-z0-9_-``, so the ``.``, ``=``, ``,``, ``+`` and ``@``
    of the template separate them.

    Args:
        template: The path, relative to the manager's prefix.
        asset: The only asset that it is for; it then needs no ``{asset}``.

    Raises:
        ConfigurationError: It is no template, or two addresses would collide.

    Example:
        >>> layout = TemplateLayout("{asset}[/day={date:%Y/%m/%d}]/part-0.{ext}")
        >>> layout.key(AssetAddress.of(["sales", "orders"], "2024-01-31"), "parquet")
        'sales/orders/day=2024/01/31/part-0.parquet'
        >>> layout.parse("sales/orders/part-0.parquet")
        (AssetAddress(path=('sales', 'orders'), partition=()), 'parquet')
    """

    template: str
    asset: tuple[str, ...] | None = None
    name: str = field(default="template", init=False, repr=False)
    _variants: Mapping[tuple[str, ...], Variant] = field(init=False, repr=False, compare=False)
    _patterns: tuple[tuple[Variant, re.Pattern[str]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        found = variants(self.template)
        if self.asset is not None:
            found = tuple(_bound(variant, self.asset) for variant in found)
        check_apart(self.template, found, asset=self.asset)
        object.__setattr__(self, "_variants", {v.dimensions: v for v in found})
        object.__setattr__(self, "_patterns", tuple((v, pattern_of(v.atoms)) for v in found))

    @classmethod
    def from_spec(cls, spec: LayoutSpec) -> TemplateLayout:
        """See :class:`~dagster_buckets.layouts.base.SupportsSpec`."""
        if not spec.argument:
            msg = "the layout 'template' needs a template"
            hint = "write layout='template:{asset}[/{dim.NAME}]/data.{ext}' with a path of your own"
            raise ConfigurationError(msg, hint=hint)
        return cls(spec.argument, spec.asset)

    @property
    def exclusive(self) -> bool:
        """Whether it is for all assets: what is for one does not know what others have."""
        return self.asset is None

    def key(self, address: Address, extension: str) -> str:
        """See :meth:`Layout.key <dagster_buckets.layouts.base.Layout.key>`."""
        if isinstance(address, OpAddress):
            return run_stem(address) + check_extension(extension)
        variant = self._variant(address)
        stem = _checked(variant, address, self.template)
        return stem + check_extension(extension) if variant.has_extension else stem

    def stem(self, address: Address) -> str:
        """See :meth:`Layout.stem <dagster_buckets.layouts.base.Layout.stem>`."""
        if isinstance(address, OpAddress):
            return run_stem(address)
        return _checked(self._variant(address), address, self.template)

    def split(self, key: str) -> tuple[tuple[str, str], ...]:
        """See :meth:`Layout.split <dagster_buckets.layouts.base.Layout.split>`."""
        if key.startswith(f"{RUNS}/"):
            end = key.find(".", key.rfind("/") + 1) + 1
            return ((key[:end], key[end:]),) if end else ()
        for variant, pattern in self._patterns:
            if found := pattern.fullmatch(key):
                extension = found[found.re.groups] if variant.has_extension else ""
                return ((key.removesuffix(extension) if extension else key, extension),)
        return ()

    def prefix(self, path: tuple[str, ...]) -> str:
        """See :meth:`Layout.prefix <dagster_buckets.layouts.base.Layout.prefix>`."""
        address = AssetAddress(path)
        starts = [
            _checked(_start(variant), address, self.template) for variant in self._variants.values()
        ]
        # Character by character: the prefix of a listing need not be a folder.
        return os.path.commonprefix(starts)  # noqa: RUF071

    def parse(self, key: str) -> tuple[Address, str] | None:
        """See :meth:`Layout.parse <dagster_buckets.layouts.base.Layout.parse>`."""
        for variant, pattern in self._patterns:
            if found := pattern.fullmatch(key):
                address = read(variant, found, self.asset)
                extension = found[found.re.groups] if variant.has_extension else ""
                return self._if_own(key, address, extension)
        *folder, leaf = key.split("/")
        if folder and folder[0] == RUNS and leaf.startswith("data."):
            try:
                return self._if_own(key, parse_run(folder), leaf.removeprefix("data."))
            except UnicodeError:
                return None
        return None

    def _if_own(
        self, key: str, address: Address | None, extension: str
    ) -> tuple[Address, str] | None:
        """The address and extension, if this is the key that they have."""
        try:
            if address is not None and self.key(address, extension or "x") == key:
                return address, extension
        except (InvalidKeyError, ConfigurationError):
            pass
        return None

    def _variant(self, address: AssetAddress) -> Variant:
        if self.asset is not None and address.path != self.asset:
            msg = f"the template {self.template!r} is for the asset {'/'.join(self.asset)!r} only"
            raise InvalidKeyError(msg, hint="give this asset a layout of its own")
        dimensions = tuple([name for name, _ in address.partition])
        variant = self._variants.get(dimensions)
        if variant is None:
            what = (
                f"the dimensions {', '.join(dimensions)}"
                if dimensions
                else "an asset without partitions"
            )
            msg = f"the template {self.template!r} has no place for {what}"
            hint = "add their fields, in brackets if other assets do not have them: [/{dim.NAME}]"
            raise InvalidKeyError(msg, hint=hint)
        return variant


def _start(variant: Variant) -> Variant:
    """What comes before the first field that is not about the asset."""
    known = itertools.takewhile(lambda atom: isinstance(atom, Text | Parts), variant.atoms)
    return Variant(tuple(known))


def _bound(variant: Variant, path: tuple[str, ...]) -> Variant:
    """The variant with the parts of one asset key filled in."""
    return Variant(
        merged(
            Text("/".join(map(encode_name, atom.of(path)))) if isinstance(atom, Parts) else atom
            for atom in variant.atoms
        )
    )


def _checked(variant: Variant, address: AssetAddress, template: str) -> str:
    """The key without its extension, if it tells all of the address."""
    for dimension, value in address.partition if variant.tells_time else ():
        if directives := directives_of(variant, dimension):
            digits = digits_of(value, directives)
            # Beside the whole key, digits are there for the eye only.
            other = value if Value(dimension) in variant.atoms else key_of(digits or {})
            _check_time(value, digits, other, template)
    found = write(variant, address)
    if found is None:
        key = "/".join(address.path)
        msg = f"the template {template!r} needs more parts than the asset key {key!r} has"
        raise InvalidKeyError(msg, hint="use {asset} for keys of any length")
    return found


def _check_time(
    value: str, digits: Mapping[str, str] | None, other: str | None, template: str
) -> None:
    if digits is None:
        msg = f"the partition key {value!r} spells no time, which the template {template!r} needs"
        hint = "keys such as 2024-01-31 (with %H, 2024-01-31-23:00) do; or use {partition}"
        raise InvalidKeyError(msg, hint=hint)
    if other != value:
        msg = f"under the template {template!r} the partition {value!r} would get the key of "
        msg += f"{other!r}"
        raise InvalidKeyError(msg, hint="add the directives that tell them apart, such as %d or %H")
