"""A frame of 1 GiB in local files: Arrow IPC, by memory map."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cases.frames import GIB, ROWS, arrays
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way


def _table(rows: int) -> Any:
    import pyarrow as pa

    return pa.table(arrays(rows))


def _looked_at(table: Any, rows: int) -> None:
    """Every value is needed, which a memory map has not read before."""
    import pyarrow.compute as pc

    for column in table.columns:
        pc.min_max(column)
    if table.num_rows != rows:
        raise RuntimeError(table.num_rows)


def direct(meter: Meter, *, folder: str, verb: str, rows: int) -> None:
    """Arrow's own writer, a flush to the disk, a rename; and its memory map."""
    import pyarrow as pa

    table, path = _table(rows), Path(folder, "direct.arrow")
    with meter:
        draft = path.with_suffix(".draft")
        with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        number = os.open(draft, os.O_RDONLY)
        os.fsync(number)
        os.close(number)
        draft.rename(path)
    if verb == "read":
        del table
        with meter, pa.memory_map(str(path)) as mapped:
            _looked_at(pa.ipc.open_file(mapped).read_all(), rows)
    path.unlink()


def through(meter: Meter, *, folder: str, verb: str, rows: int, who: str) -> None:
    """A manager, through Dagster."""
    import dagster as dg
    import pyarrow as pa
    from dagster_buckets_local import LocalIOManager

    from benchmarks.through_dagster import load_one, write_one

    manager: Any
    if who == "ours":
        manager = LocalIOManager(root=f"{folder}/ours", format="arrow")
    else:
        manager = dg.FilesystemIOManager(base_dir=f"{folder}/stock")
    table = _table(rows)
    write_one(manager, meter, pa.Table, table)
    if verb == "read":
        del table
        load_one(manager, meter, pa.Table, then=lambda found: _looked_at(found, rows))


@contextlib.contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """A folder."""
    with tempfile.TemporaryDirectory(prefix="dagster-buckets-bench-") as folder:
        yield {"folder": folder, "rows": ROWS}


_WARM = {"rows": 1000}
_STOCK = "FilesystemIOManager (pickle)"


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    out = []
    for verb in ("write", "read"):
        own = found[f"{verb}: ours"]
        over = own.over(found[own.way.beside])
        out.append(Bound(f"{verb}: to the direct call", over, 1.05 if verb == "write" else 1.3))
        stock = found[f"{verb}: {_STOCK}"]
        out.append(Bound(f"{verb}: to the stock manager", own.over(stock), 1.0))
    peak = found["write: ours"].median("memory") / GIB
    return [*out, Bound("write: peak of memory, GiB", peak, 0.25)]


CASE = Case(
    name="local",
    title="A frame of 1 GiB in local files",
    about=(
        "Arrow IPC. The direct call writes with Arrow, flushes to the disk and renames, which is "
        "what ours does; it reads by memory map, and looks at every value, as all of them do. Ours "
        "computes a digest and compares it. The stock manager neither flushes nor renames. What is "
        "mapped counts as memory here, although the system may drop it."
    ),
    limit=(
        "The copy into the system's cache and the flush to the disk. The digest is computed "
        "beside the copy, by another thread."
    ),
    ways=[
        way
        for verb in ("write", "read")
        for way in (
            Way(f"{verb}: direct, with a flush", "direct", {"verb": verb}, warm=_WARM),
            Way(
                f"{verb}: ours",
                "through",
                {"verb": verb, "who": "ours"},
                warm=_WARM,
                beside=f"{verb}: direct, with a flush",
            ),
            Way(
                f"{verb}: {_STOCK}",
                "through",
                {"verb": verb, "who": "stock"},
                warm=_WARM,
            ),
        )
    ],
    serving=serving,
    bounds=bounds,
    columns=("seconds", "spread", "cpu", "memory"),
)
