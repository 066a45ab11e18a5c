"""8 GiB of record batches, written and read under a limit of memory, and compared."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import ours
from benchmarks.meter import Meter
from benchmarks.running import Bound, Case, Results, Way
from benchmarks.servers.cloud import cloud
from benchmarks.servers.serving import forget

MIB = 1024 * 1024
GIB = 1024 * MIB
SIZE = 8 * GIB
LIMIT = 4 * GIB
#: Each takes a minute, and it is memory that counts.
ROUNDS = 3
#: Rows of a batch, and its bytes.
ROWS, COLUMNS = 65_536, 16
BATCH = ROWS * COLUMNS * 8


def _block() -> Any:
    import numpy as np

    return np.random.default_rng(7).random((COLUMNS, ROWS))


def _batch(block: Any, number: int) -> Any:
    """Each is another: its columns are turned by its number, which stands in the first of them."""
    import numpy as np
    import pyarrow as pa

    columns = [np.roll(block[i], number * 7 + i) for i in range(1, COLUMNS)]
    names = ["number", *(f"x{i}" for i in range(1, COLUMNS))]
    return pa.RecordBatch.from_arrays(
        [pa.array(np.full(ROWS, number, dtype=np.int64)), *map(pa.array, columns)], names
    )


def stream(
    meter: Meter, *, endpoint: str, form: str, verb: str, size: int, **options: int
) -> Mapping[str, Any]:
    """Write such a stream through Dagster, or read one and compare every value."""
    # What is mapped and never touched counts here, too, such as the stacks of threads.
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    through(meter, endpoint=endpoint, form=form, verb=verb, size=size, **options)
    return {"limit": LIMIT}


def through(
    meter: Meter, *, endpoint: str, form: str, verb: str, size: int, **options: int
) -> None:
    """As :func:`stream`, in whatever memory there is; takes options of the format."""
    import pyarrow as pa

    from benchmarks.through_dagster import write_one

    settings = {"prefix": f"stream-{form}", "format": form, "format_options": {form: options}}
    manager = ours(endpoint, **settings)
    block, count = _block(), size // BATCH

    def made() -> Iterator[Any]:
        for number in range(count):
            yield _batch(block, number)

    reader = pa.RecordBatchReader.from_batches(_batch(block, 0).schema, made())
    write_one(manager, meter, pa.RecordBatchReader, reader)
    if verb == "read":
        _read(meter, ours(endpoint, **settings), block, count)
    forget(endpoint)


def _read(meter: Meter, manager: Any, block: Any, count: int) -> None:
    """All of it inside the meter: the load gives a reader, which is read afterwards."""
    import pyarrow as pa

    from benchmarks.through_dagster import load_one

    def compare(loaded: Any) -> None:
        rows = 0
        wanted = _batch(block, 0)
        for batch in loaded:
            done = 0
            while done < batch.num_rows:
                number, start = divmod(rows, ROWS)
                if not start:
                    wanted = _batch(block, number)
                piece = batch.slice(done, ROWS - start)
                if not piece.equals(wanted.slice(start, piece.num_rows)):
                    msg = f"other rows came from {rows:,} on"
                    raise RuntimeError(msg)
                rows += piece.num_rows
                done += piece.num_rows
        if rows != count * ROWS:
            msg = f"{rows:,} rows instead of {count * ROWS:,}"
            raise RuntimeError(msg)

    load_one(manager, meter, pa.RecordBatchReader, then=compare)


@contextmanager
def serving() -> Iterator[Mapping[str, Any]]:
    """A cloud with slow connections."""
    with cloud(0.03, 90e6) as endpoint:
        yield {"endpoint": endpoint, "size": SIZE}


FORMS = ("arrow", "parquet")


def bounds(found: Results) -> list[Bound]:
    """What must hold."""
    return [
        Bound(f"{name}: peak of memory, MiB", record.most("memory") / MIB, 300)
        for name, record in found.items()
    ]


CASE = Case(
    name="streams",
    title="8 GiB of record batches under a limit of 4 GiB",
    about=(
        "A `pa.RecordBatchReader` over a generator of batches of 8 MiB, returned by an asset and "
        "taken by another, in processes whose address space is limited to 4 GiB. Every value that "
        "is read is compared with what was made. Making and comparing take part of the time."
    ),
    limit=(
        "Making and comparing the batches, and of Parquet its encoder. Memory is what is on its "
        "way: 12 parts of 16 MiB, and one more that is filled."
    ),
    ways=[
        Way(
            f"{verb}, {form}",
            "stream",
            {"form": form, "verb": verb},
            warm={"size": 4 * BATCH},
            rounds=ROUNDS,
        )
        for form in FORMS
        for verb in ("write", "read")
    ],
    serving=serving,
    bounds=bounds,
)
