"""Layout ``legacy``: the keys of Dagster's own I/O managers, to go on with what they wrote.

::

    <part>/<part>[.<ext>]
    <part>/<part>/<partition>[.<ext>]
    <part>/<part>/<value>/<value>[.<ext>]           by the alphabet of the dimensions
    <run>/<step>/<output>[/<mapping key>]           filesystem, polars
    storage/<run>/<step>/<output>[/<mapping key>]   s3, where step[key] becomes step--key
    storage/<run>/files/<step>/<output>[/<…>]       gcs, adls

Pickles have no extension, except in the dialect ``polars``. Read in the sources of dagster 1.13,
dagster-aws, -gcp and -azure 0.29 and dagster-polars 0.27; ``tests/compat`` runs them beside this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn, cast, get_args

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError, InvalidKeyError
from dagster_buckets.layouts.base import LayoutSpec
from dagster_buckets.layouts.encoding import check_extension

__all__ = ["Dialect", "LegacyLayout"]

Dialect = Literal["filesystem", "s3", "gcs", "adls", "polars"]

#: Whose keys are meant where only the store is known.
_BY_SCHEME: dict[str, Dialect] = {
    "": "filesystem",
    "file": "filesystem",
    "memory": "filesystem",
    "s3": "s3",
    "gs": "gcs",
    "abfs": "adls",
    "abfss": "adls",
}
_PICKLE = "pickle"
#: How the stock managers escape a leading slash, and their file system manager a "..".
_SLASH = "%2F"
_DOTS = "%2E%2E"
_HINT = (
    "use layout='hive' for it, which keeps all keys apart; dg.migrate_io_storage copies what is "
    "stored (docs/how-to/existing-buckets.md)"
)

_unprintable = re.compile("[\x00-\x1f\x7f\ud800-\udfff]").search
_step_or_mapped = re.compile(r"[^\[\]]+(\[[^\[\]]+\])?").fullmatch


#: Names in which nothing can be wrong.
_plain = re.compile(r"[A-Za-z0-9_:+-]+(?:[. ][A-Za-z0-9_:+-]+)*", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class LegacyLayout:
    """The keys of the stock managers, byte for byte, below the same prefix.

    Guarantee: what they wrote is read, they read what is written here, and a value never replaces
    another's, nor is it returned for it, where this library wrote the one that lies there. An
    address that the stock managers would store under another name, or under the key of a second
    one whatever the assets are called, is refused with an error that says so.

    What can share a key even so is told apart by the address in the object's header, before each
    write (one more request) and after each read: asset ``[a, b]`` and partition ``b`` of ``[a]``,
    partition ``1.json`` as pickle and partition ``1`` as JSON, assets and the outputs of ops. What
    a stock manager wrote has no header, nor has a local file where there are no extended attributes
    (macOS): it belongs to whoever asks for its key.

    Args:
        dialect: Whose keys: ``filesystem`` (FilesystemIOManager and subclasses of UPathIOManager),
            ``s3``, ``gcs``, ``adls`` (the pickle managers of dagster-aws, -gcp and -azure) or
            ``polars`` (dagster-polars).

    Raises:
        ConfigurationError: There is no such dialect.

    Example:
        >>> layout = LegacyLayout("s3")
        >>> layout.key(AssetAddress.of(["sales", "orders"], "2024-01-01-00:00"), "pickle")
        'sales/orders/2024-01-01-00:00'
        >>> layout.key(OpAddress("7f3a", "double[two]", "result"), "json")
        'storage/7f3a/double--two/result.json'
    """

    dialect: Dialect

    def __post_init__(self) -> None:
        if self.dialect not in get_args(Dialect):
            msg = f"the layout 'legacy' has no dialect {self.dialect!r}"
            raise ConfigurationError(msg, hint=_dialects())

    @classmethod
    def from_spec(cls, spec: LayoutSpec) -> LegacyLayout:
        """The dialect that is named, or that of the store.

        Raises:
            ConfigurationError: There is no such dialect, or the store is nobody's in particular.
        """
        if spec.argument:
            return cls(cast("Dialect", spec.argument))
        if spec.scheme not in _BY_SCHEME:
            msg = f"whose keys the layout 'legacy' means is unknown for {spec.scheme}:// stores"
            raise ConfigurationError(msg, hint=_dialects())
        return cls(_BY_SCHEME[spec.scheme])

    @property
    def name(self) -> str:
        """See :attr:`Layout.name <dagster_buckets.layouts.base.Layout.name>`."""
        return "legacy"

    @property
    def exclusive(self) -> bool:
        """See :attr:`Layout.exclusive <dagster_buckets.layouts.base.Layout.exclusive>`."""
        return False

    def key(self, address: Address, extension: str) -> str:
        """See :meth:`Layout.key <dagster_buckets.layouts.base.Layout.key>`."""
        stem = self.stem(address)
        if extension == _PICKLE and self.dialect != "polars":
            return stem
        return f"{stem}.{check_extension(extension)}"

    def stem(self, address: Address) -> str:
        """See :meth:`Layout.stem <dagster_buckets.layouts.base.Layout.stem>`."""
        if isinstance(address, OpAddress):
            return self._op_stem(address)
        folder = self._folder(address)
        if not address.partition:
            return folder
        return "/".join([folder, *self._values(address)])

    def split(self, key: str) -> tuple[tuple[str, str], ...]:
        """See :meth:`Layout.split <dagster_buckets.layouts.base.Layout.split>`."""
        start = key.rfind("/") + 2
        ways = [(key[:i], key[i + 1 :]) for i in range(start, len(key) - 1) if key[i] == "."]
        if self.dialect == "polars":
            return tuple(ways)
        return (*(way for way in ways if way[1] != _PICKLE), (key, _PICKLE))

    def prefix(self, path: tuple[str, ...]) -> str:
        """See :meth:`Layout.prefix <dagster_buckets.layouts.base.Layout.prefix>`."""
        return "/".join(path)

    def parse(self, key: str) -> NoReturn:
        """See :meth:`Layout.parse <dagster_buckets.layouts.base.Layout.parse>`.

        Raises:
            ConfigurationError: Always.
        """
        msg = f"keys of layout 'legacy' do not tell the asset from its partitions, as in {key!r}"
        raise ConfigurationError(msg, hint="ask for the asset, or use layout='hive'")

    def old_stems(self, address: Address) -> tuple[str, ...]:
        """Several dimensions as one component, ``v1|v2``: so wrote Dagster long ago."""
        if not isinstance(address, AssetAddress) or len(address.partition) < 2:  # noqa: PLR2004
            return ()
        return (f"{self._folder(address)}/{'|'.join(self._values(address))}",)

    def _folder(self, address: AssetAddress) -> str:
        for number, part in enumerate(address.path):
            if _plain(part):
                continue
            fault = _slash(part) or (number == 0 and _escape(part)) or _component(part)
            _refuse_if(fault, address, f"the part {part!r} of its key")
        return "/".join(address.path)

    def _values(self, address: AssetAddress) -> list[str]:
        values = [value for _, value in address.partition]
        dots = _DOTS if self.dialect == "filesystem" else None
        for number, value in enumerate(values):
            if _plain(value):
                continue
            fault = (len(values) > 1 and _slash(value)) or (number == 0 and _escape(value))
            _refuse_if(fault or _component(value, dots), address, f"the partition key {value!r}")
        return values

    def _op_stem(self, address: OpAddress) -> str:
        names = [address.run_id, address.step_key, address.output_name]
        if address.mapping_key is not None:
            names.append(address.mapping_key)
        for name in names:
            _refuse_if(_slash(name) or _component(name), address, f"the name {name!r}")
        if self.dialect in ("gcs", "adls"):
            return "/".join(["storage", names[0], "files", *names[1:]])
        if self.dialect != "s3":
            return "/".join(names)
        _refuse_if(_step(names[1]), address, f"the step {names[1]!r}")
        names[1] = _dashed(names[1])
        for name in names:
            _refuse_if(_brackets(name), address, f"the name {name!r}")
        return "/".join(["storage", *names])


def _dialects() -> str:
    return "write " + " or ".join(f"layout='legacy:{dialect}'" for dialect in get_args(Dialect))


def _refuse_if(fault: str | Literal[False] | None, address: Address, what: str) -> None:
    if fault:
        msg = f"layout 'legacy' cannot store {address}, because of {what}: {fault}"
        raise InvalidKeyError(msg, hint=_HINT)


def _slash(text: str) -> str | None:
    """The fault of a name or value that is joined to others by ``/``."""
    if "/" not in text:
        return None
    return "the stock managers do not tell its '/' from those that they join names with"


def _escape(text: str) -> str | None:
    """The fault of what comes first in a path, where a slash would make it absolute."""
    if text.startswith(_SLASH):
        return _same_key("/" + text.removeprefix(_SLASH))
    if text.startswith("/"):
        return _same_key(_SLASH + text.removeprefix("/"))
    return None


def _component(text: str, dots: str | None = None) -> str | None:
    """The fault of any name; ``dots`` is how the stock manager escapes a ``..`` here."""
    components = text.split("/")
    kept = "/".join(component for component in components if component not in ("", "."))
    if _unprintable(text):
        return "no key can carry a control character or a lone surrogate"
    if kept == "":
        return "the stock managers leave it out of the key"
    if kept != text:
        return f"the stock managers would normalise it to {kept!r}"
    if dots and (".." in components or dots in components):
        other = {"..": dots, dots: ".."}
        return _same_key("/".join(other.get(component, component) for component in components))
    if ".." in components:
        return "the '..' would lead out of its folder"
    return None


def _step(step: str) -> str | None:
    """The fault of a step where ``step[key]`` becomes ``step--key``."""
    if _step_or_mapped(step) is None:
        return _brackets(step)
    dashed = _dashed(step)
    # Three dashes can be taken apart in two ways.
    borders = [i for i in range(len(dashed)) if dashed.startswith("--", i)]
    if len(borders) == step.endswith("]"):
        return None
    readings = [dashed, *(f"{dashed[:i]}[{dashed[i + 2 :]}]" for i in borders)]
    return _same_key(next(reading for reading in readings if reading != step))


def _brackets(name: str) -> str | None:
    dashed = _dashed(name)
    return None if dashed == name else f"the stock manager would change it to {dashed!r}"


def _dashed(name: str) -> str:
    return name.replace("[", "--").replace("]", "")


def _same_key(other: str) -> str:
    return f"the stock manager makes the same key as of {other!r}"
