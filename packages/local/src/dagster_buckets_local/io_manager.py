"""``LocalIOManager``: values as files of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dagster_buckets import BucketIOManager
from pydantic import Field

if TYPE_CHECKING:
    from dagster_buckets_local.store import LocalStore

__all__ = ["LocalIOManager"]


class LocalIOManager(BucketIOManager):
    """Stores the values of assets and ops as files below a folder.

    Guarantee: a file is replaced at once or not at all, whatever is killed when; no symbolic link
    below the folder is followed.

    Args:
        root: The folder; made when the first value is written. A relative path counts from the
            working directory of the process, so give an absolute one where several are at work.

    Example:
        >>> import dagster as dg, tempfile
        >>> @dg.asset
        ... def numbers() -> list:
        ...     return [1, 2, 3]
        >>> @dg.asset
        ... def total(numbers: list) -> int:
        ...     return sum(numbers)
        >>> defs = dg.Definitions(
        ...     assets=[numbers, total],
        ...     resources={"io_manager": LocalIOManager(root=tempfile.mkdtemp())},
        ... )
        >>> job = defs.resolve_implicit_global_asset_job_def()
        >>> job.execute_in_process().output_for_node("total")
        6
    """

    kind: ClassVar[str] = "file"

    root: str = Field(description="The folder that the values lie in.")

    def make_store(self) -> LocalStore:
        """See :meth:`BucketIOManager.make_store <dagster_buckets.BucketIOManager.make_store>`."""
        from dagster_buckets_local.store import LocalStore

        return LocalStore(self.root, self.prefix)
