"""What one manager wrote the other loads, and both write the same keys."""

import zlib
from collections.abc import Callable, Iterator
from types import GenericAlias
from typing import Any

import dagster as dg
import pytest

from tests.compat.support import PLACES, Place

pytestmark = [
    pytest.mark.usefixtures("alone"),
    # The libraries beside us are not ours to repair.
    pytest.mark.filterwarnings("default"),
    pytest.mark.parametrize("new_place", PLACES, indirect=True),
]

ASSET_KEYS = [
    ["plain"],
    ["shop", "orders"],
    ["shop", "orders.2024"],
    ["deep", "deeper", "and", "deepest"],
    [".hidden", "part"],
    ["a..b", "..."],
    ["1.5"],
    ["with space", " x "],
    ["é", "e\u0301", "日本"],
    ["x[1]", "y=2:z"],
    ["100%", "a%2Fb", "%2F", "a%2f"],
    ["back\\slash", "~"],
    ["data.json", "part-0.parquet"],
]
PARTITION_KEYS = [
    "plain",
    "2024-01-01",
    "2024-01-01-00:00",
    "1.5",
    "1.json",
    "v1.2.parquet",
    ".hidden",
    "a..b",
    "trailing.",
    "a b",
    "é日本",
    "x/y",
    "x/.z/w.1",
    "x[1]",
    "k=v|w",
    "100%",
    "a%2Fb",
    "~back\\slash",
]
HOURS = dg.HourlyPartitionsDefinition("2024-01-01-00:00", end_date="2024-01-01-02:00")
DYNAMIC = dg.DynamicPartitionsDefinition(name="customers")
# Declared against the alphabet.
MULTI = dg.MultiPartitionsDefinition(
    {
        "region": dg.StaticPartitionsDefinition(["eu", "us west"]),
        "date": dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-02"),
    }
)
THREE = dg.MultiPartitionsDefinition(
    {
        "z": dg.StaticPartitionsDefinition(["1.5"]),
        "a": dg.StaticPartitionsDefinition(["x.", "é"]),
    }
)
PARTITIONED: dict[str, tuple[list[str], dg.PartitionsDefinition[Any]]] = {
    "static": (["shop", "static"], dg.StaticPartitionsDefinition(PARTITION_KEYS)),
    "hourly": (["shop", "hours.x"], HOURS),
    "dynamic": (["dynamic"], DYNAMIC),
    "multi": (["shop", "multi"], MULTI),
    "dotted": (["shop", "multi.dotted"], THREE),
}


RUN_ID = "11111111-2222-4333-8444-555555555555"


def number_of(*names: str) -> int:
    return zlib.crc32("\0".join(names).encode())


def run(
    assets: list[Any], manager: Any, instance: dg.DagsterInstance, **options: Any
) -> dg.ExecuteInProcessResult:
    result = dg.materialize(assets, resources={"io_manager": manager}, instance=instance, **options)
    assert result.success
    return result


def asset_keys(place: Place) -> list[list[str]]:
    return [key for key in ASSET_KEYS if place.works_on("/".join(key))]


def sources(place: Place) -> dg.AssetsDefinition:
    keys = asset_keys(place)

    @dg.multi_asset(
        outs={
            f"o{n}": dg.AssetOut(key=dg.AssetKey(key), dagster_type=place.annotation)
            for n, key in enumerate(keys)
        }
    )
    def source() -> Iterator[Any]:
        for n, key in enumerate(keys):
            yield dg.Output(place.value(number_of(*key)), f"o{n}")

    return source


def loaded(
    place: Place, source: dg.AssetsDefinition, manager: Any, instance: dg.DagsterInstance
) -> dict[str, Any]:
    """What a run gets that takes all assets of ``source`` as inputs."""
    found: dict[str, Any] = {}
    keys = sorted(source.keys)
    annotation = place.annotation
    if source.partitions_def is not None:
        annotation = GenericAlias(dict, (str, place.annotation))

    @dg.asset(
        ins={f"i{n}": dg.AssetIn(key=key, dagster_type=annotation) for n, key in enumerate(keys)}
    )
    def sink(**values: Any) -> None:
        found.update({"/".join(key.path): values[f"i{n}"] for n, key in enumerate(keys)})

    run([source, sink], manager, instance, selection=[sink])
    return found


def ways(place: Place) -> list[tuple[Any, Any]]:
    return [(place.theirs, place.ours), (place.ours, place.theirs)]


def test_assets(new_place: Callable[[], Place], instance: dg.DagsterInstance) -> None:
    expected: dict[str, int] = {}
    written = []
    for way in (0, 1):
        place = new_place()
        writer, reader = ways(place)[way]
        source = sources(place)
        expected = {"/".join(key): number_of(*key) for key in asset_keys(place)}
        run([source], writer, instance)
        for manager in (writer, reader):
            found = loaded(place, source, manager, instance)
            assert {key: place.number(value) for key, value in found.items()} == expected
        written.append(place.keys())
    assert written[0] == written[1]
    assert len(written[0]) == len(expected) >= 10


