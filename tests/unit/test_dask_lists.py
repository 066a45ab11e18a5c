"""Bags and lists of ``Delayed`` in parts: what is written, what is read, and what is refused."""

from __future__ import annotations

import json
import pickle
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask
import dask.bag as db
import pyarrow as pa
import pytest
from dagster_buckets import (
    AssetAddress,
    Body,
    ConfigurationError,
    DecodeError,
    EncodeError,
    HiveLayout,
    IntegrityError,
    LegacyLayout,
    MemoryStore,
    ObjectRef,
    PartitionError,
    StoreUnavailableError,
    UnsupportedTypeError,
    ValueStore,
)
from dagster_buckets.chain import Chain, Link
from dagster_buckets.choosing import Formats
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.loading import load
from dagster_buckets.manifests import Manifest
from dagster_buckets.requests import LoadRequest, Options, Target, WriteRequest
from dagster_buckets.writing import write
from dask.bag import Bag
from dask.delayed import Delayed

ADDRESS = AssetAddress.of(["words"])
DAYS = ("d1", "d2", "d3")
WORDS = [{"word": f"w{n}"} for n in range(7)]
LISTS: Any = list[Delayed]


@dataclass(frozen=True)
class Word:
    word: str


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with dask.config.set(scheduler="threads"):
        yield


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(secrets.token_hex(4))


@pytest.fixture
def values(store: MemoryStore) -> ValueStore:
    return ValueStore(store, HiveLayout())


def words() -> Bag:
    return db.from_sequence(WORDS, npartitions=3)


def numbers(count: int) -> list[Any]:
    return [dask.delayed(int)(n) for n in range(count)]


def keys(store: MemoryStore) -> list[str]:
    return [info.key for info in store.scan()]


def day(key: str) -> Target:
    return Target(key, AssetAddress.of(["words"], key))


def loaded(values: ValueStore, annotation: Any, *targets: Target, **options: Any) -> Any:
    partitioned = bool(targets)
    targets = targets or (Target(None, ADDRESS),)
    request = LoadRequest(targets, partitioned, annotation, None, Options(**options))
    found = load(Chain((Link(values),)), request, default_on_missing="error", log=print)
    return found.value


def written(values: ValueStore, value: Any, annotation: Any, **options: Any) -> dict[str, Any]:
    """Write the partitions of a run; what was recorded."""
    targets = [day(key) for key in DAYS]
    request = WriteRequest(targets, annotation, Options(**options), over_many=True)
    found = {}

    def record(target: Target, stored: Any) -> None:
        found[target.name] = stored

    try:
        write(values, request, value, default_format="auto", record=record)
    except PartitionError as error:
        found["error"] = error
    return found


# -- what is written, and as what it loads -----------------------------------------------------


def test_a_bag_is_a_manifest_and_a_part_for_each_partition(
    values: ValueStore, store: MemoryStore
) -> None:
    stored = values.write(ADDRESS, words())
    assert stored.info.key == "words/data.json.manifest"
    assert (stored.format, stored.description.parts, stored.description.rows) == ("json", 3, None)
    document = json.loads(bytes(store.get(stored.info.key).data))
    assert (document["dagster_buckets_manifest"], document["holds"]) == (1, "lists")
    assert "schema" not in document
    assert document["rows"] == 7
    parts = [json.loads(bytes(store.get(f"words/data.parts/{part['name']}").data))
             for part in document["parts"]]  # fmt: skip
    assert [item for part in parts for item in part] == WORDS
    assert [part["rows"] for part in document["parts"]] == [len(part) for part in parts]
    assert len(keys(store)) == 4


def test_each_delayed_is_a_part_as_it_is(values: ValueStore, store: MemoryStore) -> None:
    stored = values.write(ADDRESS, numbers(3), annotation=LISTS)
    document = json.loads(bytes(store.get(stored.info.key).data))
    assert (document["holds"], document["rows"]) == ("items", 3)
    names = [f"words/data.parts/{part['name']}" for part in document["parts"]]
    assert [bytes(store.get(name).data) for name in names] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("format_name", ["auto", "json", "pickle", "cloudpickle"])
def test_lists_load_as_whatever_a_list_can_be(values: ValueStore, format_name: str) -> None:
    named = {"format": format_name}
    for value, annotation, wanted in (
        (words(), Bag, WORDS),
        (numbers(4), LISTS, [0, 1, 2, 3]),
        (numbers(0), LISTS, []),
    ):
        values.write(ADDRESS, value, format_name=format_name, annotation=annotation)
        for asked in (None, list, list[Any], list[int]):
            assert loaded(values, asked, **named) == wanted
        bag = loaded(values, Bag, **named)
        assert isinstance(bag, Bag)
        assert bag.compute() == wanted
        each = loaded(values, LISTS, **named)
        assert all(isinstance(item, Delayed) for item in each)
        found = dask.compute(*each)
        assert found == (tuple(wanted) if annotation is LISTS and wanted else found)
        assert [item for part in found for item in (part if annotation is Bag else [part])] == (
            wanted or [[]]
        )
        reference = loaded(values, ObjectRef, **named)
        assert reference.uri.endswith(".manifest")


