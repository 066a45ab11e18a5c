"""What a load from a branch and from production costs: ``python -m benchmarks.read_from``.

Requests are counted by the server, which answers each of them after 30 ms.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
import warnings
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster_buckets import AssetAddress, BucketIOManager, LiteralSecretWarning
from dagster_buckets_s3 import S3IOManager

from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import Traffic

__all__ = ["main"]

_LATENCY = 0.030
_ROUNDS = 5
_KEYS = [f"{number:04}" for number in range(1000)]
_SETTINGS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "benchmark",
    "aws_secret_access_key": "benchmark",
    "format": "parquet",
}


def _write(manager: BucketIOManager, keys: list[str]) -> None:
    # 20 KiB each.
    table = pa.table({"n": list(range(2500))})
    for key in keys:
        manager.values.write(AssetAddress.of(["parts"], key), table, format_name="parquet")


def _loads(manager: BucketIOManager, keys: list[str], endpoint: str) -> tuple[float, int]:
    """Seconds and requests of a load: of connections that are open, the median of five."""
    definition = dg.StaticPartitionsDefinition(_KEYS)
    seconds, requests = [], 0
    for _ in range(_ROUNDS + 1):
        given = dg.build_input_context(
            asset_key="parts",
            asset_partitions_def=definition,
            asset_partition_key_range=dg.PartitionKeyRange(keys[0], keys[-1]),
        )
        with given as context:
            Traffic.of(endpoint)  # which begins to count anew
            begin = time.perf_counter()
            manager.load_input(context)
            seconds.append(time.perf_counter() - begin)
            requests = Traffic.of(endpoint).count
    return statistics.median(seconds[1:]), requests


def main() -> None:
    """Print a row for each number of partitions and share of them in the branch."""
    logging.getLogger("dagster").setLevel(logging.WARNING)
    warnings.simplefilter("ignore", LiteralSecretWarning)
    with cloud(_LATENCY) as endpoint:

        def manager(prefix: str, **settings: Any) -> BucketIOManager:
            given = {**_SETTINGS, "bucket": "lake", "endpoint_url": endpoint, **settings}
            return S3IOManager(prefix=prefix, **given)

        production = manager("prod")
        _write(production, _KEYS)
        for keys in (_KEYS[:1], _KEYS):
            _tell(len(keys), "without read_from", _loads(production, keys, endpoint))
            for count in sorted({0, len(keys) // 100, len(keys)}):
                prefix = f"branch-{len(keys)}-{count}"
                _write(manager(prefix), keys[:count])
                branch = manager(prefix, read_from=production)
                _tell(len(keys), f"{count} in the branch", _loads(branch, keys, endpoint))


def _tell(count: int, where: str, measured: tuple[float, int]) -> None:
    seconds, requests = measured
    sys.stdout.write(f"{count:5} partitions, {where:18}{requests:6} requests {seconds:7.3f} s\n")


if __name__ == "__main__":
    main()
