"""Format ``cloudpickle``: pickles of what is defined in a script or a notebook, lambdas too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dagster_buckets.formats.pickle import PickleFormat

__all__ = ["CloudpickleFormat"]


@dataclass(frozen=True)
class CloudpickleFormat(PickleFormat):
    """Any value that cloudpickle can pickle; classes of ``__main__`` travel with it.

    Loading runs code, as of :class:`~dagster_buckets.formats.pickle.PickleFormat`. Load it with the
    Python version that wrote it.

    Example:
        >>> body = CloudpickleFormat().encode(lambda: 42)
        >>> import pickle
        >>> pickle.loads(body.joined())()
        42
    """

    name: ClassVar[str] = "cloudpickle"
    extension: ClassVar[str] = "cloudpickle"

    def _dump(self, value: Any, file: Any) -> None:
        import cloudpickle

        cloudpickle.dump(value, file, protocol=5)