def test_models_come_back_as_they_are_asked_for(values: ValueStore) -> None:
    values.write(ADDRESS, words())
    assert loaded(values, list[Word])[0] == Word("w0")
    values.write(ADDRESS, [dask.delayed(Word)("x")], annotation=LISTS)
    assert loaded(values, list[Word]) == [Word("x")]


def test_parts_are_compressed(values: ValueStore, store: MemoryStore) -> None:
    values = values.having({"compression": "zstd"})
    stored = values.write(ADDRESS, words())
    assert stored.info.key == "words/data.json.zst.manifest"
    assert stored.compression == "zstd"
    assert loaded(values, None) == WORDS
    assert loaded(values, Bag).compute() == WORDS
    assert all(key.endswith((".json.zst", ".manifest")) for key in keys(store))


def test_a_list_of_delayed_is_known_without_its_annotation(values: ValueStore) -> None:
    values.write(ADDRESS, numbers(2))
    assert loaded(values, None) == [0, 1]
    # Who knows only "a list" of the producer, and no manifest, finds it all the same.
    values.write(ADDRESS, numbers(3), annotation=list)
    assert values.read(ADDRESS, annotation=list) == [0, 1, 2]


def test_none_is_not_missing(values: ValueStore) -> None:
    for annotation in (Bag | None, LISTS | None):
        values.write(ADDRESS, None, annotation=annotation)
        assert loaded(values, annotation) is None
        assert loaded(values, None) is None


def test_partitions(values: ValueStore) -> None:
    written(values, {key: words() for key in DAYS}, dict[str, Bag])
    targets = [day(key) for key in DAYS]
    each = loaded(values, dict[str, Bag], *targets)
    assert {key: bag.compute() for key, bag in each.items()} == dict.fromkeys(DAYS, WORDS)
    bag = loaded(values, Bag, *targets)
    assert bag.npartitions == 9
    assert bag.compute() == WORDS * 3
    bare: Any = dict[str, list]  # type: ignore[type-arg]
    for asked in (bare, dict[str, list[Any]]):
        assert loaded(values, asked, *targets) == dict.fromkeys(DAYS, WORDS)
    assert loaded(values, dict[str, Bag], targets[0])["d1"].compute() == WORDS
    written(values, {key: numbers(2) for key in DAYS}, dict[str, LISTS])
    listed = loaded(values, dict[str, LISTS], *targets)
    assert {key: dask.compute(*found) for key, found in listed.items()} == dict.fromkeys(
        DAYS, (0, 1)
    )
    assert dask.compute(*loaded(values, LISTS, targets[0])) == (0, 1)
    assert dask.compute(*loaded(values, dict[str, LISTS], targets[0])["d1"]) == (0, 1)


def test_a_bag_of_values_in_one_object_and_in_parts(values: ValueStore) -> None:
    values.write(day("d1").address, [1, 2])
    values.write(day("d2").address, db.from_sequence([3, 4], npartitions=2))
    values.write(day("d3").address, numbers(1), annotation=LISTS)
    bag = loaded(values, Bag, *[day(key) for key in DAYS])
    assert (bag.npartitions, bag.compute()) == (4, [1, 2, 3, 4, 0])


def test_a_bag_never_mixes_versions(values: ValueStore) -> None:
    values.write(ADDRESS, [1, 2])
    bag = loaded(values, Bag)
    values.write(ADDRESS, [3])
    with pytest.raises(StoreUnavailableError, match="written again"):
        bag.compute()
    values.write(ADDRESS, words())
    bag = loaded(values, Bag)
    values.write(ADDRESS, db.from_sequence([1], npartitions=1))
    assert bag.compute() == WORDS


def test_a_part_that_is_another_one(values: ValueStore, store: MemoryStore) -> None:
    values.write(ADDRESS, words())
    part = next(key for key in keys(store) if "/data.parts/" in key)
    store.put(part, Body.of(b"[7]"))
    with pytest.raises(IntegrityError, match="its manifest says"):
        loaded(values, list)
    with pytest.raises(IntegrityError, match="its manifest says"):
        loaded(values, Bag).compute()


