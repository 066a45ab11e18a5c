"""The runs: every asset and partition is materialised, one after another, with a progress bar."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import dagster as dg
from dagster_buckets import BucketIOManager
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.assets import ASSETS

__all__ = ["materialize_all"]

_QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}


@dataclass(frozen=True)
class _Run:
    """One call of ``dg.materialize``: an asset, one of its partitions, or a range of them."""

    asset: dg.AssetsDefinition
    partition_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    values: int = 1

    def __str__(self) -> str:
        name = self.asset.key.to_user_string()
        if self.values > 1:
            return f"{name}, {self.values} partitions in one run"
        return name if self.partition_key is None else f"{name}, partition {self.partition_key}"


def materialize_all(io_manager: BucketIOManager, console: Console) -> None:
    """Store every asset with every partition.

    Raises:
        BucketsError: A value could not be stored or loaded.
    """
    runs = list(_plan())
    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
    )
    with _instance() as instance, progress:
        task = progress.add_task("", total=sum(run.values for run in runs))
        for number, run in enumerate(runs, 1):
            progress.update(task, description=f"storing {run}")
            if not console.is_terminal:
                console.print(f"[{number}/{len(runs)}] storing {run}", markup=False)
            dg.materialize(
                ASSETS,
                selection=[run.asset],
                partition_key=run.partition_key,
                tags=run.tags,
                instance=instance,
                resources={"io_manager": io_manager},
                run_config=_QUIET,
            )
            progress.advance(task, run.values)
        progress.update(task, description="all stored")


def _plan() -> Iterator[_Run]:
    for asset in ASSETS:
        partitions = asset.partitions_def
        if partitions is None:
            yield _Run(asset)
            continue
        keys = [str(key) for key in partitions.get_partition_keys()]
        if asset.backfill_policy == dg.BackfillPolicy.single_run():
            # What the UI does for such an asset: one run, which knows its partitions by two tags.
            first_and_last = {
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            }
            yield _Run(asset, tags=first_and_last, values=len(keys))
        else:
            yield from (_Run(asset, partition_key=key) for key in keys)


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster of its own, which knows nothing of the user's and is gone afterwards."""
    with TemporaryDirectory(prefix="dagster-buckets-demo-") as folder:
        os.environ["DAGSTER_HOME"] = folder
        settings = {"telemetry": {"enabled": False}}
        with dg.DagsterInstance.ephemeral(tempdir=folder, settings=settings) as instance:
            yield instance
