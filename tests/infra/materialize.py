"""Materialises what an example defines, in a process that has the environment of its outputs only.

Prints the URIs that its assets have in the end, as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import dagster as dg
from dagster_buckets import BucketIOManager


@dg.op
def say() -> str:
    """An op, whose output goes under ``.runs/``."""
    return "hello"


@dg.op
def hear(word: str) -> str:
    """Another, which loads it."""
    return word


@dg.job
def talk() -> None:
    """Both."""
    hear(say())


def main(path: Path) -> None:
    """Everything, every partition first."""
    spec = importlib.util.spec_from_file_location("definitions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    defs: dg.Definitions = module.defs
    resources = dict(defs.resources or {})
    with dg.DagsterInstance.ephemeral() as instance:
        assets = [
            definition
            for definition in defs.assets or []
            if isinstance(definition, dg.AssetsDefinition)
        ]
        for definition in assets:
            keys = definition.partitions_def
            for key in keys.get_partition_keys() if keys else [None]:
                dg.materialize(
                    assets,
                    selection=[definition],
                    partition_key=key,
                    resources=resources,
                    instance=instance,
                )
        revenue = defs.load_asset_value("revenue", instance=instance)
        result = talk.execute_in_process(resources=resources, instance=instance)
        assert result.output_for_node("hear") == "hello"
    manager = resources["io_manager"]
    assert isinstance(manager, BucketIOManager)
    found = {"revenue": revenue, "run": result.run_id}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