def test_a_manifest_that_holds_something_unknown(values: ValueStore, store: MemoryStore) -> None:
    values.write(ADDRESS, words())
    key = "words/data.json.manifest"
    document = {**json.loads(bytes(store.get(key).data)), "holds": "cubes"}
    store.put(key, Body.of(json.dumps(document).encode()))
    with pytest.raises(DecodeError, match="not a readable manifest"):
        loaded(values, list)


def test_a_named_format_finds_the_manifest_in_listings_too(values: ValueStore) -> None:
    values.write(day("d1").address, db.from_sequence([{1}, {2}]), format_name="pickle")
    values.write(day("d2").address, [{3}], format_name="pickle")
    found = loaded(
        values,
        dict[str, list[Any]],
        *[day(key) for key in DAYS],
        format="pickle",
        on_missing="skip",
    )
    assert found == {"d1": [{1}, {2}], "d2": [{3}]}
    assert values.locate([day("d1").address], format_name="pickle", listed=True) != [None]


# -- trust -------------------------------------------------------------------------------------


def test_auto_writes_and_reads_no_pickles(values: ValueStore, store: MemoryStore) -> None:
    bag = db.from_sequence([{1}, {2}])
    with pytest.raises(EncodeError, match="JSON cannot hold"):
        values.write(ADDRESS, bag)
    assert keys(store) == []
    values.write(ADDRESS, bag, format_name="pickle")
    with pytest.raises(ConfigurationError, match="runs code"):
        loaded(values, list)
    with pytest.raises(ConfigurationError, match="runs code"):
        loaded(values, Bag)
    trusting = ValueStore(store, HiveLayout(), formats=Formats(allow_pickle=True))
    assert loaded(trusting, list) == [{1}, {2}]


@pytest.mark.parametrize("annotation", [list, Bag, LISTS])
def test_parts_are_signed_and_checked_before_they_run(store: MemoryStore, annotation: Any) -> None:
    keys_of = SigningKeys.parse("one:correct-horse-battery")
    signing = ValueStore(store, HiveLayout(), formats=Formats(signing_keys=keys_of))
    signing.write(ADDRESS, numbers(2), format_name="pickle", annotation=LISTS)
    found = loaded(signing, annotation, format="pickle")
    assert list(dask.compute(found)[0]) == [0, 1]
    storing = signing.begin(ADDRESS, numbers(2), format_name="pickle", annotation=LISTS)
    plan = storing.plan(numbers(2))
    assert plan
    # Workers get the key, and what they say of their tasks does not tell it.
    assert "correct-horse" not in repr(plan) + repr(dict(plan.report.dask))
    # An attacker who can write the bucket rewrites the manifest, too.
    ValueStore(store, HiveLayout()).write(ADDRESS, numbers(2), format_name="pickle")
    with pytest.raises(IntegrityError, match="is not signed"):
        dask.compute(loaded(signing, annotation, format="pickle"))


# -- what is refused ---------------------------------------------------------------------------


def test_a_format_of_tables(values: ValueStore) -> None:
    for named in ("parquet", "arrow", "csv"):
        with pytest.raises(ConfigurationError, match="are tables") as failed:
            values.write(ADDRESS, words(), format_name=named)
        assert "bag.to_dataframe()" in str(failed.value)


def test_a_layout_without_room(store: MemoryStore) -> None:
    with pytest.raises(ConfigurationError, match="has no room"):
        ValueStore(store, LegacyLayout("s3")).write(ADDRESS, words())
    assert keys(store) == []


def test_a_delayed_alone_and_mixed_lists(values: ValueStore) -> None:
    with pytest.raises(UnsupportedTypeError, match="neither a bag") as failed:
        values.write(ADDRESS, dask.delayed(int)(1))
    assert "list[Delayed]" in str(failed.value)
    with pytest.raises(UnsupportedTypeError, match="neither a bag"):
        values.write(ADDRESS, [dask.delayed(int)(1), 2], annotation=LISTS)


def test_what_is_no_list_of_delayed(values: ValueStore) -> None:
    values.write(ADDRESS, [1, 2])
    with pytest.raises(UnsupportedTypeError, match="cannot be loaded as Delayed"):
        loaded(values, LISTS)
    written(values, {key: numbers(1) for key in DAYS}, dict[str, LISTS])
    with pytest.raises(PartitionError, match="cannot be loaded as Delayed"):
        loaded(values, LISTS, *[day(key) for key in DAYS])


def test_what_is_no_bag(values: ValueStore) -> None:
    values.write(ADDRESS, {"a": 1})
    with pytest.raises(UnsupportedTypeError, match="a bag is made of lists"):
        loaded(values, Bag).compute()
    values.write(ADDRESS, pa.table({"n": [1]}))
    with pytest.raises(UnsupportedTypeError, match="cannot be loaded as"):
        loaded(values, Bag)