@pytest.mark.parametrize("kind", PARTITIONED)
def test_partitions(
    new_place: Callable[[], Place], instance: dg.DagsterInstance, kind: str
) -> None:
    path, partitions = PARTITIONED[kind]
    instance.add_dynamic_partitions("customers", ["first", "2nd customer", "3.é"])
    every = partitions.get_partition_keys(dynamic_partitions_store=instance)
    expected: dict[str, int] = {}
    written = []
    for way in (0, 1):
        place = new_place()
        writer, reader = ways(place)[way]
        keys = [key for key in every if place.works_on(key.replace("|", "/"))]
        expected = {str(key): number_of(str(key)) for key in keys}
        if kind == "static":
            partitions = dg.StaticPartitionsDefinition(keys)
        source = partitioned(place, path, partitions)
        for key in keys:
            run([source], writer, instance, partition_key=key)
        for manager in (writer, reader):
            (found,) = loaded(place, source, manager, instance).values()
            assert {str(k): place.number(v) for k, v in found.items()} == expected
        written.append(place.keys())
    assert written[0] == written[1]
    assert len(written[0]) == len(expected)


def partitioned(
    place: Place, path: list[str], partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    @dg.asset(key=path, partitions_def=partitions, dagster_type=place.annotation)
    def source(context: dg.AssetExecutionContext) -> Any:
        return place.value(number_of(str(context.partition_key)))

    return source


def test_very_old_keys_of_several_dimensions(
    new_place: Callable[[], Place], instance: dg.DagsterInstance
) -> None:
    place = new_place()
    source = partitioned(place, ["shop", "multi"], MULTI)
    run([source], place.theirs, instance, partition_key="2024-01-01|us west")
    (new,) = place.keys()
    old = new.replace("2024-01-01/us west", "2024-01-01|us west")
    assert old != new
    place.rename(new, old)
    assert place.keys() == {old}

    found: list[Any] = []

    @dg.asset(
        partitions_def=MULTI,
        ins={"value": dg.AssetIn(key=["shop", "multi"], dagster_type=place.annotation)},
    )
    def sink(value: Any) -> None:
        found.append(place.number(value))

    key = "2024-01-01|us west"
    for manager in [place.ours, *([place.theirs] if place.finds_old_keys else [])]:
        run([source, sink], manager, instance, selection=[sink], partition_key=key)
        assert found.pop() == number_of(key)
    run([source, sink], place.ours, instance, selection=[source], partition_key=key)
    assert place.keys() == {old, new}


# -- outputs of ops ----------------------------------------------------------------------------


def job_of(place: Place, writer: Any, reader: Any) -> tuple[dg.JobDefinition, list[Any]]:
    """Ops that write with one manager and load with the other."""
    written: Any = {"io_manager_key": "writer"}
    read = dg.In(dagster_type=place.annotation, input_manager_key="reader")
    listed: Any = GenericAlias(list, place.annotation)
    seen: list[Any] = []

    @dg.op(
        out={"one": dg.Out(place.annotation, **written), "two": dg.Out(place.annotation, **written)}
    )
    def start() -> Iterator[Any]:
        yield dg.Output(place.value(1), "one")
        yield dg.Output(place.value(2), "two")

    @dg.op(ins={"value": read}, out=dg.Out(place.annotation, **written))
    def add_ten(value: Any) -> Any:
        return place.value(place.number(value) + 10)

    @dg.graph
    def inner(value: Any) -> Any:
        return add_ten(add_ten(value))

    @dg.graph
    def outer(value: Any) -> Any:
        return inner(value)

    @dg.op(ins={"value": read}, out=dg.DynamicOut(place.annotation, **written))
    def fan(value: Any) -> Any:
        for key in ("x", "y_2"):
            yield dg.DynamicOutput(place.value(place.number(value) + len(key)), mapping_key=key)

    @dg.op(
        ins={
            "values": dg.In(listed, input_manager_key="reader"),
            "other": read,
        }
    )
    def collect(values: Any, other: Any) -> None:
        seen.extend([*(place.number(value) for value in values), place.number(other)])

    @dg.job(resource_defs={"writer": hardcoded(writer), "reader": hardcoded(reader)})
    def job() -> None:
        one, two = start()
        collect(fan(outer(one)).map(add_ten).map(inner).collect(), two)

    return job, seen


def hardcoded(manager: Any) -> Any:
    if isinstance(manager, dg.IOManager) and not isinstance(manager, dg.ConfigurableIOManager):
        return dg.IOManagerDefinition.hardcoded_io_manager(manager)
    return manager


def test_ops(new_place: Callable[[], Place]) -> None:
    written = []
    for way in (0, 1):
        place = new_place()
        writer, reader = ways(place)[way]
        # The names of mapped steps have brackets.
        job, seen = job_of(place, writer, reader if place.works_on("step[key]") else place.ours)
        # The run's id is in the keys, and an instance takes it only once.
        with dg.DagsterInstance.ephemeral() as instance:
            assert job.execute_in_process(instance=instance, run_id=RUN_ID).success
        assert sorted(seen) == [2, 52, 54]
        written.append(place.keys())
    assert written[0] == written[1]
    assert len(written[0]) == 12
