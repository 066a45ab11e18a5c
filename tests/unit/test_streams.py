from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import PartitionStream

Ints = PartitionStream[int]


def test_a_subscripted_stream_is_a_class_of_its_own() -> None:
    assert isinstance(Ints, type)
    assert PartitionStream[int] is Ints
    other: Any = PartitionStream[str]
    assert other is not Ints
    assert Ints.item is int
    assert Ints.__name__ == "PartitionStream[int]"
    assert PartitionStream[list[int]].__name__ == "PartitionStream[list[int]]"
    assert PartitionStream.item is None
    assert PartitionStream[dict[str, int]].item == dict[str, int]


@pytest.mark.parametrize(
    ("instance", "cls", "passes"),
    [
        (PartitionStream(()), PartitionStream, True),
        (PartitionStream(()), Ints, True),
        (Ints(()), Ints, True),
        (Ints(()), PartitionStream, True),
        (PartitionStream[str](()), Ints, False),
        ([], Ints, False),
        (iter(()), PartitionStream, False),
    ],
)
def test_what_passes_for_which(instance: Any, cls: type, *, passes: bool) -> None:
    assert isinstance(instance, cls) is passes


def test_it_is_iterated_once() -> None:
    stream = PartitionStream((key, len(key)) for key in ("a", "bb"))
    assert next(stream) == ("a", 1)
    assert list(stream) == [("bb", 2)]
    assert list(stream) == []
    assert dict(PartitionStream([("a", 1), ("b", 2)], partition_keys=["a", "b"])) == {
        "a": 1,
        "b": 2,
    }


def test_nothing_is_taken_in_advance() -> None:
    taken = []

    def pairs() -> Iterator[tuple[str, int]]:
        for key in ("a", "b"):
            taken.append(key)
            yield key, 1

    stream = PartitionStream(pairs(), partition_keys=["a", "b"])
    assert (taken, stream.partition_keys) == ([], ("a", "b"))
    next(stream)
    assert taken == ["a"]
    assert repr(stream) == "<PartitionStream of 2 partitions>"
    assert repr(Ints(())) == "<PartitionStream[int]>"


@pytest.mark.parametrize("wrong", [{"a": 1}, 5, None], ids=str)
def test_what_is_no_stream_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError):
        PartitionStream(wrong)


@pytest.mark.parametrize("annotation", [PartitionStream, Ints, PartitionStream[list[int]]], ids=str)
def test_dagster_takes_it_as_an_annotation(annotation: Any) -> None:
    def made() -> Any:
        return PartitionStream(())

    made.__annotations__["return"] = annotation
    asset = dg.asset(made)
    kind = asset.op.output_dict["result"].dagster_type
    assert kind.typing_type is annotation
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_op_context(instance=instance)
        assert kind.type_check(context, PartitionStream(())).success  # type: ignore[arg-type]
        assert not kind.type_check(context, iter(())).success  # type: ignore[arg-type]
