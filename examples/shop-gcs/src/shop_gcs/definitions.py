"""The assets, and the manager of the deployment."""

import dagster as dg
from dagster_buckets import build_cleanup, with_kinds

from shop_gcs import assets
from shop_gcs.resources import io_manager


def _shop() -> dg.Definitions:
    shop = with_kinds(
        dg.Definitions(
            assets=dg.load_assets_from_modules([assets]),
            asset_checks=dg.load_asset_checks_from_modules([assets]),
            resources={"io_manager": io_manager()},
        )
    )
    # Off until somebody turns its sensor on: removes the objects of what is wiped.
    return dg.Definitions.merge(shop, build_cleanup(shop))


defs = _shop()
