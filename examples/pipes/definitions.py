"""A table from Dagster, a summary by another process, and a text that is made of it."""

import os
import sys
from pathlib import Path

import dagster as dg
import pyarrow as pa
from dagster_buckets_local import LocalIOManager

SCRIPT = Path(__file__).with_name("summarize.py")


@dg.asset
def orders() -> pa.Table:
    """Written by the manager."""
    return pa.table({"item": ["tea", "oil", "tea"], "eur": [4.5, 7.9, 4.1]})


@dg.asset(deps=[orders])
def summary(
    context: dg.AssetExecutionContext,
    pipes: dg.PipesSubprocessClient,
    io_manager: dg.ResourceParam[LocalIOManager],
) -> dg.MaterializeResult:
    """Read and written by another process."""
    uris = {
        "orders": io_manager.stored_uri_for(orders),
        "summary": io_manager.uri_for("summary", format="parquet"),
    }
    command = [sys.executable, str(SCRIPT)]
    return pipes.run(context=context, command=command, extras=uris).get_materialize_result()


@dg.asset
def text(summary: pa.Table) -> str:
    """Loaded by the manager."""
    lines = zip(*summary.sort_by("item").to_pydict().values(), strict=True)
    return "\n".join(f"{item}: {eur:.2f}" for item, eur in lines)


defs = dg.Definitions(
    assets=[orders, summary, text],
    resources={
        "io_manager": LocalIOManager(root=os.getenv("SHOP_ROOT", "data")),
        "pipes": dg.PipesSubprocessClient(),
    },
)
