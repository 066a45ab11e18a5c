"""Checks one wheel in an environment that holds it, what it depends on, and nothing else.

Run by `nox -s packaging` with the name of the distribution and the path of its wheel. It uses no
test tool, because none may be installed beside the wheel.
"""

import importlib
import socket
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import dagster as dg
import pyarrow as pa

AWS = ("boto3", "botocore", "obstore", "s3fs", "aiobotocore")
GOOGLE = ("gcsfs", "google.cloud.storage", "google.auth", "google_crc32c")
TOOLS = ("pytest", "hypothesis", "moto", "pandas", "polars", "duckdb")


def core_works() -> None:
    from click.testing import CliRunner
    from dagster_buckets import MemoryIOManager
    from dagster_buckets.cli import cli

    round_trip(MemoryIOManager())
    assert "verify" in CliRunner().invoke(cli, ["--help"]).output


def local_works() -> None:
    from dagster_buckets_local import LocalIOManager

    with tempfile.TemporaryDirectory() as root:
        round_trip(LocalIOManager(root=root))
        assert Path(root, "table", "data.parquet").is_file()


def s3_works() -> None:
    from dagster_buckets_s3 import S3IOManager, S3Store

    with no_network():
        names_its_bucket(S3IOManager(bucket="lake"))
        store = S3Store("lake", "prod")
        assert "lake" in repr(store)
        assert store.uri("table/data.parquet") == "s3://lake/prod/table/data.parquet"


def gcs_works() -> None:
    from dagster_buckets_gcs import GCSIOManager, GCSStore

    with no_network():
        names_its_bucket(GCSIOManager(bucket="lake"))
        store = GCSStore("lake", "prod")
        assert "lake" in repr(store)
        assert store.uri("table/data.parquet") == "gs://lake/prod/table/data.parquet"


def round_trip(manager: dg.ConfigurableIOManager) -> None:
    """Stores a table in one step of a real run and loads it in the next."""
    rows = pa.table({"x": [1, 2, 3], "name": ["a", "b", None]})
    loaded = []

    @dg.asset
    def table() -> pa.Table:
        return rows

    @dg.asset
    def consumer(table: pa.Table) -> None:
        loaded.append(table)

    quiet = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
    run = dg.materialize([table, consumer], resources={"io_manager": manager}, run_config=quiet)
    assert run.success
    assert len(loaded) == 1
    assert loaded[0].equals(rows), loaded[0]


def names_its_bucket(manager: Any) -> None:
    assert "lake" in repr(manager)
    assert "lake" in repr(manager.make_store())


@contextmanager
def no_network() -> Iterator[None]:
    """Fails whatever looks a host up or connects to it."""

    def refuse(*args: object, **_: object) -> NoReturn:
        msg = f"a request was made: {args}"
        raise AssertionError(msg)

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
    ):
        yield


@dataclass(frozen=True)
class Expected:
    """What a distribution brings, and what it must not bring."""

    siblings: set[str]
    """Our distributions that it asks for, extras included."""
    installed: set[str]
    """Our distributions that are there once it is installed."""
    absent: tuple[str, ...]
    """Modules that must not be importable."""
    works: tuple[Callable[[], None], ...]
    module: str | None = None
    plugins: frozenset[tuple[str, str]] = frozenset()
    """Group and name of its entry points, at least."""


CORE = "dagster-buckets-core"
EXPECTED = {
    CORE: Expected(
        siblings=set(),
        installed={CORE},
        absent=(*AWS, *GOOGLE, *TOOLS),
        works=(core_works,),
        module="dagster_buckets",
        plugins=frozenset(
            {("layouts", "hive"), ("stores", "memory"), ("formats", "parquet")}
            | {("formats", name) for name in ("arrow", "json", "text", "bytes", "npy", "npz")}
            | {("formats", name) for name in ("pickle", "safetensors")}
        ),
    ),
    "dagster-buckets-local": Expected(
        siblings={CORE},
        installed={CORE, "dagster-buckets-local"},
        absent=(*AWS, *GOOGLE, *TOOLS),
        works=(core_works, local_works),
        module="dagster_buckets_local",
        plugins=frozenset({("stores", "file")}),
    ),
    "dagster-buckets-s3": Expected(
        siblings={CORE},
        installed={CORE, "dagster-buckets-s3"},
        absent=(*GOOGLE, *TOOLS, "s3fs", "aiobotocore"),
        works=(core_works, s3_works),
        module="dagster_buckets_s3",
        plugins=frozenset({("stores", "s3")}),
    ),
    "dagster-buckets-gcs": Expected(
        siblings={CORE},
        installed={CORE, "dagster-buckets-gcs"},
        absent=(*AWS, *TOOLS),
        works=(core_works, gcs_works),
        module="dagster_buckets_gcs",
        plugins=frozenset({("stores", "gs")}),
    ),
    # Installed as dagster-buckets[s3].
    "dagster-buckets": Expected(
        siblings={CORE, *(f"dagster-buckets-{name}" for name in ("local", "s3", "gcs"))},
        installed={"dagster-buckets", CORE, "dagster-buckets-local", "dagster-buckets-s3"},
        absent=(*GOOGLE, *TOOLS),
        works=(core_works, local_works, s3_works),
    ),
}


def check_contents(wheel: Path, expected: Expected) -> None:
    """The wheel holds its licence, its types and its module, and pins its siblings exactly."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata_file,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(metadata_file).decode())
    info = metadata_file.removesuffix("/METADATA")
    assert f"{info}/licenses/LICENSE" in names, names
    outside = {name.split("/")[0] for name in names} - {info}
    assert outside == ({expected.module} if expected.module else set()), outside
    if expected.module:
        assert f"{expected.module}/py.typed" in names, names
    version = metadata["Version"]
    siblings = set()
    for requirement in metadata.get_all("Requires-Dist", []):
        if not requirement.startswith("dagster-buckets"):
            continue
        pinned, separator, rest = requirement.partition(";")[0].strip().partition("==")
        name = pinned.partition("[")[0]
        siblings.add(name)
        # An extra of the distribution itself needs no pin.
        assert name == metadata["Name"] or (separator, rest) == ("==", version), requirement
    siblings.discard(metadata["Name"])
    assert siblings == expected.siblings, siblings


def check_installed(name: str, expected: Expected) -> None:
    """Only what was asked for is there, and its entry points load."""
    ours = {
        found.name: found.version
        for found in distributions()
        if found.name.startswith("dagster-buckets")
    }
    assert set(ours) == expected.installed, ours
    assert len(set(ours.values())) == 1, ours
    importable = [module for module in expected.absent if is_importable(module)]
    assert not importable, f"must not come with {name}: {importable}"
    if expected.module:
        module = importlib.import_module(expected.module)
        assert module.__file__
        assert Path(module.__file__).is_relative_to(sys.prefix), module.__file__
    plugins = {(point.group, point.name): point for point in distribution(name).entry_points}
    wanted = {(f"dagster_buckets.{group}", plugin) for group, plugin in expected.plugins}
    assert wanted <= set(plugins), f"missing: {wanted - set(plugins)}"
    for point in plugins.values():
        point.load()


def is_importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would lie in is missing
        return False


def main(name: str, wheel: str) -> None:
    expected = EXPECTED[name]
    check_contents(Path(wheel), expected)
    check_installed(name, expected)
    for works in expected.works:
        works()


if __name__ == "__main__":
    main(*sys.argv[1:])
