"""Faults 2, 4 and 6 at the level of values: streams that fail, and bytes that come damaged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dagster_buckets.address import AssetAddress
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import BucketsError, DecodeError, IntegrityError
from dagster_buckets.formats.parquet import ParquetFormat
from dagster_buckets.objects import Body
from dagster_buckets.plugins import format_class, get_layout, names
from dagster_buckets.references import ObjectRef
from dagster_buckets.testing.formats import assert_same
from dagster_buckets.values import ValueStore

from tests.conformance.test_formats import SAMPLES
from tests.faults.conftest import BACKENDS, SERVERS, Site
from tests.faults.proxy import Fault, Request

MakeSite = Callable[[str], Site]
MIB = 1024 * 1024
ADDRESS = AssetAddress.of(["shop", "orders"], "2024-01-31")


def values_of(store: Any) -> ValueStore:
    return ValueStore(store, get_layout("hive"), formats=Formats(allow_pickle=True))


@pytest.mark.parametrize("name", names("formats"))
@pytest.mark.parametrize("server", BACKENDS)
def test_a_value_that_fails_half_way_leaves_the_old_one(
    server: str, name: str, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(server)
    values = values_of(site.bare())
    old = SAMPLES[name].values[0]
    stored = values.write(ADDRESS, old, format_name=name)
    for value in [v for v in SAMPLES[name].refused if v is not None]:
        with pytest.raises(BucketsError):
            values.write(ADDRESS, value, format_name=name)
    encode = format_class(name).encode

    def failing(self: Any, value: Any) -> Body:
        def buffers() -> Iterator[Any]:
            yield from encode(self, value)
            # The first part is on its way by now.
            for _ in range(18):
                yield bytes(MIB)
            msg = "on purpose"
            raise RuntimeError(msg)

        return Body(buffers())

    with monkeypatch.context() as patch:
        patch.setattr(format_class(name), "encode", failing)
        with pytest.raises(RuntimeError, match="on purpose"):
            values.write(ADDRESS, old, format_name=name)
    assert_same(values.read(ADDRESS, format_name=name), old)
    assert [info.etag for info in values.store.scan()] == [stored.info.etag]
    if site.backend == "s3":
        uploads = site.client().list_multipart_uploads(Bucket=site.control["bucket"])
        assert "Uploads" not in uploads


@pytest.mark.parametrize("name", names("formats"))
@pytest.mark.parametrize("fault", ["short", "flip-down"])
@pytest.mark.parametrize("server", SERVERS)
def test_what_comes_damaged_is_read_again_in_every_format(
    server: str, fault: Fault, name: str, make_site: MakeSite
) -> None:
    site = make_site(server)
    bare = values_of(site.bare())
    # Of an empty value there is nothing to damage.
    value = next(
        v for v in SAMPLES[name].values if bare.write(ADDRESS, v, format_name=name).info.size > 1
    )
    values = values_of(site.store())
    failing = [True]

    def once(request: Request) -> Fault | None:
        if request.method != "GET" or "data." not in request.path or not failing:
            return None
        failing.pop()
        return fault

    site.proxy.plan = once
    assert_same(values.read(ADDRESS, format_name=name), value)
    assert site.proxy.done[fault] == 1
    site.proxy.plan = lambda request: fault if request.method == "GET" else None
    with pytest.raises(IntegrityError):
        values.read(ADDRESS, format_name=name)


ROWS = 400_000
TABLE = pa.table(
    {
        "id": pa.array(np.arange(ROWS)),
        "x": pa.array(np.random.default_rng(4).random(ROWS)),
        "y": pa.array(np.random.default_rng(5).random(ROWS)),
        "s": [f"{number * 7919 % 100_003:x}" for number in range(ROWS)],
        **{f"more{i}": pa.array(np.random.default_rng(i).random(ROWS)) for i in range(4)},
    }
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("server", SERVERS)
def test_parts_of_parquet_that_come_damaged_are_read_again(
    server: str, make_site: MakeSite, rng: random.Random, scaled: Callable[[int], int]
) -> None:
    site = make_site(server)
    made = ParquetFormat(compression="none", row_group_size=100_000)
    info = site.bare().put("orders.parquet", made.encode(TABLE))
    assert info.size > 16 * MIB
    ref = ObjectRef(info, site.store())
    wanted = ParquetFormat(columns=["s", "x"], filters=[("id", ">", 250_000)])
    expected = TABLE.slice(250_001).select(["s", "x"])
    seen: Counter[str] = Counter()
    for number in range(scaled(24)):
        which = rng.randrange(3)
        count = [0]

        def one(request: Request, which: int = which, count: list[int] = count) -> Fault | None:
            if request.method != "GET":
                return None
            count[0] += 1
            return "flip-down" if count[0] == which + 1 else None

        site.proxy.plan = one
        as_type = (pa.Table, pa.RecordBatchReader)[number % 2]
        table = _columns(wanted.stream(ref, as_type))
        assert table.equals(expected), f"number {number}: request {which} came damaged"
        seen["flip"] += site.proxy.done["flip-down"]
        site.proxy.forget()
    assert seen["flip"] == scaled(24)
    site.proxy.plan = lambda request: "flip-down" if request.method == "GET" else None
    for as_type in (pa.Table, pa.RecordBatchReader):
        with pytest.raises(DecodeError):
            list(_columns(wanted.stream(ref, as_type)))


def _columns(found: Any) -> Any:
    return found.read_all() if isinstance(found, pa.RecordBatchReader) else found