def test_what_a_list_cannot_be(values: ValueStore) -> None:
    values.write(ADDRESS, words())
    for asked in (dict, int, pa.Table):
        with pytest.raises(UnsupportedTypeError, match="is a part of a list"):
            loaded(values, asked)


def test_partition_columns(values: ValueStore) -> None:
    written(values, {key: words() for key in DAYS}, dict[str, Bag])
    targets = [day(key) for key in DAYS]
    for asked in (Bag, dict[str, list[Any]]):
        with pytest.raises(PartitionError, match="partition columns are asked for"):
            loaded(values, asked, *targets, partition_columns=True)


def test_no_partitions_are_an_empty_bag(values: ValueStore) -> None:
    request = LoadRequest(
        (), partitioned=True, annotation=Bag, producer_annotation=None, options=Options()
    )
    found = load(Chain((Link(values),)), request, default_on_missing="error", log=print)
    assert found.value.compute() == []


# -- many partitions as one graph --------------------------------------------------------------


class Gone(MemoryStore):
    """A memory store that cannot be reached for the keys that hold a text."""

    without = "nothing"
    asked = 0

    def put(self, key: str, *args: Any, **options: Any) -> Any:
        if self.without in key:
            self.asked += 1
            msg = "gone"
            raise StoreUnavailableError(msg)
        return super().put(key, *args, **options)


def test_what_fails_without_a_cluster_fails_alone(values: ValueStore, store: MemoryStore) -> None:
    written(values, {key: db.from_sequence(["old"]) for key in DAYS}, dict[str, Bag])
    before = set(keys(store))
    bags = {key: words() for key in DAYS}
    bags["d2"] = bags["d2"].map(lambda word: word["nothing"])

    found = written(values, bags, dict[str, Bag])

    assert {"d1", "d3"} == set(found) - {"error"}
    error = found["error"]
    assert isinstance(error.failures["d2"], KeyError)
    assert error.succeeded == ("d1", "d3")
    assert loaded(values, dict[str, list[Any]], *[day(key) for key in DAYS]) == {
        "d1": WORDS, "d2": ["old"], "d3": WORDS,
    }  # fmt: skip
    new = set(keys(store)) - before
    # Neither the graph that was given up nor the partition that failed has left a part.
    assert len(new) == 6
    assert not any("partition=d2" in key for key in new)


def test_a_store_that_is_gone_is_not_asked_for_every_partition() -> None:
    store = Gone(secrets.token_hex(4))
    values = ValueStore(store, HiveLayout())
    many = [f"d{n}" for n in range(30)]
    targets = [day(key) for key in many]
    request = WriteRequest(targets, dict[str, Bag], Options(), over_many=True)
    store.without = "data.parts"
    bag = db.from_sequence([1], npartitions=1)
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(PartitionError, match="30 of 30"),
    ):
        write(values, request, dict.fromkeys(many, bag), default_format="auto", record=print)
    # Once by the graph, and once by the first partition alone.
    assert store.asked == 2


def test_a_manifest_that_cannot_be_written_leaves_no_parts() -> None:
    store = Gone(secrets.token_hex(4))
    store.without = "partition=d2/data.json.manifest"
    found = written(ValueStore(store, HiveLayout()), {key: words() for key in DAYS}, dict[str, Bag])
    assert list(found["error"].failures) == ["d2"]
    assert not any("partition=d2" in key for key in keys(store))


def test_what_dask_does_not_compute_is_written_beside(values: ValueStore) -> None:
    mixed = {"d1": words(), "d2": [1], "d3": numbers(1)}
    assert set(written(values, mixed, dict[str, Any])) == set(DAYS)
    assert loaded(values, dict[str, list[Any]], *[day(key) for key in DAYS]) == {
        "d1": WORDS, "d2": [1], "d3": [0],
    }  # fmt: skip


def test_what_cannot_be_planned_or_encoded_fails_alone(values: ValueStore) -> None:
    sets = words().map(lambda word: {word["word"]})
    found = written(values, {"d1": sets, "d2": dask.delayed(int)(1), "d3": words()}, dict[str, Any])
    refused = found["error"].failures["d1"]
    assert isinstance(refused, EncodeError)
    assert refused.subject == str(day("d1").address)
    assert isinstance(found["error"].failures["d2"], UnsupportedTypeError)
    assert set(found) == {"d3", "error"}


def test_errors_travel_between_processes() -> None:
    error = StoreUnavailableError("gone", uri="s3://lake/x", hint="wait")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), again.uri, again.hint) == (StoreUnavailableError, "s3://lake/x", "wait")
    assert Manifest.of_list("json", "lists", ()).schema == pa.schema([])
