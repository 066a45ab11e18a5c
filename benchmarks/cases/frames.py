"""A frame of 1 GiB: written and read, by format, at 30 ms."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import bare, dagster_polars, on_s3fs, ours, stock
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

GIB = 1024**3
COLUMNS = 16
ROWS = GIB // (8 * COLUMNS)
_PART = 8 * 1024 * 1024


def arrays(rows: int) -> dict[str, Any]:
    """Twelve columns of random numbers, three of small ones, one of times: 128 bytes a row."""
    import numpy as np

    source = np.random.default_rng(7)
    columns: dict[str, Any] = {f"x{i}": source.random(rows) for i in range(COLUMNS - 4)}
    columns |= {f"n{i}": source.integers(0, 1000, rows) for i in range(3)}
    columns["at"] = (np.arange(rows) * 1000).astype("datetime64[us]")
    return columns


def _frame(kind: str, rows: int) -> Any:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    columns = arrays(rows)
    if kind == "pandas":
        return pd.DataFrame(columns, copy=False)
    return pl.DataFrame(columns) if kind == "polars" else pa.table(columns)


def _kind(name: str) -> Any:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    return {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table}[name]


def _manager(who: str, endpoint: str, form: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(endpoint, prefix=f"ours-{form}", format=form),
        "stock": lambda: stock(endpoint),
        "polars": lambda: dagster_polars(endpoint),
        "upath": lambda: on_s3fs(endpoint),
    }
    return makers[who]()


def through(  # noqa: PLR0913 - what a case gives
    meter: Meter, *, endpoint: str, verb: str, who: str, kind: str, form: str, rows: int
) -> None:
    """A manager, through Dagster; what it reads it has written before."""
    from benchmarks.through_dagster import load_one, write_one

    frame = _frame(kind, rows)
    manager = _manager(who, endpoint, form)
    write_one(manager, meter, _kind(kind), frame)
    if verb == "read":
        del frame
        found = load_one(_manager(who, endpoint, form), meter, _kind(kind))
        _check(len(found), rows)
    forget(endpoint)


def direct(  # noqa: PLR0913 - what a case gives
    meter: Meter, *, endpoint: str, verb: str, kind: str, form: str, rows: int
) -> None:
    """The direct call: the library's own encoder into memory, and obstore; or back."""
    import obstore

    frame = _frame(kind, rows)
    store, key = bare(endpoint), f"direct-{kind}-{form}"
    with meter:
        body = _encoded(frame, kind, form)
        view = memoryview(body).cast("B")
        parts = (view[start : start + _PART] for start in range(0, len(view), _PART))
        obstore.put(store, key, parts, chunk_size=_PART, max_concurrency=16)
    del body, view, parts
    if verb == "read":
        del frame
        with meter:
            found = _decoded(obstore.get(store, key).bytes(), kind, form)
        _check(len(found), rows)
    forget(endpoint)


def _encoded(frame: Any, kind: str, form: str) -> Any:
    import pickle

    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "pickle":
        return pickle.dumps(frame, protocol=5)
    if kind == "polars":
        target = io.BytesIO()
        if form == "parquet":
            frame.write_parquet(target)
        else:
            frame.write_ipc(target)
        return target.getbuffer()
    sink = pa.BufferOutputStream()
    if form == "parquet":
        pq.write_table(frame, sink, compression="zstd")
    else:
        with pa.ipc.new_file(sink, frame.schema) as writer:
            writer.write_table(frame)
    return memoryview(sink.getvalue())


def _decoded(data: Any, kind: str, form: str) -> Any:
    import pickle

    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    view = memoryview(data)
    if form == "pickle":
        return pickle.loads(view)  # noqa: S301 - our own
    if kind == "polars":
        return (pl.read_parquet if form == "parquet" else pl.read_ipc)(io.BytesIO(view))
    source = pa.BufferReader(view)
    if form == "parquet":
        return pq.ParquetFile(source).read()
    return pa.ipc.open_file(source).read_all()


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        msg = f"{found:,} rows instead of {wanted:,}"
        raise RuntimeError(msg)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """The cloud."""
    with cloud(0.03) as endpoint:
        yield {"endpoint": endpoint, "rows": ROWS}


_TYPES = {"polars": "pl.DataFrame", "arrow": "pa.Table", "pandas": "pd.DataFrame"}
_OURS = [
    ("polars", "parquet"),
    ("arrow", "parquet"),
    ("arrow", "arrow"),
    ("pandas", "pickle"),
]
_PEERS = {
    "S3PickleIOManager": ("stock", "pandas", "pickle"),
    "dagster-polars": ("polars", "polars", "parquet"),
    "UPathIOManager on s3fs": ("upath", "polars", "parquet"),
}
_WARM = {"rows": 1000}


def _name(verb: str, who: str, kind: str, form: str) -> str:
    return f"{verb} `{_TYPES[kind]}` as {form}: {who}"


def _ways(verb: str) -> Iterator[Way]:
    for kind, form in _OURS:
        floor = _name(verb, "direct call", kind, form)
        given = {"verb": verb, "kind": kind, "form": form}
        yield Way(floor, "direct", given, warm=_WARM)
        own = _name(verb, "ours", kind, form)
        yield Way(own, "through", {**given, "who": "ours"}, warm=_WARM, beside=floor)
    for name, (who, kind, form) in _PEERS.items():
        given = {"verb": verb, "kind": kind, "form": form, "who": who}
        yield Way(_name(verb, name, kind, form), "through", given, warm=_WARM, peer=True)


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = []
    for kind, form in _OURS:
        name = _name("write", "ours", kind, form)
        own = found[name]
        floor = own.over(found[own.way.beside], "cpu")
        if form == "parquet":
            out.append(Bound(f"{name}: CPU to the direct call", floor, 1.15))
        else:
            out.append(Bound(f"{name}: CPU-s", own.median("cpu"), 1.0))
        out.append(Bound(f"{name}: peak of memory, GiB", own.median("memory") / GIB, 0.25))
        name = _name("read", "ours", kind, form)
        own = found[name]
        limit = 1.15 + (
            found[name.replace("read", "write")].median("up") / GIB if form == "parquet" else 0.0
        )
        out.append(Bound(f"{name}: peak of memory / value", own.median("memory") / GIB, limit))
    return out


CASE = Case(
    name="frames",
    title="A frame of 1 GiB",
    about=(
        "8,388,608 rows of 16 columns, twelve of them random numbers, which do not compress. "
        "At 30 ms, and as fast as a connection can: here CPU and memory count. "
        "Through Dagster, beside the direct call: the library's own encoder into memory and "
        "obstore with 16 parts of 8 MiB at a time; one request and its own decoder. "
        "Digests are computed and compared in ours only."
    ),
    limit=(
        "Of Parquet the encoder, which is Arrow's, with one thread to encode and others to "
        "compress and send. Arrow files and pickles are sent as they are: what is left is their "
        "digest and the copy into the socket."
    ),
    ways=[*_ways("write"), *_ways("read")],
    serving=serving,
    bounds=bounds,
)
