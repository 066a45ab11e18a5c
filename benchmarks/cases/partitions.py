"""Many partitions of 20 KiB: loaded by one input, written by one run."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import bare, dagster_polars, on_s3fs, ours, stock
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.samples import ROWS, decoded, encoded, frame, keys, value
from benchmarks.servers.cloud import cloud

COUNT = 1000
#: Of the bare client. Ours has as many by default.
THREADS = 32
#: Seconds of a request, bytes a second of a connection.
SECONDS, RATE = 0.03, 90e6


def fill(endpoint: str, count: int) -> None:
    """Write what is loaded: ours by ours, and the same bytes where each of the others looks."""
    import obstore
    from dagster_buckets import AssetAddress

    values = ours(endpoint, prefix="ours").values
    store = bare(endpoint)

    def put(item: tuple[int, str]) -> None:
        number, key = item
        address = AssetAddress.of(["orders"], key)
        values.write(address, frame(number), format_name="parquet")
        pickled = pickle.dumps(value(number))
        obstore.put(store, f"dagster/orders/{key}", pickled, use_multipart=False)
        parquet = encoded(number)
        for folder in ("polars", "upath", "bare"):
            obstore.put(store, f"{folder}/orders/{key}.parquet", parquet, use_multipart=False)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, enumerate(keys(count))))


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """The cloud, filled."""
    with cloud(SECONDS, RATE) as endpoint:
        fill(endpoint, COUNT)
        yield {"endpoint": endpoint, "count": COUNT}


def _fetch(endpoint: str, keys: Sequence[str], decode: Callable[[Any], Any]) -> list[Any]:
    """Fetch by many threads, decode each object where it comes."""
    import obstore

    store = bare(endpoint)
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda key: decode(obstore.get(store, key).bytes()), keys))


def load_bare(meter: Meter, *, endpoint: str, count: int, result: str) -> None:
    """The floor: fetch, decode, join; no digest, no retry, no Dagster."""
    import polars as pl
    import pyarrow as pa

    days = keys(count)
    folder, suffix = ("dagster", "") if result == "pickles" else ("bare", ".parquet")
    paths = [f"{folder}/orders/{day}{suffix}" for day in days]
    with meter:
        parts = _fetch(endpoint, paths, pickle.loads if result == "pickles" else decoded)
        if result == "table":
            _check(pa.concat_tables(parts).num_rows, count * ROWS)
        elif result == "polars":
            _check(pl.DataFrame(pa.concat_tables(parts)).height, count * ROWS)
        else:
            _check(len(dict(zip(days, parts, strict=True))), count)


def load_ours(meter: Meter, *, endpoint: str, count: int, result: str, format: str) -> None:  # noqa: A002 - the setting's name
    """Ours."""
    import polars as pl
    import pyarrow as pa

    from benchmarks.through_dagster import load_all

    annotations: dict[str, Any] = {
        "tables": dict[str, pa.Table],
        "table": pa.Table,
        "polars": pl.DataFrame,
        "pickles": dict,
    }
    where = {"prefix": "ours", "format": format}
    if result == "pickles":
        where = {"prefix": "dagster", "layout": "legacy", "format": format}
    found = load_all(ours(endpoint, **where), meter, annotations[result], count)
    if isinstance(found, dict):
        _check(len(found), count)
    else:
        _check(found.height if result == "polars" else found.num_rows, count * ROWS)


def load_peer(meter: Meter, *, endpoint: str, count: int, peer: str) -> None:
    """The others."""
    import polars as pl

    from benchmarks.through_dagster import load_all

    managers: dict[str, Callable[[], Any]] = {
        "stock": lambda: stock(endpoint),
        "polars": lambda: dagster_polars(endpoint),
        "upath": lambda: on_s3fs(endpoint),
        "upath-async": lambda: on_s3fs(endpoint, asynchronous=True),
    }
    annotation: Any = dict[str, pl.DataFrame] if peer == "polars" else dict
    found = load_all(managers[peer](), meter, annotation, count)
    _check(len(found), count)


def write_bare(meter: Meter, *, endpoint: str, count: int) -> None:
    """The floor: encode and put by many threads."""
    import obstore
    import pyarrow as pa
    import pyarrow.parquet as pq

    frames = [frame(number % 50) for number in range(count)]

    def put(item: tuple[str, Any]) -> None:
        key, frame = item
        sink = pa.BufferOutputStream()
        pq.write_table(frame, sink, compression="zstd")
        path = f"written/orders/{key}.parquet"
        obstore.put(store, path, sink.getvalue().to_pybytes(), use_multipart=False)

    days = keys(count)
    with meter, ThreadPoolExecutor(THREADS) as pool:
        store = bare(endpoint)
        list(pool.map(put, zip(days, frames, strict=True)))
    _check(meter.requests.get("PUT", 0), count)


def write_ours(meter: Meter, *, endpoint: str, count: int) -> None:
    """Ours."""
    import pyarrow as pa

    from benchmarks.through_dagster import write_all

    values = {day: frame(number % 50) for number, day in enumerate(keys(count))}
    manager = ours(endpoint, prefix="written-by-ours")
    write_all(manager, meter, dict[str, pa.Table], values, count)
    _check(meter.requests.get("PUT", 0), count)


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        msg = f"{found:,} instead of {wanted:,}"
        raise RuntimeError(msg)


_WARM = {"count": 20}
_DICT, _ONE, _WRITE = "bare client: dict of tables", "bare client: one table", "bare client: write"
_POLARS, _PICKLES = "bare client: one Polars frame", "bare client: dict of unpickled values"
_STOCK = "S3PickleIOManager: `dict`"
_PEERS = {
    _STOCK: "stock",
    "dagster-polars: `dict[str, pl.DataFrame]`": "polars",
    "UPathIOManager on s3fs: `dict`": "upath",
    "UPathIOManager, asynchronous: `dict`": "upath-async",
}


def _ours(name: str, result: str, beside: str, format_name: str = "parquet") -> Way:
    return Way(
        f"ours: {name}",
        "load_ours",
        {"result": result, "format": format_name},
        warm=_WARM,
        beside=beside,
    )


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = []
    for name, record in found.items():
        if not name.startswith("ours"):
            continue
        limit = 1.5 if "write" in name else 1.3
        floor = record.over(found[record.way.beside])
        out.append(Bound(f"{name}: to the bare client", floor, limit))
        requests = record.most("requests")
        extra = 1 if "auto" in name else 0
        out.append(Bound(f"{name}: requests", requests, COUNT + extra))
    mine = found["ours: `dict[str, pa.Table]`"]
    for name, limit in zip(_PEERS, (25, 50, 50), strict=False):
        out.append(Bound(f"{name}: to ours", found[name].over(mine), limit, least=True))
    return out


CASE = Case(
    name="partitions",
    title="1,000 partitions of 20 KiB",
    about=(
        "Loaded by one input, or written by one run, through Dagster, with a manager that has to "
        "connect first. The bare client is obstore with 32 threads, which decodes each object "
        "where it comes: no digest, no retry, no Dagster."
    ),
    limit=(
        "A thousand requests of 30 ms, 32 at a time, take 0.94 s, whoever sends them: "
        "`max_concurrency` sets how many. Above that is Python, which decodes one object at a "
        "time for each processor, and takes its lock from the threads that wait for answers."
    ),
    ways=[
        Way(_DICT, "load_bare", {"result": "tables"}, warm=_WARM),
        _ours("`dict[str, pa.Table]`", "tables", _DICT),
        Way(_ONE, "load_bare", {"result": "table"}, warm=_WARM),
        _ours("`pa.Table`", "table", _ONE),
        _ours('`pa.Table`, `format="auto"`', "table", _ONE, "auto"),
        Way(_POLARS, "load_bare", {"result": "polars"}, warm=_WARM),
        _ours("`pl.DataFrame`", "polars", _POLARS),
        Way(_PICKLES, "load_bare", {"result": "pickles"}, warm=_WARM),
        _ours("`dict`, pickles", "pickles", _PICKLES, "pickle"),
        *(
            Way(name, "load_peer", {"peer": peer}, warm=_WARM, peer=True)
            for name, peer in _PEERS.items()
        ),
        Way(_WRITE, "write_bare", warm=_WARM),
        Way("ours: write `dict[str, pa.Table]`", "write_ours", warm=_WARM, beside=_WRITE),
    ],
    serving=serving,
    bounds=bounds,
)
