"""Stores a pipeline's values in a store, shows them, and checks them: ``python -m demo --help``."""

import signal
import sys
import warnings
from pathlib import Path

import click
from rich.console import Console

__all__ = ["main"]

#: Columns of a file or a pipe: no URI is broken, however deep the folder.
_PIPED = 2000


@click.command()
@click.option(
    "--store",
    "store_name",
    type=click.Choice(["local", "s3", "gcs"]),
    default="local",
    show_default=True,
    help="Files in a folder; S3 or GCS on a server that the demo starts and stops.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the local store. [default: .demo/local]",
)
@click.option("--all", "every", is_flag=True, help="List every object, not samples only.")
@click.option("--check-only", is_flag=True, help="Check what is in the local store already.")
def main(store_name: str, keep: Path | None, *, every: bool, check_only: bool) -> None:
    """Run a pipeline over 336,776 real flights and store its values in a store of your choice.

    No account and no network is needed. Exits with 0 if every total that was stored equals the one
    computed from the CSV files, and with 1 if not.
    """
    if store_name != "local" and (keep or check_only):
        msg = f"the {store_name} server keeps nothing; --keep and --check-only go with local"
        raise click.UsageError(msg)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    console = _console()
    console.print("Loading Dagster …")
    # Single-run backfills work, but Dagster still calls them beta.
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    from dagster._core.errors import DagsterExecutionInterruptedError
    from dagster_buckets import AssetAddress, BucketsError

    from demo.stores import STORES

    try:
        with STORES[store_name](keep or Path(".demo", store_name)) as io_manager:
            from demo.check import computed_totals, differences, stored_totals
            from demo.objects import objects_table, stored_objects
            from demo.runs import materialize_all

            if not check_only:
                materialize_all(io_manager, console)
            values = io_manager.values
            report = values.read(AssetAddress.of(["report"]), str)
            console.print(objects_table(stored_objects(values), every=every))
            console.print(f"\n{report}\n", markup=False, highlight=False)
            computed = computed_totals()
            wrong = differences(stored_totals(values), computed)
    except BucketsError as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        msg = f"{error}; 'python3 run.py demo' installs what the demo needs"
        raise click.ClickException(msg) from error
    except DagsterExecutionInterruptedError as error:
        raise click.Abort from error
    if wrong:
        console.print("\n".join([*wrong, ""]), markup=False)
        msg = f"check: {len(wrong)} of {len(computed)} totals are wrong"
        raise click.ClickException(msg)
    console.print(f"check: {len(computed)} totals equal to those computed from the CSV files")


def _console() -> Console:
    return Console(soft_wrap=False) if sys.stdout.isatty() else Console(width=_PIPED)


def _leave(number: int, _frame: object) -> None:
    """Unwind as after an exception, so that servers and temporary folders go."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main(prog_name="python -m demo")
