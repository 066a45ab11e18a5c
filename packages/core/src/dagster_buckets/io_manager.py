"""The I/O manager: joins contexts, values and metadata to Dagster. No logic of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional

import dagster as dg
from dagster import InputContext, OutputContext
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from dagster_buckets.environment import from_environment
from dagster_buckets.names import AUTO
from dagster_buckets.secret_fields import secret_field, secrets_in, warn_of_literals

if TYPE_CHECKING:
    from dagster_buckets.chain import Chain
    from dagster_buckets.definitions import AssetLike, AssetLocation, PartitionLike
    from dagster_buckets.formats.table_refs import TableRef
    from dagster_buckets.stores.base import ObjectStore
    from dagster_buckets.values import ValueStore

# What only a run needs is imported there: many processes load definitions, and few run a step.

__all__ = ["BucketIOManager"]


class BucketIOManager(dg.ConfigurableIOManager, ABC):
    """Reads and writes the values of assets and ops in an object store.

    Guarantee: a value that was handed over is stored completely or not at all, under a key that no
    other value has; a load gives that value or raises an error of
    :mod:`dagster_buckets.errors`. Nothing is requested when the manager is constructed.

    Subclasses say only where: see :meth:`make_store`.

    Args:
        prefix: Put before every key; none by default.
        format: The format of all values, or ``auto`` to choose by type.
        layout: How addresses become keys.
        on_missing: What a load does about a value that was never stored: raise (``error``), leave
            it out (``skip``) or give ``None`` (``none``).
        max_concurrency: How many objects are read or written at once.
        format_options: Options of formats, ``{"parquet": {"row_group_size": 50_000}}``.
        allow_pickle: Whether ``format="auto"`` writes as a pickle what no other format can hold,
            and reads pickles that a listing finds. Who can write the bucket then runs code.
        pickle_key: ``id:secret`` of the key that signs pickles, and behind it those that verify
            them still; give an ``EnvVar``. What is not signed by one of them is then not unpickled.
        max_decoded_bytes: What one value may have in memory; no bound by default.
        max_expansion: How many times its stored bytes a value of more than 1 GiB may have.
        read_from: Another manager, with settings of its own, from which a load takes what is not
            stored here. Nothing is written there.
        preview_rows: How many of its first rows a materialization shows of a table; 0 for none.
        mask_columns: The columns whose values no preview shows.
        data_version: Whether the digest of what is written is its data version, by which Dagster
            knows that nothing has changed; in runs over one partition, or of assets without.
        cache: A local folder for objects that were read; each read asks whether they have changed.
            Of stores that can tell (S3, Google Cloud Storage).
        cache_max_bytes: What that folder may have; 10 GiB by default. No object of more than a
            quarter of it is kept.
    """

    # pydantic's errors would quote all settings where one of them is wrong.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: What Dagster's UI calls the place of its assets; see :func:`~dagster_buckets.with_kinds`.
    kind: ClassVar[str] = "bucket"

    # Dagster reads these annotations itself and knows Optional, not "X | None".
    prefix: Optional[str] = Field(default=None, description="Put before every key.")  # noqa: UP045
    format: str = Field(
        default=AUTO, description="The format of all values, or 'auto' to choose by their types."
    )
    layout: str = Field(default="hive", description="How asset and partition keys become keys.")
    on_missing: Literal["error", "skip", "none"] = Field(
        default="error",
        description="What a load does about a value that was never stored.",
    )
    max_concurrency: int = Field(
        default=32, ge=1, description="How many objects are read or written at once."
    )

    format_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Options of formats: {format: {option: value}}."
    )
    allow_pickle: bool = Field(
        default=False,
        description="Whether 'auto' may write and read pickles, which run code of whoever wrote.",
    )
    pickle_key: Optional[str] = secret_field(  # noqa: UP045
        "'id:secret' that signs pickles, older ones behind it; give an EnvVar."
    )
    max_decoded_bytes: Optional[int] = Field(  # noqa: UP045
        default=None, ge=1, description="What one value may have in memory, in bytes."
    )
    max_expansion: float = Field(
        default=100.0, ge=1, description="How many times its bytes a value over 1 GiB may become."
    )

    read_from: Optional["BucketIOManager"] = Field(  # noqa: UP037, UP045
        default=None, description="The manager that has what is not stored here."
    )
    preview_rows: int = Field(
        default=5, ge=0, le=20, description="How many rows of a table a materialization shows."
    )
    mask_columns: list[str] = Field(
        default_factory=list, description="The columns whose values no preview shows."
    )
    data_version: bool = Field(
        default=False, description="Whether the digest of a value is its data version."
    )
    cache: Optional[str] = Field(  # noqa: UP045
        default=None, description="A local folder for objects that were read."
    )
    cache_max_bytes: int = Field(
        default=10 * 1024**3, ge=1, description="What the cache may have, in bytes."
    )

    _lock: Lock = PrivateAttr(default_factory=Lock)
    _values: Optional[ValueStore] = PrivateAttr(default=None)  # noqa: UP045

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        warn_of_literals(self, self._secrets())

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_for_later(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        # The placeholder of a number is 0, which many settings cannot be.
        return value if isinstance(value, int) and from_environment(value) else handler(value)

    @field_validator("prefix", "format", "layout", "pickle_key", mode="before")
    @classmethod
    def _check_early(cls, value: Any, info: Any) -> Any:
        # Of an EnvVar only its name is known now: it is checked when the store is made.
        if isinstance(value, str) and not from_environment(value):
            from dagster_buckets.checks import check_setting

            check_setting(info.field_name, value)
        return value

    @field_validator("format_options")
    @classmethod
    def _check_options_early(cls, value: Any) -> Any:
        if value:
            from dagster_buckets.checks import check_options

            check_options(value)
        return value

    @abstractmethod
    def make_store(self) -> ObjectStore:
        """The store of this manager's settings; called once, at the first read or write."""

    @classmethod
    def is_secret(cls, field: str, value: str) -> bool:
        """Whether this value of a :func:`~dagster_buckets.secret_field` is secret; most are."""
        del field, value
        return True

    def _shown_to_nobody(self) -> list[str]:
        behind = self.read_from._shown_to_nobody() if self.read_from else []  # noqa: SLF001
        return [*self._secrets().values(), *behind]

    def _redacting(self) -> AbstractContextManager[None]:
        from dagster_buckets.redaction import redacting

        return redacting(self._shown_to_nobody)

    def _secrets(self) -> dict[str, str]:
        return secrets_in(self, self.is_secret)

    @property
    def values(self) -> ValueStore:
        """The data path without Dagster; made when it is first used."""
        from dagster_buckets.steps import value_store

        with self._lock:
            if self._values is None:
                self._values = value_store(self)
            return self._values

    @property
    def chain(self) -> Chain:
        """This manager's values, and behind them those of ``read_from``."""
        from dagster_buckets.steps import chain_of

        return chain_of(self, self.values)

    def uri_for(
        self,
        asset_key: AssetLike,
        partition_key: PartitionLike = None,
        *,
        format: str | None = None,  # noqa: A002 - the name of the setting
    ) -> str:
        """The URI of an asset's value, for Pipes, dbt, notebooks and other tools.

        No request where the format is known, from ``format``, the asset's metadata or the
        manager's setting; there may be nothing at the URI yet. Where it is ``auto``, one listing
        finds the newest object.

        Args:
            asset_key: The key, or the definition of the asset (``@asset`` function or
                ``AssetSpec``), whose ``dagster_buckets/…`` metadata then counts.
            partition_key: Of an asset with partitions; for several dimensions a
                ``MultiPartitionKey`` or ``{dimension: key}``.
            format: A format's name.

        Raises:
            ObjectNotFoundError: The format is not known, and nothing is stored.
            PartitionError: The definition is given, and has no such partitions.
            InvalidKeyError: The layout has no key for it.

        Example:
            >>> from dagster_buckets import MemoryIOManager
            >>> manager = MemoryIOManager(name="lake", prefix="prod", format="parquet")
            >>> manager.uri_for(["sales", "orders"], "2024-01-31")
            'memory://lake/prod/sales/orders/partition=2024-01-31/data.parquet'
        """
        from dagster_buckets.choosing import first_named
        from dagster_buckets.definitions import address_of

        address, options = address_of(asset_key, partition_key)
        values = self.values.laid_out(options.layout, address.path).having(options.format_options)
        return values.uri(address, format_name=first_named(format, options.format, self.format))

    def stored_uri_for(
        self,
        asset_key: AssetLike,
        partition_key: PartitionLike = None,
        *,
        format: str | None = None,  # noqa: A002 - the name of the setting
    ) -> str:
        """The URI that a load reads, here or in a manager that this one reads from.

        As :meth:`uri_for`, which never leaves this manager and so is for what writes.

        Raises:
            ObjectNotFoundError: Nothing is stored here or there.
        """
        from dagster_buckets.choosing import first_named
        from dagster_buckets.definitions import address_of

        address, options = address_of(asset_key, partition_key)
        chain = self.chain.laid_out(options.layout, address.path)
        return chain.uri(address, format_name=first_named(format, options.format))

    def table_for(
        self, asset_key: AssetLike, partition_keys: Iterable[PartitionLike] | None = None
    ) -> TableRef:
        """A stored table for another engine: what an input annotated ``TableRef`` gets in a run.

        It lies here or in a manager that this one reads from. One small request for each object
        that tells its columns, and a listing where the format is not known.

        Args:
            asset_key: As of :meth:`uri_for`.
            partition_keys: The partitions, in the order wanted; of an asset with partitions only.

        Raises:
            ObjectNotFoundError, PartitionError: Nothing is stored for one of them, and
                ``on_missing`` does not allow that.
            UnsupportedTypeError: It is stored in a format that tells no columns, or is ``None``.
        """
        from dagster_buckets.steps import table_of

        with self._redacting():
            return table_of(self, asset_key, partition_keys)

    def parse_uri(self, uri: str, *, asset: AssetLike | None = None) -> AssetLocation | None:
        """Whose value lies at a URI: the inverse of :meth:`uri_for`. No request.

        ``None`` for a URI that is not this manager's, for outputs of ops, and for keys that
        cannot be inverted because a name in them was too long.

        Args:
            uri: As :meth:`uri_for`, ``dagster/uri`` and the store's notifications give it.
            asset: The definition of an asset with a layout of its own.

        Raises:
            ConfigurationError: The keys of the layout (``legacy``) do not tell.

        Example:
            >>> from dagster_buckets import MemoryIOManager
            >>> manager = MemoryIOManager(name="lake")
            >>> found = manager.parse_uri("memory://lake/orders/partition=2024-01-31/data.parquet")
            >>> found.asset_key, found.partition_key, found.format
            (AssetKey(['orders']), '2024-01-31', 'parquet')
        """
        from dagster_buckets.definitions import location_of, settings_of

        values = self.values
        if asset is not None:
            path, options = settings_of(asset)
            values = values.laid_out(options.layout, path)
        found = values.parse(uri)
        return None if found is None else location_of(*found)

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Write the output of a step. Called by Dagster.

        Raises:
            BucketsError: See :mod:`dagster_buckets.errors`; the old value is still there.
        """
        from dagster_buckets.steps import write_output

        with self._redacting():
            write_output(self, context, obj)

    def load_input(self, context: InputContext) -> Any:
        """Read the input of a step, or of ``load_asset_value``. Called by Dagster.

        Raises:
            BucketsError: See :mod:`dagster_buckets.errors`.
        """
        from dagster_buckets.steps import read_input

        with self._redacting():
            return read_input(self, context)
