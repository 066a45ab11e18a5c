"""What partitions cost Dagster: keys before a manager is asked for anything, and the event log."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.meter import Meter
from benchmarks.scale.records import Row, check

__all__ = ["dagster_keys", "events"]


def dagster_keys() -> list[Row]:
    """What Dagster needs for partitions before a manager is asked for anything."""
    import dagster as dg
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    def static(count: int) -> dg.PartitionsDefinition[str]:
        return dg.StaticPartitionsDefinition([f"{number:08}" for number in range(count)])

    def minutes(count: int) -> dg.PartitionsDefinition[str]:
        import datetime as dt

        start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        end = start + dt.timedelta(minutes=count)
        return dg.TimeWindowPartitionsDefinition(
            start, "%Y-%m-%d-%H:%M", end=end, cron_schedule="* * * * *"
        )

    rows: list[Row] = []
    for what, make in (("static", static), ("time", minutes)):
        for count in (10_000, 100_000):
            with Meter() as defining:
                definition = make(count)
                check(len(definition.get_partition_keys()), count)

            @dg.asset(partitions_def=definition)
            def orders() -> None: ...

            with Meter() as telling:
                known = dg.Definitions(assets=[orders]).get_repository_def()
                told = serialize_value(RepositorySnap.from_def(known))
            row = {"what": what, "count": count, "defining": defining.cpu}
            row |= {"memory": defining.memory, "telling": telling.cpu, "told": len(told)}
            rows.append(row)
    return rows


def events() -> list[Row]:
    """Dagster's event log, in SQLite: one run over all partitions, and one run for each."""
    return [
        {"value": value, "runs": runs, **_logged(value, runs, count)}
        for value in ("text", "frame")
        for runs, counts in (("one", (10, 500, 2_000)), ("each", (5, 15)))
        for count in counts
    ]


def _logged(value: str, runs: str, count: int) -> Row:
    import dagster as dg
    import pyarrow as pa
    from dagster_buckets import MemoryIOManager

    from benchmarks.samples import frame

    annotation: Any = {"text": str, "frame": pa.Table}[value]
    given = "a few bytes" if value == "text" else frame(0)
    definition = dg.StaticPartitionsDefinition([f"{number:08}" for number in range(count)])
    keys = definition.get_partition_keys()
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

    def orders(context: Any) -> Any:
        return dict.fromkeys(context.partition_keys, given) if runs == "one" else given

    given_by = dict[str, annotation] if runs == "one" else annotation
    orders.__annotations__ = {"context": dg.AssetExecutionContext, "return": given_by}
    policy = dg.BackfillPolicy.single_run()
    asset = dg.asset(partitions_def=definition, backfill_policy=policy)(orders)
    tags = {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        resources = {"io_manager": MemoryIOManager(name=f"scale-{value}-{runs}-{count}")}
        given_to_all: dict[str, Any] = {
            "resources": resources,
            "instance": instance,
            "run_config": quiet,
        }
        begun = time.process_time()
        if runs == "one":
            dg.materialize([asset], tags=tags, **given_to_all)
        else:
            for key in keys:
                dg.materialize([asset], partition_key=key, **given_to_all)
        seconds = time.process_time() - begun
        return {"count": count, "cpu": seconds, **_sizes(Path(folder))}


def _sizes(folder: Path) -> Row:
    """Bytes of the files, and of the events in them: SQLite keeps those of assets twice."""
    files = [path for path in folder.rglob("*.db*") if path.is_file()]
    events, materializations, texts = 0, 0, 0
    for path in (folder / "history" / "runs").glob("*.db"):
        if path.stem == "index":
            continue
        with sqlite3.connect(path) as database:
            found = database.execute(
                "select count(*), coalesce(sum(length(event)), 0), "
                "sum(dagster_event_type = 'ASSET_MATERIALIZATION') from event_logs"
            ).fetchone()
        events, texts = events + found[0], texts + found[1]
        materializations += found[2] or 0
    total = sum(path.stat().st_size for path in files)
    row = {"events": events, "materializations": materializations, "texts": texts}
    return {**row, "files": total}
