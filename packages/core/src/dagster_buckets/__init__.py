"""Dagster I/O managers for object stores: the core that all stores share.

Put one of the managers into your ``Definitions``: ``LocalIOManager`` (``dagster_buckets_local``),
``S3IOManager`` (``dagster_buckets_s3``), ``GCSIOManager`` (``dagster_buckets_gcs``) or, for tests,
:class:`MemoryIOManager`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagster_buckets.address import Address, AssetAddress, OpAddress
    from dagster_buckets.asset_options import bucket_options
    from dagster_buckets.cleanup import build_cleanup
    from dagster_buckets.definitions import AssetLocation
    from dagster_buckets.errors import (
        AccessDeniedError,
        BucketNotFoundError,
        BucketsError,
        ConfigurationError,
        DecodeError,
        EncodeError,
        FormatError,
        IntegrityError,
        InvalidKeyError,
        MissingDependencyError,
        ObjectExistsError,
        ObjectNotFoundError,
        PartitionError,
        PluginConflictError,
        StoreError,
        StoreUnavailableError,
        UnknownPluginError,
        UnsupportedTypeError,
    )
    from dagster_buckets.formats import Format
    from dagster_buckets.formats.table_refs import TableRef
    from dagster_buckets.io_manager import BucketIOManager
    from dagster_buckets.kinds import with_kinds
    from dagster_buckets.layouts import HiveLayout, Layout, LegacyLayout, TemplateLayout
    from dagster_buckets.memory_io_manager import MemoryIOManager
    from dagster_buckets.objects import Body, Header, ObjectInfo, Payload
    from dagster_buckets.references import ObjectRef
    from dagster_buckets.secret_fields import LiteralSecretWarning, secret_field
    from dagster_buckets.stores import ObjectStore
    from dagster_buckets.stores.memory import MemoryStore
    from dagster_buckets.streams import PartitionStream
    from dagster_buckets.values import ValueStore

__version__ = "0.1.0"

__all__ = [
    "AccessDeniedError",
    "Address",
    "AssetAddress",
    "AssetLocation",
    "Body",
    "BucketIOManager",
    "BucketNotFoundError",
    "BucketsError",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "Format",
    "FormatError",
    "Header",
    "HiveLayout",
    "IntegrityError",
    "InvalidKeyError",
    "Layout",
    "LegacyLayout",
    "LiteralSecretWarning",
    "MemoryIOManager",
    "MemoryStore",
    "MissingDependencyError",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectRef",
    "ObjectStore",
    "OpAddress",
    "PartitionError",
    "PartitionStream",
    "Payload",
    "PluginConflictError",
    "StoreError",
    "StoreUnavailableError",
    "TableRef",
    "TemplateLayout",
    "UnknownPluginError",
    "UnsupportedTypeError",
    "ValueStore",
    "__version__",
    "bucket_options",
    "build_cleanup",
    "secret_field",
    "with_kinds",
]


#: The module of each name, imported when the name is used: the managers bring Dagster along, whose
#: import takes two seconds, and the command line starts in a tenth of one.
_MODULES = {
    "AccessDeniedError": "errors",
    "Address": "address",
    "AssetAddress": "address",
    "AssetLocation": "definitions",
    "Body": "objects",
    "BucketIOManager": "io_manager",
    "BucketNotFoundError": "errors",
    "BucketsError": "errors",
    "ConfigurationError": "errors",
    "DecodeError": "errors",
    "EncodeError": "errors",
    "Format": "formats",
    "FormatError": "errors",
    "Header": "objects",
    "HiveLayout": "layouts",
    "IntegrityError": "errors",
    "InvalidKeyError": "errors",
    "Layout": "layouts",
    "LegacyLayout": "layouts",
    "LiteralSecretWarning": "secret_fields",
    "MemoryIOManager": "memory_io_manager",
    "MemoryStore": "stores.memory",
    "MissingDependencyError": "errors",
    "ObjectExistsError": "errors",
    "ObjectInfo": "objects",
    "ObjectNotFoundError": "errors",
    "ObjectRef": "references",
    "ObjectStore": "stores",
    "OpAddress": "address",
    "PartitionError": "errors",
    "PartitionStream": "streams",
    "Payload": "objects",
    "PluginConflictError": "errors",
    "StoreError": "errors",
    "StoreUnavailableError": "errors",
    "TableRef": "formats.table_refs",
    "TemplateLayout": "layouts",
    "UnknownPluginError": "errors",
    "UnsupportedTypeError": "errors",
    "ValueStore": "values",
    "bucket_options": "asset_options",
    "build_cleanup": "cleanup",
    "secret_field": "secret_fields",
    "with_kinds": "kinds",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
