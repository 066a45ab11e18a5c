"""Managers: the I/O managers of a module, ours and any others, made as a run makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_definition import Resources

from dagster_buckets.errors import BucketsError, ConfigurationError
from dagster_buckets.io_manager import BucketIOManager
from dagster_buckets.names import AUTO

__all__ = ["Manager", "made", "said"]

_DEFAULT = "io_manager"


class Made(dict[str, Any], Resources):
    """Resources that are made already.

    Dagster's builders of contexts take a mapping and make it, with an instance in memory for each
    context (0.2 s); not where it is of this class.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, slots=True)
class Manager:
    """An I/O manager, and what its loads and writes are told of its settings.

    Attributes:
        key: Its resource key.
        manager: Itself.
        context: What its contexts are made with.
    """

    key: str
    manager: Any
    context: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether it is one of dagster-buckets."""
        return isinstance(self.manager, BucketIOManager)

    @property
    def format(self) -> str:
        """Its setting, of one of ours."""
        return str(self.manager.format) if self.is_ours else AUTO


@contextmanager
def made(
    repository: dg.RepositoryDefinition,
    keys: Sequence[str],
    instance: dg.DagsterInstance | None = None,
) -> Iterator[Mapping[str, Manager]]:
    """The I/O managers under these resource keys, with the values of their environment variables.

    Where no resource is called ``io_manager``, that is the one that Dagster takes then: its
    ``FilesystemIOManager``.

    Raises:
        ConfigurationError: There is no such I/O manager, or it cannot be made.
    """
    from dagster._core.execution.resources_init import get_transitive_required_resource_keys

    resources: dict[str, Any] = dict(repository.get_top_level_resources())
    for key in keys:
        if key == _DEFAULT and key not in resources:
            resources[key] = dg.FilesystemIOManager().get_resource_definition()
        if not isinstance(resources.get(key), dg.IOManagerDefinition):
            listed = sorted(
                k for k, r in resources.items() if isinstance(r, dg.IOManagerDefinition)
            )
            msg = f"there is no I/O manager under the resource key {key!r}"
            raise ConfigurationError(msg, hint=f"these are there: {', '.join(listed) or 'none'}")
        _check_environment(repository, key)
    needed = set(keys)
    for key in keys:
        required = resources[key].required_resource_keys
        needed |= get_transitive_required_resource_keys(required, resources)
    with ExitStack() as stack:
        wanted = {key: resources[key] for key in needed}
        try:
            found = stack.enter_context(dg.build_resources(wanted, instance=instance))
        except BucketsError:
            raise
        except Exception as error:
            # Settings are checked by Dagster, pydantic and whoever wrote the manager.
            names = " or ".join(repr(key) for key in keys)
            msg = f"the resource {names} cannot be made: {said(error)}"
            raise ConfigurationError(msg, hint="correct its settings") from error
        made_of = Made({key: getattr(found, key) for key in needed})
        yield {
            key: Manager(
                key,
                made_of[key],
                {"resources": made_of, "resource_config": _config_of(key, resources[key])},
            )
            for key in keys
        }


def _check_environment(repository: dg.RepositoryDefinition, key: str) -> None:
    # By variable, whatever its name says.
    used = repository.get_env_vars_by_top_level_resource()
    unset = sorted(name for name, keys in used.items() if key in keys and name not in os.environ)
    if unset:
        msg = f"the resource {key!r} needs environment variables that are not set"
        raise ConfigurationError(msg, hint=f"set {', '.join(unset)}")


def _config_of(key: str, resource: dg.ResourceDefinition) -> Any:
    from dagster._core.execution.build_resources import get_mapped_resource_config

    return get_mapped_resource_config({key: resource}, {})[key].config


def said(error: BaseException) -> str:
    """What was raised at first, in one line: Dagster wraps it, several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
