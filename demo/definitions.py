"""The demo for Dagster's UI: ``dagster dev -m demo.definitions``, over a folder of local files."""

import os
from pathlib import Path

import dagster as dg
from dagster_buckets import with_kinds
from dagster_buckets_local import LocalIOManager

from demo.assets import ASSETS

_FOLDER = Path(os.environ.get("DEMO_ROOT", ".demo/ui"))

defs = with_kinds(
    dg.Definitions(
        assets=ASSETS,
        resources={"io_manager": LocalIOManager(root=str(_FOLDER.absolute()))},
    )
)
