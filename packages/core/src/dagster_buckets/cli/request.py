"""Requests: which bucket the options of a command mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dagster_buckets.errors import ConfigurationError

__all__ = ["Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """The options that name a bucket, as they were given.

    Attributes:
        module_name: A module with ``Definitions``.
        python_file: Or a file.
        attribute: Which attribute of it; ``None`` for the only one.
        working_directory: Where modules are looked for; ``None`` for that of the process.
        resource: The key of the I/O manager; ``None`` for the only one.
        layout: How keys are made, of a URI.
        endpoint_url: Of the server, of a URI.
    """

    module_name: str | None = None
    python_file: str | None = None
    attribute: str | None = None
    working_directory: str | None = None
    resource: str | None = None
    layout: str | None = None
    endpoint_url: str | None = None

    @property
    def has_definitions(self) -> bool:
        """Whether ``Definitions`` say where the values lie; a URI does otherwise."""
        return self.module_name is not None or self.python_file is not None

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            ConfigurationError: Two of them contradict each other.
        """
        if self.module_name is not None and self.python_file is not None:
            msg = "both a module and a Python file are given"
            raise ConfigurationError(msg, hint="give one of -m and -f")
        of_definitions = {
            "--attribute": self.attribute,
            "--working-directory": self.working_directory,
            "--resource": self.resource,
        }
        of_uris = {"--layout": self.layout, "--endpoint-url": self.endpoint_url}
        wrong = of_uris if self.has_definitions else of_definitions
        for name, value in wrong.items():
            if value is not None:
                other = "a URI" if self.has_definitions else "-m or -f"
                msg = f"{name} goes with {other} only"
                raise ConfigurationError(msg, hint="leave it out")

    def split(self, targets: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
        """The URI among the arguments of a command, and the other arguments.

        Raises:
            ConfigurationError: There is neither a URI nor a module.
        """
        self.check()
        if self.has_definitions:
            return None, tuple(targets)
        if not targets:
            msg = "neither a URI nor a module with Definitions is given"
            hint = "write for instance s3://bucket/prefix, or -m shop.definitions"
            raise ConfigurationError(msg, hint=hint)
        return targets[0], tuple(targets[1:])
