from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import (
    Body,
    BucketIOManager,
    DecodeError,
    EncodeError,
    MemoryIOManager,
    bucket_options,
)
from dagster_buckets.plugins import get_format
from dagster_buckets.testing import FormatConformance, FormatSamples
from dagster_buckets.testing.formats import assert_same, payload_of
from dagster_buckets.testing.strategies import arrow_tables
from dagster_buckets_avro import AvroFormat
from dagster_buckets_local import LocalIOManager
from hypothesis import given, settings

NOON = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "nothing": (pa.null(), [None, None]),
    "flag": (pa.bool_(), [True, None]),
    "small": (pa.int32(), [-(2**31), None]),
    "big": (pa.int64(), [2**63 - 1, None]),
    "single": (pa.float32(), [0.1, None]),
    "double": (pa.float64(), [-0.0, 1e300]),
    "text": (pa.string(), ["é\0", ""]),
    "large text": (pa.large_string(), ["x", None]),
    "bytes": (pa.binary(), [b"\0\xff", None]),
    "day": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)]),
    "ms": (pa.timestamp("ms"), [NOON.replace(tzinfo=None), None]),
    "us": (pa.timestamp("us"), [NOON.replace(tzinfo=None, microsecond=1), None]),
    "utc": (pa.timestamp("us", "UTC"), [NOON, None]),
    # The same wall time twice: summer time ends.
    "zone": (pa.timestamp("ms", "Europe/Berlin"), [NOON, NOON.replace(hour=1)]),
    "price": (pa.decimal128(38, 2), [Decimal("-1.50"), None]),
    "list": (pa.list_(pa.int64()), [[1, None], None]),
    "rows": (
        pa.list_(pa.struct([("x", pa.int32()), ("y", pa.struct([("z", pa.string())]))])),
        [[{"x": 1, "y": {"z": "é"}}, None, {"x": None, "y": None}], []],
    ),
}
TABLE = pa.table({name: pa.array(values, kind) for name, (kind, values) in COLUMNS.items()})
INDEXED = pd.DataFrame({"n": [1, 2]}, index=pd.Index([10, 20], name="number"))


class TestAvroFormat(FormatConformance):
    @pytest.fixture
    def format(self) -> AvroFormat:
        return AvroFormat()

    @pytest.fixture
    def samples(self) -> FormatSamples:
        return FormatSamples(
            values=[
                TABLE,
                TABLE.slice(0, 0),
                TABLE.to_batches()[0],
                pa.table({}),
                pa.table({"column_1": [1], "odd name": [2], "": [3], "_column_2": [4]}),
                pa.table({"not null": [1]}, pa.schema([pa.field("not null", pa.int64(), nullable=False)])),
                INDEXED,
                pl.DataFrame({"n": [1, None], "s": ["é", ""], "l": [[1], []]}),
            ],
            refused=[
                1,
                None,
                [{"n": 1}],
                pd.DataFrame({1: [1]}),
                pa.table({"small": pa.array([1], pa.int8())}),
                pa.table({"ns": pa.array([NOON], pa.timestamp("ns"))}),
                pa.table({"long ago": pa.array([-(2**62)], pa.timestamp("us"))}),
                pa.table({"s": [{"odd name": 1}]}),
                pa.table({"d": pa.array(["x"]).dictionary_encode()}),
            ],
            damaged=[b"", b"Obj", b"Obj\x01", b"PAR1" * 20, b"no table at all"],
            conversions=[
                (INDEXED, pl.DataFrame, pl.DataFrame({"n": [1, 2], "number": [10, 20]})),
                (pl.DataFrame({"x": [1.5]}), pd.DataFrame, pd.DataFrame({"x": [1.5]})),
                (pa.table({"x": [1.5, 2.5]}), np.ndarray, np.array([[1.5], [2.5]])),
            ],
        )  # fmt: skip

    def test_concat_promotes_small_integers(self, format: Any) -> None:  # noqa: A002
        with pytest.raises(EncodeError, match="int8"):
            super().test_concat_promotes_small_integers(format)

    def test_a_beginning_is_never_a_value(self) -> None:
        data = bytes(AvroFormat().encode(TABLE).joined())
        for end in range(len(data)):
            with pytest.raises(DecodeError):
                AvroFormat().decode(payload_of(Body.of(data[:end])), None)


@settings(max_examples=200, deadline=None)
@given(table=arrow_tables())
def test_any_table_comes_back_or_is_refused(table: pa.Table) -> None:
    try:
        stored = payload_of(AvroFormat().encode(table))
    except EncodeError as error:
        assert any(name in str(error) for name in ("int8", "uint32", "years"))  # noqa: PT017
        return
    back = AvroFormat().decode(stored, None)
    assert_same(back, table)
    assert repr(back.to_pylist()) == repr(table.to_pylist())


def test_others_read_it_and_it_reads_theirs(tmp_path: Path) -> None:
    path = tmp_path / "data.avro"
    path.write_bytes(AvroFormat(compression="none").encode(pa.table({"n": [1, 2]})).joined())
    with path.open("rb") as file:
        assert list(fastavro.reader(file)) == [{"n": 1}, {"n": 2}]
    assert pl.read_avro(path).rows() == [(1,), (2,)]
    times = TABLE.select(["us", "utc", "day", "price"])
    path.write_bytes(AvroFormat().encode(times).joined())
    with path.open("rb") as file:
        rows: list[Any] = list(fastavro.reader(file))
    assert rows == times.to_pylist()
    assert rows[0]["us"].tzinfo is None
    pl.DataFrame({"n": [1, 2]}).write_avro(path)
    stored = payload_of(Body.of(path.read_bytes()))
    assert_same(AvroFormat().decode(stored, pl.DataFrame), pl.DataFrame({"n": [1, 2]}))


def test_it_is_installed() -> None:
    assert isinstance(get_format("avro"), AvroFormat)


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_run(kind: str, tmp_path: Path) -> None:
    manager: BucketIOManager = MemoryIOManager()
    if kind == "local":
        manager = LocalIOManager(root=str(tmp_path / "lake"))

    @dg.asset(
        metadata=bucket_options(format="avro", compression="none"),
        partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
    )
    def orders(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.DataFrame({"eur": [1.5, 2.5], "who": [context.partition_key] * 2})

    @dg.asset
    def total(orders: pl.DataFrame) -> float:
        assert orders["who"].to_list() == ["a", "a", "b", "b"]
        return float(orders["eur"].sum())

    with dg.DagsterInstance.ephemeral() as instance:
        shared: dict[str, Any] = {"resources": {"io_manager": manager}, "instance": instance}
        for key in ("b", "a"):
            written = dg.materialize([orders], partition_key=key, **shared)
        result = dg.materialize([orders, total], selection=[total], **shared)
    assert result.output_for_node("total") == 8.0
    stored = [info.key for info in manager.values.store.scan("orders/")]
    assert stored == ["orders/partition=a/data.avro", "orders/partition=b/data.avro"]
    [event] = written.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["dagster/partition_row_count"].value == 2
    columns: Any = metadata["dagster/column_schema"].value
    assert [c.name for c in columns.columns] == ["eur", "who"]
    assert columns.columns[0].type == "double"
