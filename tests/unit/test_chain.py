"""Chains: of which store a value comes, what is asked for it, and what is an error."""

from __future__ import annotations

import secrets
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import MemoryStore
from dagster_buckets.address import AssetAddress
from dagster_buckets.chain import Chain, Link
from dagster_buckets.errors import ConfigurationError, ObjectNotFoundError, StoreUnavailableError
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.loading import Loaded, load
from dagster_buckets.plugins import get_layout
from dagster_buckets.requests import LoadRequest, Options, Target
from dagster_buckets.values import ValueStore


class Recorder(MemoryStore):
    """A memory store that notes its requests, and can list late or not at all."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}-{secrets.token_hex(4)}")
        self.requests: list[str] = []
        self.late = 0
        self.down = False

    def get(self, key: str) -> Any:
        self.requests.append("get")
        return super().get(key)

    def exists(self, key: str) -> Any:
        self.requests.append("exists")
        return super().exists(key)

    def scan(self, prefix: str = "") -> Any:
        self.requests.append("scan")
        if self.down:
            msg = "the store is not available"
            raise StoreUnavailableError(msg)
        if self.late:
            self.late -= 1
            return iter(())
        return super().scan(prefix)


def address(key: str) -> AssetAddress:
    return AssetAddress.of(["a"], key)


def link(name: str, *keys: str, format: str = "auto") -> Link:  # noqa: A002
    values = ValueStore(Recorder(name), HiveLayout())
    for key in keys:
        values.write(address(key), {"from": name}, format_name=format)
    return Link(values, format)


def recorder(at: Link) -> Recorder:
    assert isinstance(at.values.store, Recorder)
    return at.values.store


BY_KEY = dict[str, dict]  # type: ignore[type-arg]


def get(chain: Chain, *keys: str, annotation: Any = BY_KEY, **options: Any) -> Loaded:
    request = LoadRequest(
        tuple(Target(key, address(key)) for key in keys),
        partitioned=True,
        annotation=annotation,
        producer_annotation=None,
        options=Options(**options),
    )
    return load(chain, request, default_on_missing="error", log=lambda _: None)


def names(chain: Chain, *keys: str, **options: Any) -> list[str | None]:
    located = chain.locate([address(key) for key in keys], **options)
    return [at.uri.split("/")[2].partition("-")[0] if at else None for at in located]


def test_the_first_that_has_it_is_the_first_of_the_chain() -> None:
    chain = Chain((link("a", "1"), link("b", "1", "2"), link("c", "1", "2", "3")))
    assert names(chain, "3", "1", "2", "4") == ["c", "a", "b", None]
    loaded = get(chain, "1", "2", "3")
    assert [value["from"] for value in loaded.value.values()] == ["a", "b", "c"]
    assert list(loaded.counts.values()) == [1, 1, 1]
    assert loaded.uris == tuple(at.uri for at in chain.locate([address(k) for k in "123"]) if at)


def test_a_chain_of_one_is_its_store() -> None:
    only = link("a", "1", format="json")
    loaded = get(Chain((only,)), "1", annotation=dict)
    assert loaded.value == {"from": "a"}
    assert loaded.counts == {}
    assert recorder(only).requests == ["get"]
    with pytest.raises(ObjectNotFoundError, match=r"stored for asset 'a', partition '2'\n"):
        get(Chain((only,)), "2", annotation=dict)


@pytest.mark.parametrize("format", ["auto", "json"])
def test_a_later_store_is_not_asked_for_what_an_earlier_one_has(format: str) -> None:  # noqa: A002
    first, second = link("a", "1", "2", format=format), link("b", "1", "2", format=format)
    get(Chain((first, second)), "1", "2")
    assert recorder(first).requests == ["scan", "get", "get"]
    assert recorder(second).requests == []


def test_requests_do_not_grow_with_what_is_missing() -> None:
    keys = [f"{number:03}" for number in range(200)]
    first, second = link("a", keys[7], format="json"), link("b", *keys, format="json")
    get(Chain((first, second)), *keys)
    assert recorder(first).requests == ["scan", "scan", "get"]
    assert recorder(second).requests == ["get"] * 199


@pytest.mark.parametrize("format", ["auto", "json"])
def test_a_listing_that_comes_late_is_repeated_before_another_store_counts(format: str) -> None:  # noqa: A002
    first, second = link("a", "1", format=format), link("b", "1", format=format)
    recorder(first).late = 1
    assert names(Chain((first, second)), "1") == ["a"]


@pytest.mark.parametrize("format", ["auto", "json"])
def test_a_store_that_cannot_be_asked_is_an_error(format: str) -> None:  # noqa: A002
    first, second = link("a", "1", format=format), link("b", "1", format=format)
    recorder(first).down = True
    with pytest.raises(StoreUnavailableError):
        get(Chain((first, second)), "1", on_missing="skip")


def test_what_a_producer_said_is_known_of_the_first_store_only() -> None:
    first, second = link("a", format="auto"), link("b", "1", format="pickle")
    chain = Chain((first, Link(second.values, "auto")))
    # The first store is taken at its word, without a request.
    assert names(chain, "1", annotation=dict) == ["a"]
    assert recorder(first).requests == []
    # The next one may have written in another format: there the annotation says nothing.
    middle = Chain((link("x"), first, Link(second.values, "pickle")))
    assert names(middle, "1", annotation=set[Any]) == ["b"]


def test_an_annotation_of_no_format_is_not_carried_on() -> None:
    # The class of the value has no format here, so the listing decides, there as well.
    class Unknown:
        pass

    first, second, third = link("a"), link("b", format="json"), link("c", "1", format="json")
    assert names(Chain((first, second, third)), "1", annotation=Unknown) == ["c"]


def test_the_metadata_of_an_asset_counts_in_all_stores() -> None:
    first, second = link("a"), link("b")
    laid_out = second.values.laid_out("legacy:filesystem", ("a",))
    laid_out.write(address("1"), {"from": "b"})
    chain = Chain((first, second))
    assert get(chain, "1", layout="legacy:filesystem").value == {"1": {"from": "b"}}
    table = pa.table({"n": [1], "m": [2]})
    first.values.write(address("5"), table)
    second.values.write(address("6"), table)
    found = get(
        Chain((first, second)), "5", "6", annotation=pa.Table, format_options={"columns": ["m"]}
    )
    assert found.value.to_pydict() == {"m": [2, 2]}


def test_partition_columns_and_gaps_of_a_stream() -> None:
    first, second = link("a"), link("b")
    first.values.write(address("1"), pa.table({"n": [1]}))
    second.values.write(address("3"), pa.table({"n": [3]}))
    loaded = get(
        Chain((first, second)), "1", "2", "3",
        annotation=pa.RecordBatchReader, on_missing="skip", partition_columns=True,
    )  # fmt: skip
    assert loaded.missing == ("2",)
    assert loaded.value.read_all().to_pydict() == {"n": [1, 3], "partition": ["1", "3"]}


def test_frames_of_alternating_formats_keep_their_order() -> None:
    first, second = link("a", format="arrow"), link("b", format="parquet")
    for at, keys in ((first, "135"), (second, "246")):
        for key in keys:
            table = pa.table({"n": [int(key)]})
            at.values.write(address(key), table, format_name=at.format)
    chain = Chain((Link(first.values, "arrow"), Link(second.values, "parquet")))
    loaded = get(chain, *"123456", annotation=pl.DataFrame, partition_columns=True)
    assert loaded.value.to_dict(as_series=False) == {
        "n": [1, 2, 3, 4, 5, 6],
        "partition": list("123456"),
    }


def test_errors_name_every_place() -> None:
    chain = Chain((link("a"), link("b"), link("c", format="json")))
    with pytest.raises(ObjectNotFoundError, match=r"at memory://a-.*, memory://b-.*, memory://c-"):
        get(chain, "1", annotation=dict)
    with pytest.raises(ObjectNotFoundError, match=r"at memory://a-.*, memory://b-"):
        chain.uri(address("1"))


def test_a_chain_that_leads_back_is_refused() -> None:
    store = MemoryStore(f"same-{secrets.token_hex(4)}")
    first = Link(ValueStore(store, HiveLayout()))
    for others in ([first], [link("b"), Link(ValueStore(store, HiveLayout()))]):
        with pytest.raises(ConfigurationError, match="where values are written"):
            Chain((first, *others)).check()
    Chain((first, Link(ValueStore(store, get_layout("legacy:filesystem"))))).check()
    Chain((first, link("b"), link("c"))).check()
