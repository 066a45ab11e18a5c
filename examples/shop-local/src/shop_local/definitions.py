"""The assets, and the folder that keeps their values."""

import dagster as dg
from dagster_buckets import with_kinds
from dagster_buckets_local import LocalIOManager

from shop_local import assets

defs = with_kinds(
    dg.Definitions(
        assets=dg.load_assets_from_modules([assets]),
        asset_checks=dg.load_asset_checks_from_modules([assets]),
        resources={"io_manager": LocalIOManager(root=dg.EnvVar("SHOP_ROOT"))},
    )
)
