"""1,000 partitions of 20 KiB on Google Cloud Storage, 30 ms away."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import BUCKET, ours_on_gcs
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.samples import ROWS, decoded, encoded, frame, keys, value
from benchmarks.servers.distance import distance

COUNT = 1000

# Of gcsfs, before it is imported: it would look for another service past the endpoint.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


def _gcsfs(endpoint: str) -> Any:
    import gcsfs

    return gcsfs.GCSFileSystem(
        token="anon",  # noqa: S106 - no secret
        endpoint_url=endpoint,
        skip_instance_cache=True,
    )


def fill(endpoint: str, count: int) -> None:
    """Ours by ours; and the same bytes for the bare client, and pickles for the stock manager."""
    from dagster_buckets import AssetAddress

    files = _gcsfs(endpoint)
    files.mkdir(BUCKET)
    values = ours_on_gcs(endpoint, prefix="ours").values
    days = keys(count)

    def put(item: tuple[int, str]) -> None:
        address = AssetAddress.of(["orders"], item[1])
        values.write(address, frame(item[0]), format_name="parquet")

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(put, enumerate(days)))
    files.pipe(
        {f"{BUCKET}/bare/orders/{day}.parquet": encoded(n) for n, day in enumerate(days)}
        | {f"{BUCKET}/dagster/orders/{day}": pickle.dumps(value(n)) for n, day in enumerate(days)}
    )


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """fake-gcs-server, which knows itself by the address of the proxy before it."""
    from tests.gcs_server import fake_gcs_server, free_port

    port = free_port()
    with (
        fake_gcs_server(f"127.0.0.1:{port}") as server,
        distance(server, 0.03, port) as endpoint,
    ):
        fill(endpoint, COUNT)
        yield {"endpoint": endpoint, "count": COUNT}


def load_bare(meter: Meter, *, endpoint: str, count: int) -> None:
    """The floor: gcsfs fetches all, and Arrow decodes them."""
    files, days = _gcsfs(endpoint), keys(count)
    paths = [f"{BUCKET}/bare/orders/{day}.parquet" for day in days]
    with meter:
        found = files.cat(paths)
        tables = {path: decoded(data) for path, data in found.items()}
    _check(sum(table.num_rows for table in tables.values()), count * ROWS)


def load_ours(meter: Meter, *, endpoint: str, count: int) -> None:
    """Ours."""
    import pyarrow as pa

    from benchmarks.through_dagster import load_all

    manager = ours_on_gcs(endpoint, prefix="ours", format="parquet")
    found = load_all(manager, meter, dict[str, pa.Table], count)
    _check(sum(table.num_rows for table in found.values()), count * ROWS)


def load_stock(meter: Meter, *, endpoint: str, count: int) -> None:
    """Dagster's own."""
    from dagster_gcp.gcs import GCSPickleIOManager, GCSResource

    from benchmarks.through_dagster import load_all

    os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    manager = GCSPickleIOManager(gcs=GCSResource(project="bench"), gcs_bucket=BUCKET)
    _check(len(load_all(manager, meter, dict, count)), count)


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        msg = f"{found:,} instead of {wanted:,}"
        raise RuntimeError(msg)


_WARM = {"count": 20}
_BARE, _OURS, _STOCK = (
    "bare gcsfs: `cat` and decode",
    "ours: `dict[str, pa.Table]`",
    "GCSPickleIOManager: `dict`",
)


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    own = found[_OURS]
    return [
        Bound("GCS: to the bare client", own.over(found[_BARE]), 1.5),
        Bound("GCS: stock manager to ours", found[_STOCK].over(own), 25, least=True),
        Bound("GCS: requests", own.most("requests"), COUNT),
    ]


CASE = Case(
    name="gcs",
    title="1,000 partitions of 20 KiB on Google Cloud Storage",
    about=(
        "Loaded by one input from fake-gcs-server, behind a proxy that delays each request by 30 "
        "ms. The server computes on the machine of the client, unlike the cloud of the others."
    ),
    limit=(
        "The client's processor: gcsfs sends everything on one thread, of which aiohttp takes "
        "a third of a millisecond for each request, and decoding shares Python's lock with it. The "
        "bare client asks for all objects at once, ours for 64 (`max_concurrency`)."
    ),
    ways=[
        Way(_BARE, "load_bare", warm=_WARM),
        Way(_OURS, "load_ours", warm=_WARM, beside=_BARE),
        Way(_STOCK, "load_stock", warm=_WARM, peer=True),
    ],
    serving=serving,
    bounds=bounds,
)
