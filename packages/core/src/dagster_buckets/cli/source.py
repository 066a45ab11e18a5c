"""Sources: the bucket that a command looks at, seen through a layout and formats."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from dagster_buckets.address import AssetAddress
from dagster_buckets.cli.request import Request
from dagster_buckets.errors import (
    BucketNotFoundError,
    ConfigurationError,
    MissingDependencyError,
    UnknownPluginError,
)
from dagster_buckets.stores.base import base_of

if TYPE_CHECKING:
    from dagster_buckets.stores.base import ObjectStore
    from dagster_buckets.values import ValueStore

__all__ = ["KnownAsset", "Source", "open_pair", "open_source", "open_uri", "open_uris"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_INSTALL = {
    "file": "pip install dagster-buckets",
    "gs": "pip install 'dagster-buckets[gcs]'",
    "s3": "pip install 'dagster-buckets[s3]'",
}


@dataclass(frozen=True, slots=True)
class KnownAsset:
    """An asset of the definitions whose values go through the I/O manager.

    Attributes:
        path: The parts of its key.
        layout: Of its own, from its metadata; ``None`` for that of the manager.
        address: Of a partition key of Dagster (``None`` for none).
        partitions: Its partition keys, ``None`` for an asset without partitions.
    """

    path: tuple[str, ...]
    layout: str | None
    address: Callable[[str | None], AssetAddress]
    partitions: Callable[[], Sequence[str] | None]

    def keys(self) -> Sequence[str | None]:
        """Its partition keys; ``None`` alone stands for an asset without partitions."""
        found = self.partitions()
        return (None,) if found is None else found


@dataclass(frozen=True, slots=True)
class Source:
    """A bucket to look at.

    Attributes:
        values: The data path.
        assets: The assets of the definitions by their paths; ``None`` if only a URI is known.
    """

    values: ValueStore
    assets: Mapping[tuple[str, ...], KnownAsset] | None = field(default=None)

    @property
    def base(self) -> str:
        """What the URI of every object begins with."""
        return base_of(self.values.store)

    def of(self, path: tuple[str, ...]) -> ValueStore:
        """The data path of one asset, whose metadata may name another layout."""
        known = (self.assets or {}).get(path)
        return self.values.laid_out(known.layout if known else None, path)


def open_source(request: Request, targets: Sequence[str]) -> tuple[Source, tuple[str, ...]]:
    """The bucket that a command's options and arguments name, and the arguments that are left.

    Dagster is imported only if definitions are to be loaded.

    Raises:
        ConfigurationError: Options contradict each other, the URI or the module cannot be used, or
            what its store needs is not installed.
    """
    uri, rest = request.split(targets)
    if uri is not None:
        return Source(open_uri(uri, request)), rest
    from dagster_buckets.cli.definitions import load_source

    return load_source(request), rest


def open_pair(request: Request, left: str, right: str) -> tuple[Source, Source]:
    """Two buckets: two URIs, or the resource keys of two I/O managers of one module.

    Raises:
        ConfigurationError: See :func:`open_source`.
    """
    request.check()
    if not request.has_definitions:
        return open_uris(request, left, right)
    from dagster_buckets.cli.definitions import load_managers

    one, other = load_managers(request, (left, right))
    return one, other


def open_uris(
    request: Request, left: str, right: str, *, layout: str | None = None, new: bool = False
) -> tuple[Source, Source]:
    """Two buckets. What is said of a server holds for those of them that are on one.

    Args:
        request: The options.
        left: The URI of one.
        right: Of the other.
        layout: Of the other one; ``None`` for the same.
        new: Whether the other one may be a folder that is going to be made.

    Raises:
        ConfigurationError: See :func:`open_source`.
    """
    on_disk = [_is_on_disk(uri) for uri in (left, right)]
    elsewhere = replace(request, endpoint_url=None) if any(on_disk) != all(on_disk) else request
    requests = [elsewhere if local else request for local in on_disk]
    there = replace(requests[1], layout=layout or request.layout)
    return Source(open_uri(left, requests[0])), Source(open_uri(right, there, new=new))


def _is_on_disk(uri: str) -> bool:
    match = _SCHEME.match(uri)
    return match is None or match[1] == "file"


def open_uri(uri: str, request: Request, *, new: bool = False) -> ValueStore:
    """The data path of a URI, or of the path of a folder.

    Args:
        uri: Where values lie.
        request: Says how.
        new: Whether the folder may be one that is going to be made.

    Raises:
        ConfigurationError: See :func:`open_source`.
    """
    from dagster_buckets.plugins import get_layout, get_store_class
    from dagster_buckets.values import ValueStore, scheme_of

    if _is_on_disk(uri):
        uri = _folder(uri, new=new)
    scheme = uri.partition(":")[0]
    # Somebody is waiting: a server that is not there is not asked ten times.
    options: dict[str, Any] = {"max_attempts": 3} if scheme in ("s3", "gs") else {}
    if request.endpoint_url is not None:
        if scheme not in ("s3", "gs"):
            msg = f"--endpoint-url says nothing about {scheme}:// URIs"
            raise ConfigurationError(msg, hint="leave it out")
        options["endpoint_url"] = request.endpoint_url
    try:
        made: Any = get_store_class(scheme)
    except (UnknownPluginError, MissingDependencyError) as error:
        hint = _INSTALL.get(scheme)
        if hint is None:
            raise
        msg = f"no installed package opens {scheme}:// URIs"
        raise MissingDependencyError(msg, hint=hint) from error
    store = cast("ObjectStore", made.from_uri(uri, **options))
    layout = get_layout(request.layout or "hive", scheme=scheme_of(store))
    return ValueStore(store, layout)


def _folder(given: str, *, new: bool) -> str:
    path = given.removeprefix("file://")
    path = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - links stay
    wanted = os.path.dirname(path) if new and not os.path.lexists(path) else path  # noqa: PTH120
    if not os.path.isdir(wanted):  # noqa: PTH112
        msg = f"there is no folder {wanted}"
        hint = "check the path; buckets are written s3://bucket/prefix or gs://bucket/prefix"
        raise BucketNotFoundError(msg, hint=hint)
    return f"file://{path}"
