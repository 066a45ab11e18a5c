"""What DuckDB, Polars and Arrow show of our assets, read the way ``read-with-engines.md`` says.

On S3 with the clients of Polars and of Arrow. DuckDB reads S3 through an extension, which it would
have to download, so it is left out there.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster_buckets import BucketIOManager
from dagster_buckets.address import AssetAddress
from pyarrow import fs

from tests.integration.support import S3_KEYS, MakeManager, run

NULL = "__HIVE_DEFAULT_PARTITION__"
KEYS = [
    "2024-01-01-00:00", "2024-01-01", "a/b", "x y", "é=%", "", "..", ".", "001", "true", "null",
    "NULL", "None", "1e5", "-0", "%2F", "%", "~", "'\"", "`", "a\\b", "\U0001f600", "\u00e9",
    "e\u0301", "+", "a+b", "*", "?", "[a]", "{a,b}", " ", "a ", "FR", "fr", "a=b", "x" * 190, "x" * 191, NULL,
    "x" * 300, "é" * 40,
]  # fmt: skip


def hashed(start: str, key: str) -> str:
    return f"{start}~{hashlib.sha256(key.encode()).hexdigest()[:32]}"


#: What engines show of the keys that are hashed: the folder's own text, decoded.
SHOWN = {
    NULL: "__HIVE_DEFAULT_PARTITION__~8ec3cd044a1b2ac4a73503dcafed3827",
    "x" * 191: hashed("x" * 157, "x" * 191),
    "x" * 300: hashed("x" * 157, "x" * 300),
    "é" * 40: hashed("é" * 26, "é" * 40),
}
Row = tuple[str | None, ...]


class Engine(NamedTuple):
    """Reads the named columns of the files that the pattern matches, dimensions as strings."""

    name: str
    read: Callable[[str, Sequence[str], Sequence[str]], list[Row]]


def matching(pattern: str) -> list[str]:
    return sorted(map(str, Path("/").glob(pattern.removeprefix("/"))))


def duckdb_rows(pattern: str, dimensions: Sequence[str], columns: Sequence[str]) -> list[Row]:
    named = ", ".join(f'"{column}"' for column in (*dimensions, *columns))
    query = f"""SELECT {named} FROM read_parquet(
        '{pattern}', hive_partitioning = true, hive_types_autocast = false)"""  # noqa: S608 - ours
    with duckdb.connect() as connection:
        rows: list[Row] = connection.execute(query).fetchall()
    return rows


def duckdb_typed_rows(pattern: str, dimensions: Sequence[str], columns: Sequence[str]) -> list[Row]:
    named = ", ".join(f'"{column}"' for column in (*dimensions, *columns))
    types = ", ".join(f"'{name}': VARCHAR" for name in dimensions)
    query = f"""SELECT {named} FROM read_parquet(
        '{pattern}', hive_partitioning = true, hive_types = {{{types}}})"""  # noqa: S608 - ours
    with duckdb.connect() as connection:
        rows: list[Row] = connection.execute(query).fetchall()
    return rows


def polars_rows(
    pattern: str, dimensions: Sequence[str], columns: Sequence[str], **options: Any
) -> list[Row]:
    frame = pl.scan_parquet(
        pattern,
        hive_partitioning=True,
        hive_schema=dict.fromkeys(dimensions, pl.String),
        try_parse_hive_dates=False,
        **options,
    )
    return frame.select(*dimensions, *columns).collect().rows()


def arrow_rows(
    files: Sequence[str], dimensions: Sequence[str], columns: Sequence[str], **options: Any
) -> list[Row]:
    hive = ds.partitioning(pa.schema([(name, pa.string()) for name in dimensions]), flavor="hive")
    dataset = ds.dataset(sorted(files), format="parquet", partitioning=hive, **options)
    table = dataset.to_table(columns=[*dimensions, *columns])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


ENGINES = [
    Engine("duckdb", duckdb_rows),
    Engine("duckdb-hive_types", duckdb_typed_rows),
    Engine("polars", polars_rows),
    Engine("arrow", lambda pattern, *names: arrow_rows(matching(pattern), *names)),
]


def partitioned(path: Sequence[str], keys: Sequence[str]) -> Any:
    @dg.asset(key=path, partitions_def=dg.StaticPartitionsDefinition(list(keys)))
    def rows(context: dg.AssetExecutionContext) -> pl.DataFrame:
        key = context.partition_key
        return pl.DataFrame({"key": [key, key], "asset": ["/".join(path)] * 2})

    return rows


def fill(manager: BucketIOManager, keys: Sequence[str]) -> None:
    """``lake/orders``, partitioned, and assets that lie in its folder."""

    @dg.asset(key=["lake", "orders", "x"])
    def nested() -> pl.DataFrame:
        return pl.DataFrame({"key": ["nested"], "asset": ["nested"]})

    orders = partitioned(["lake", "orders"], keys)
    for key in keys:
        if key:
            run([orders], manager, partition_key=key)
    if "" in keys:
        # A run takes the empty key for none.
        frame = pl.DataFrame({"key": ["", ""], "asset": ["lake/orders"] * 2})
        manager.values.write(AssetAddress.of(["lake", "orders"], ""), frame)
    for asset in (["lake", "orders", "x"], ["lake", "orders", "y"]):
        run([partitioned(asset, ["a/b"])], manager, partition_key="a/b")
    run([nested], manager)
    # As an asset's name, and so no partition of the asset above it.
    lookalike = AssetAddress.of(["lake", "orders", "partition=a"])
    manager.values.write(lookalike, pl.DataFrame({"key": ["nested"], "asset": ["nested"]}))


def shown(key: str) -> str:
    return SHOWN.get(key, key)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dagster_buckets_local import LocalIOManager

    folder = tmp_path_factory.mktemp("engines")
    fill(LocalIOManager(root=str(folder)), KEYS)
    return folder


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_partition_keys_come_back_as_they_were(root: Path, engine: Engine) -> None:
    pattern = f"{root}/lake/orders/partition=*/data.parquet"
    rows = engine.read(pattern, ["partition"], ["key", "asset"])
    expected = [(shown(key), key, "lake/orders") for key in KEYS for _ in range(2)]
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_two_dimensions(tmp_path: Path, engine: Engine) -> None:
    from dagster_buckets_local import LocalIOManager

    manager = LocalIOManager(root=str(tmp_path))
    days = ["2024-01-01", "2024-01-02"]
    regions = ["001", "a/b", "é=%", "null"]
    grid = dg.MultiPartitionsDefinition(
        {
            "region": dg.StaticPartitionsDefinition(regions),
            "day": dg.DailyPartitionsDefinition(days[0], end_date="2024-01-03"),
        }
    )

    @dg.asset(partitions_def=grid)
    def sales(context: dg.AssetExecutionContext) -> pl.DataFrame:
        keys = context.partition_key.keys_by_dimension
        return pl.DataFrame({"key": ["{day}|{region}".format(**keys)]})

    @dg.asset(key=["sales", "x"], partitions_def=grid)
    def nested() -> pl.DataFrame:
        return pl.DataFrame({"key": ["nested"]})

    expected = [(day, region, f"{day}|{region}") for day in days for region in regions]
    for day, region, _ in expected:
        key = dg.MultiPartitionKey({"day": day, "region": region})
        run([sales, nested], manager, partition_key=key)
    pattern = f"{tmp_path}/sales/day=*/region=*/data.parquet"
    assert sorted(engine.read(pattern, ["day", "region"], ["key"])) == sorted(expected)


def polars_s3(endpoint: str) -> dict[str, Any]:
    return {
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
        "aws_region": S3_KEYS["region_name"],
        "aws_access_key_id": S3_KEYS["aws_access_key_id"],
        "aws_secret_access_key": S3_KEYS["aws_secret_access_key"],
    }


@pytest.mark.parametrize("make_manager", ["s3"], indirect=True)
@pytest.mark.parametrize("engine", ["polars", "arrow"])
def test_on_s3(make_manager: MakeManager, moto_endpoint: str, engine: str) -> None:
    manager = make_manager(prefix="prod/eu")
    fill(manager, KEYS[:3])
    for key in KEYS[3:]:
        frame = pl.DataFrame({"key": [key, key], "asset": ["lake/orders"] * 2})
        manager.values.write(AssetAddress.of(["lake", "orders"], key), frame)
    bucket = make_manager.scheme.removeprefix("s3://")
    pattern = f"{bucket}/prod/eu/lake/orders/partition=*/data.parquet"
    names = (["partition"], ["key", "asset"])
    if engine == "polars":
        options = polars_s3(moto_endpoint)
        rows = polars_rows(f"s3://{pattern}", *names, storage_options=options)
    else:
        client = fs.S3FileSystem(
            access_key=S3_KEYS["aws_access_key_id"],
            secret_key=S3_KEYS["aws_secret_access_key"],
            region=S3_KEYS["region_name"],
            scheme="http",
            endpoint_override=moto_endpoint.removeprefix("http://"),
        )
        found = client.get_file_info(fs.FileSelector(f"{bucket}/prod/eu/lake", recursive=True))
        files = [info.path for info in found if PurePosixPath(info.path).match(pattern)]
        rows = arrow_rows(files, *names, filesystem=client)
    expected = [(shown(key), key, "lake/orders") for key in KEYS for _ in range(2)]
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("make_manager", ["s3"], indirect=True)
def test_polars_on_s3_and_a_percent_before_the_star_as_the_page_says(
    make_manager: MakeManager, moto_endpoint: str
) -> None:
    values = make_manager().values
    values.write(AssetAddress.of(["or ders"], "a/b"), pl.DataFrame({"key": ["a/b"]}))
    folder = f"{make_manager.scheme}/or%20ders"
    names = (["partition"], ["key"])
    options = polars_s3(moto_endpoint)
    with pytest.raises(pl.exceptions.ComputeError, match="expanded paths were empty"):
        polars_rows(f"{folder}/partition=*/data.parquet", *names, storage_options=options)
    pattern = f"{folder.replace('%', '[%]')}/partition=*/data.parquet"
    assert polars_rows(pattern, *names, storage_options=options) == [("a/b", "a/b")]


@pytest.mark.parametrize(
    ("engine", "column"),
    [(ENGINES[0], "order%20date"), (ENGINES[2], "order%20date"), (ENGINES[3], "order date")],
    ids=lambda value: getattr(value, "name", value),
)
def test_names_of_dimensions_as_the_page_says(tmp_path: Path, engine: Engine, column: str) -> None:
    from dagster_buckets_local import LocalIOManager

    values = LocalIOManager(root=str(tmp_path)).values
    address = AssetAddress.of(["orders"], {"order date": "a/b"})
    values.write(address, pl.DataFrame({"key": ["a/b"]}))
    pattern = f"{tmp_path}/orders/order%20date=*/data.parquet"
    assert engine.read(pattern, [column], ["key"]) == [("a/b", "a/b")]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_column_of_the_dimensions_name_as_the_page_says(tmp_path: Path, engine: Engine) -> None:
    from dagster_buckets_local import LocalIOManager

    values = LocalIOManager(root=str(tmp_path)).values
    address = AssetAddress.of(["orders"], {"day": "of the key"})
    values.write(address, pl.DataFrame({"key": ["k"], "day": ["of the file"]}))
    pattern = f"{tmp_path}/orders/day=*/data.parquet"
    if engine.name == "arrow":
        with pytest.raises(pa.ArrowTypeError, match="Unable to merge: Field day"):
            engine.read(pattern, ["day"], ["key"])
    else:
        assert engine.read(pattern, ["day"], ["key"]) == [("of the key", "k")]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_stored_none_is_an_error_as_the_page_says(tmp_path: Path, engine: Engine) -> None:
    from dagster_buckets_local import LocalIOManager

    values = LocalIOManager(root=str(tmp_path)).values
    values.write(AssetAddress.of(["orders"], "a"), pl.DataFrame({"key": ["a"]}))
    values.write(AssetAddress.of(["orders"], "b"), None, annotation=pl.DataFrame)
    pattern = f"{tmp_path}/orders/partition=*/data.parquet"
    assert len(matching(pattern)) == 2
    with pytest.raises(Exception, match=r"(?i)parquet"):
        engine.read(pattern, ["partition"], ["key"])


def test_what_the_page_warns_of(root: Path) -> None:
    folder = f"{root}/lake/orders"
    with duckdb.connect() as connection:
        bare = connection.execute(
            f"SELECT DISTINCT asset FROM read_parquet('{folder}/**/data.parquet')"  # noqa: S608
        ).fetchall()
        guessed = connection.execute(
            f"""SELECT typeof(partition) FROM read_parquet(
                '{folder}/partition=2024-01-01/data.parquet', hive_partitioning = true)"""  # noqa: S608
        ).fetchone()
    assert ("nested",) in bare
    assert guessed == ("DATE",)
    frame = pl.scan_parquet(f"{folder}/partition=001/data.parquet", hive_partitioning=True)
    assert frame.collect()["partition"].to_list() == [1, 1]
    dataset = ds.dataset(f"{folder}/partition=001/data.parquet", partitioning="hive")
    assert dataset.to_table()["partition"].to_pylist() == [1, 1]
