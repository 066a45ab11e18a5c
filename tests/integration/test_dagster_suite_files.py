"""What Dagster's own suites say about objects of ops and assets, as promises of ours, everywhere.

After the scenarios of ``test_upath_io_manager``, ``test_fs_io_manager`` and those of the S3 and GCS
managers. Where we differ on purpose, ``docs/explanation/differences.md`` says so.
"""

import threading
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import (
    BucketIOManager,
    BucketsError,
    EncodeError,
    FormatError,
    ObjectNotFoundError,
)

from tests.integration.scenarios import load
from tests.integration.support import MakeManager, handled, keys, materialized, raw, run, store_of

ANYTHING = dg.DagsterType(lambda _, value: True, name="anything", typing_type=Any)
A_LIST = dg.DagsterType(lambda _, v: isinstance(v, list), name="a_list", typing_type=list)


def by_hand(manager: BucketIOManager, value: Any, kind: dg.DagsterType = ANYTHING) -> Any:
    """Write and load with contexts that no run made, as unit tests of users do."""
    output = dg.build_output_context(name="abc", step_key="step", run_id="a-run", dagster_type=kind)
    manager.handle_output(output, value)
    given = dg.build_input_context(name="abc", upstream_output=output, dagster_type=kind)
    return manager.load_input(given)


PLAIN: list[Any] = [0, 0.0, [0, 1, 2], {"a": 0}, [{"a": 0}, {"b": 1}], True, None]


def test_plain_values_come_back_as_they_were(manager: BucketIOManager) -> None:
    now: list[Any] = []

    @dg.asset
    def made() -> Any:
        return now[-1]

    for value in PLAIN:
        now.append(value)
        # In the run that made it, in another run, and in a unit test.
        found = [run([made], manager).output_for_node("made"), load(manager, made)]
        for came_back in [*found, by_hand(manager, value)]:
            assert (came_back, type(came_back)) == (value, type(value))
    assert keys(manager) == [".runs/a-run/step/abc/data.json", "made/data.json"]


def test_a_declared_list_comes_back_as_a_list(manager: BucketIOManager) -> None:
    assert by_hand(manager, [0, 1, "a", "b"], A_LIST) == [0, 1, "a", "b"]
    assert raw(manager, ".runs/a-run/step/abc/data.json") == b'[0, 1, "a", "b"]'


def test_every_output_says_what_and_where_it_is(manager: BucketIOManager) -> None:
    @dg.asset
    def made() -> list[int]:
        return [1, 2, 3]

    result = run([made], manager)
    (event,) = handled(result)
    assert event.metadata["dagster/uri"] == store_of(manager).uri("made/data.json")
    assert event.metadata["dagster_buckets/size_bytes"] == len(raw(manager, "made/data.json")) == 9
    assert event.metadata["dagster_buckets/format"] == "json"
    (shown,) = materialized(result)
    assert shown.metadata == event.metadata


@dg.op
def numbers() -> list[int]:
    return [1, 2, 3]


@dg.op
def count(values: list[int]) -> int:
    return len(values)


def loaded_from(result: dg.ExecuteInProcessResult) -> list[str | None]:
    """Of each input that the run loaded, the step that had written it."""
    return [
        event.event_specific_data.upstream_step_key  # type: ignore[union-attr]
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.LOADED_INPUT
    ]


def test_steps_of_a_job_hand_over_through_the_bucket(manager: BucketIOManager) -> None:
    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        count(numbers())

    assert keys(manager) == []
    result = job.execute_in_process()
    folder = f".runs/{result.run_id}"
    found = {
        f"{folder}/numbers/result/data.json": b"[1, 2, 3]",
        f"{folder}/count/result/data.json": b"3",
    }
    assert {key: raw(manager, key) for key in keys(manager)} == found
    assert [event.metadata["dagster/uri"] for event in handled(result)] == [
        store_of(manager).uri(key) for key in found
    ]
    assert loaded_from(result) == ["numbers"]
    assert (result.output_for_node("numbers"), result.output_for_node("count")) == ([1, 2, 3], 3)


def test_one_step_at_a_time_finds_what_the_last_one_left(
    manager: BucketIOManager, instance: dg.DagsterInstance
) -> None:
    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        count(numbers())

    first = job.execute_in_process(op_selection=["numbers"], instance=instance)
    key = f".runs/{first.run_id}/numbers/result/data.json"
    assert keys(manager) == [key]

    def of_step(step: str, kind: type, run_id: str) -> Any:
        dagster_type = dg.DagsterType(
            lambda _, v: isinstance(v, kind), name=f"a_{kind.__name__}", typing_type=kind
        )
        output = dg.build_output_context(
            step_key=step, name="result", run_id=run_id, dagster_type=dagster_type
        )
        return manager.load_input(
            dg.build_input_context(upstream_output=output, dagster_type=dagster_type)
        )

    assert of_step("numbers", list, first.run_id) == [1, 2, 3]
    with pytest.raises(ObjectNotFoundError, match="output 'result' of step 'count'"):
        of_step("count", int, first.run_id)
    whole = job.execute_in_process(instance=instance)
    assert of_step("count", int, whole.run_id) == 3


def test_outputs_whose_names_begin_alike_are_two(manager: BucketIOManager) -> None:
    @dg.op(out={"foo": dg.Out(int), "foobar": dg.Out(int)})
    def two() -> Any:
        yield dg.Output(10, "foobar")
        yield dg.Output(5, "foo")

    @dg.op
    def both(foo: int, foobar: int) -> list[int]:
        return [foo, foobar]

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        foo, foobar = two()
        both(foo, foobar)

    result = job.execute_in_process()
    assert result.output_for_node("both") == [5, 10]
    assert keys(manager) == [
        f".runs/{result.run_id}/{name}/data.json"
        for name in ("both/result", "two/foo", "two/foobar")
    ]


def test_mapped_steps_have_keys_without_brackets(manager: BucketIOManager) -> None:
    @dg.op(out=dg.DynamicOut(int))
    def several() -> Any:
        for number in range(3):
            yield dg.DynamicOutput(number, mapping_key=f"n{number}")

    @dg.op
    def echo(value: int) -> int:
        return value

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        several().map(echo)

    result = job.execute_in_process()
    assert result.output_for_node("echo") == {"n0": 0, "n1": 1, "n2": 2}
    assert keys(manager) == [
        *(f".runs/{result.run_id}/echo%5Bn{n}%5D/result/data.json" for n in range(3)),
        *(f".runs/{result.run_id}/several/result/n{n}/data.json" for n in range(3)),
    ]


def test_a_mapped_step_under_the_names_of_dagster(make_manager: MakeManager) -> None:
    @dg.op(out=dg.DynamicOut(str))
    def several() -> Any:
        yield dg.DynamicOutput("foo", mapping_key="foo")

    @dg.op
    def echo(value: str) -> str:
        return value

    manager = make_manager(layout="legacy:s3")

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        several().map(echo)

    result = job.execute_in_process()
    assert result.output_for_node("echo") == {"foo": "foo"}
    assert f"storage/{result.run_id}/echo--foo/result.txt" in keys(manager)


def test_key_prefixes_of_assets_are_folders(manager: BucketIOManager) -> None:
    @dg.asset(key_prefix=["one", "two", "three"])
    def first() -> list[int]:
        return [1, 2, 3]

    @dg.asset(key_prefix=["four", "five"], ins={"first": dg.AssetIn(first.key)})
    def second(first: list[int]) -> list[int]:
        return [*first, 4]

    result = run([first, second], manager)
    found = {
        "one/two/three/first/data.json": b"[1, 2, 3]",
        "four/five/second/data.json": b"[1, 2, 3, 4]",
    }
    assert {key: raw(manager, key) for key in keys(manager)} == found
    assert [event.metadata["dagster/uri"] for event in handled(result)] == [
        store_of(manager).uri(key) for key in found
    ]
    assert [str(step).rpartition("__")[2] for step in loaded_from(result)] == ["first"]


@pytest.mark.parametrize("prefix", [None, "", "my-prefix", "odd name/é"])
def test_prefixes(make_manager: MakeManager, prefix: str | None) -> None:
    @dg.asset
    def made() -> int:
        return 1

    manager = make_manager(prefix)
    (event,) = materialized(run([made], manager))
    assert keys(manager) == ["made/data.json"]
    (key,) = keys(make_manager())
    assert key == (f"{prefix}/made/data.json" if prefix else "made/data.json")
    assert event.metadata["dagster/uri"] == store_of(make_manager()).uri(key)
    assert load(manager, made) == 1


def test_nothing_is_stored_for_a_declared_none(manager: BucketIOManager) -> None:
    @dg.asset
    def first() -> None:
        return None

    @dg.asset(deps=[first])
    def second() -> None:
        return None

    result = run([first, second], manager)
    assert [event.label for event in materialized(result)] == ["first", "second"]
    assert (keys(manager), handled(result)) == ([], [])

    @dg.op
    def before() -> None:
        return None

    @dg.op(ins={"start": dg.In(dg.Nothing)})
    def after() -> None:
        return None

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        after(before())

    done = job.execute_in_process()
    assert (done.success, keys(manager), handled(done)) == (True, [], [])


def test_a_none_that_nobody_declared_is_stored_and_shown(manager: BucketIOManager) -> None:
    @dg.asset
    def forgotten():  # type: ignore[no-untyped-def]
        return None

    (event,) = handled(run([forgotten], manager))
    assert keys(manager) == ["forgotten/data.json"]
    # The object exists, so its URI is told.
    assert event.metadata["dagster/uri"] == store_of(manager).uri("forgotten/data.json")
    assert load(manager, forgotten) is None


def local_function() -> Any:
    def local() -> int:
        return 1

    return local


def nested_deeply() -> Any:
    nested: list[Any] = []
    for _ in range(20_000):
        nested = [nested]
    return nested


def hand_over(manager: BucketIOManager, make: Callable[[], Any], format_name: str) -> None:
    """From one step to another: what ``make`` makes, in this format."""

    @dg.op(out=dg.Out(metadata={"dagster_buckets/format": format_name}))
    def odd() -> Any:
        return make()

    @dg.op
    def use(value: Any) -> int:
        return 1

    @dg.job(resource_defs={"io_manager": manager})
    def job() -> None:
        use(odd())

    job.execute_in_process()


@pytest.mark.parametrize(
    ("format_name", "error"),
    [("auto", FormatError), ("json", FormatError), ("pickle", EncodeError)],
    ids=["auto", "json", "pickle"],
)
def test_what_cannot_be_encoded_leaves_nothing_behind(
    manager: BucketIOManager, format_name: str, error: type[BucketsError]
) -> None:
    makers: list[Callable[[], Any]] = [
        local_function,
        nested_deeply,
        threading.Lock,
        lambda: lambda x: x,
    ]
    for make in makers:
        with pytest.raises(error) as caught:
            hand_over(manager, make, format_name)
        assert "output 'result' of step 'odd'" in str(caught.value)
        assert caught.value.hint
        assert keys(manager) == []
