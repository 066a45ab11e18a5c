"""The same keys for every address that we take; and for what we refuse, what theirs do with it."""

import os.path
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import dagster as dg
import pytest
from dagster._core.storage.fs_io_manager import PickledObjectFilesystemIOManager
from dagster_aws.s3.io_manager import PickledObjectS3IOManager
from dagster_buckets import MemoryStore
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import InvalidKeyError
from dagster_buckets.layouts import LegacyLayout
from dagster_buckets.testing.strategies import addresses
from dagster_gcp.gcs.io_manager import PickledObjectGCSIOManager
from dagster_polars import PolarsParquetIOManager
from hypothesis import example, given, settings
from upath import UPath

from tests.compat.support import PLACES, JSONManager, Place, adls_manager
from tests.compat.test_stock_both_ways import number_of, run

pytestmark = [pytest.mark.usefixtures("alone"), pytest.mark.filterwarnings("default")]

asset = AssetAddress.of
BASE = "dagster"


Filesystem: Any = PickledObjectFilesystemIOManager


def _polars() -> Any:
    manager = PolarsParquetIOManager(base_dir=BASE)
    manager._base_path = UPath(BASE)
    return manager


#: A manager, and how ours names the same: the dialect and the format's extension.
STOCK: dict[str, tuple[Any, LegacyLayout, str]] = {
    "filesystem": (
        Filesystem(base_dir=BASE),
        LegacyLayout("filesystem"),
        "pickle",
    ),
    "subclass": (JSONManager(UPath(BASE)), LegacyLayout("filesystem"), "json"),
    "s3": (PickledObjectS3IOManager("bucket", MagicMock(), BASE), LegacyLayout("s3"), "pickle"),
    "gcs": (PickledObjectGCSIOManager("bucket", MagicMock(), BASE), LegacyLayout("gcs"), "pickle"),
    "adls": (adls_manager(MemoryStore("refusals")), LegacyLayout("adls"), "pickle"),
    "polars": (_polars(), LegacyLayout("polars"), "parquet"),
}
ALL = tuple(STOCK)


def key_of(name: str, address: Address, *, old: bool = False) -> str:
    """The key, below the prefix, that the stock manager computes."""
    manager = STOCK[name][0]
    context: Any = SimpleNamespace(has_asset_key=isinstance(address, AssetAddress))
    if isinstance(address, OpAddress):
        mapped = [] if address.mapping_key is None else [address.mapping_key]
        names = [address.run_id, address.step_key, address.output_name, *mapped]
        context.get_identifier = lambda: names
        return _relative(manager._get_path(context))
    context.asset_key = SimpleNamespace(path=list(address.path))
    context.has_asset_partitions = bool(address.partition)
    if not address.partition:
        return _relative(manager._get_path(context))
    key = address.partition[0][1]
    if len(address.partition) > 1:
        # Against the alphabet: the manager has to sort.
        key = dg.MultiPartitionKey(dict(reversed(address.partition)))
    context.asset_partition_keys = [key]
    if old:
        return _relative(manager._get_multipartition_backcompat_paths(context)[key])
    return _relative(manager._get_paths_for_partitions(context)[key])


def _relative(path: UPath) -> str:
    whole = path.as_posix()
    assert whole.startswith(f"{BASE}/") or whole == BASE, whole
    return whole.removeprefix(BASE).removeprefix("/")


@pytest.mark.parametrize("name", STOCK)
@settings(max_examples=500)
@given(address=addresses())
@example(address=asset(["a", "1.5"], {"z": "a.b", "b": ".x"}))
@example(address=OpAddress("run", "graph.step[key]", "result", "mapped"))
def test_any_address_that_we_take_has_their_key(name: str, address: Address) -> None:
    _, layout, extension = STOCK[name]
    try:
        key = layout.key(address, extension)
    except InvalidKeyError:
        return
    try:
        theirs = key_of(name, address)
    except ValueError as error:
        # UPath takes a name such as "zip::x" for a URL, and fails.
        if "protocol" not in str(error).lower():
            raise
        return
    assert theirs == key
    for stem in layout.old_stems(address):
        assert key_of(name, address, old=True) == stem + key.removeprefix(layout.stem(address))


#: What we refuse, and another address that the stock manager stores under the same key.
SAME_KEY: list[tuple[tuple[str, ...], Address, Address]] = [
    (ALL, asset(["a/b"]), asset(["a", "b"])),
    (ALL, asset(["", "a"]), asset(["a"])),
    (ALL, asset([".", "a"]), asset(["a"])),
    (ALL, asset(["a", ""]), asset(["a"])),
    (ALL, asset(["a", "/b"]), asset(["/b"])),
    (ALL, asset(["/b"]), asset(["%2Fb"])),
    (ALL, asset(["%2Fb"]), asset(["/b"])),
    (ALL, asset(["a"], "/etc"), asset(["a"], "%2Fetc")),
    (ALL, asset(["a"], "%2Fetc"), asset(["a"], "/etc")),
    (ALL, asset(["a"], ""), asset(["a"])),
    (ALL, asset(["a"], "."), asset(["a"])),
    (ALL, asset(["a"], "x//y"), asset(["a"], "x/y")),
    (ALL, asset(["a"], "x/./y"), asset(["a"], "x/y")),
    (ALL, asset(["a"], "./x"), asset(["a"], "x")),
    (ALL, asset(["a"], "x/y/"), asset(["a"], "x/y")),
    (ALL, asset(["a"], {"d": "x/y", "e": "z"}), asset(["a"], {"d": "x", "e": "y/z"})),
    (ALL, asset(["a"], {"d": "x", "e": "y/z"}), asset(["a"], {"d": "x/y", "e": "z"})),
    (ALL, asset(["a"], {"d": "x", "e": ""}), asset(["a"], {"d": "x", "e": "."})),
    (ALL, asset(["a"], {"d": ".", "e": "x"}), asset(["a"], {"d": "x", "e": ""})),
    (ALL, asset(["a"], {"d": "%2Fx", "e": "y"}), asset(["a"], {"d": "/x", "e": "y"})),
    (("filesystem",), asset(["a"], ".."), asset(["a"], "%2E%2E")),
    (("filesystem",), asset(["a"], "%2E%2E"), asset(["a"], "..")),
    (("filesystem",), asset(["a"], "x/%2E%2E"), asset(["a"], "x/..")),
    (ALL, OpAddress("r", "s", "o/m"), OpAddress("r", "s", "o", "m")),
    (ALL, OpAddress("r", "s", "o", ""), OpAddress("r", "s", "o")),
    (ALL, OpAddress("r", "s", "o", "."), OpAddress("r", "s", "o")),
    (("s3",), OpAddress("r", "s--m", "o"), OpAddress("r", "s[m]", "o")),
    (("s3",), OpAddress("r", "s-[m]", "o"), OpAddress("r", "s[-m]", "o")),
    (("s3",), OpAddress("r", "s[-m]", "o"), OpAddress("r", "s---m", "o")),
    (("s3",), OpAddress("r", "s[a--b]", "o"), OpAddress("r", "s--a[b]", "o")),
    (("s3",), OpAddress("r", "s]", "o"), OpAddress("r", "s", "o")),
    (("s3",), OpAddress("r", "s[m]t", "o"), OpAddress("r", "s[mt]", "o")),
    (("s3",), OpAddress("r", "s", "o[1]"), OpAddress("r", "s", "o--1")),
    (("s3",), OpAddress("r[1]", "s", "o"), OpAddress("r--1", "s", "o")),
]


@pytest.mark.parametrize(
    ("name", "refused", "other"),
    [(name, refused, other) for names, refused, other in SAME_KEY for name in names],
    ids=repr,
)
def test_theirs_store_what_we_refuse_under_the_key_of_another(
    name: str, refused: Address, other: Address
) -> None:
    _, layout, extension = STOCK[name]
    with pytest.raises(InvalidKeyError):
        layout.key(refused, extension)
    assert refused != other
    assert key_of(name, refused) == key_of(name, other)


LEADING_OUT: list[tuple[tuple[str, ...], Address]] = [
    (ALL, asset(["..", "a"])),
    (ALL, asset(["a", "..", "b"], "x")),
    (ALL, OpAddress("r", "..", "o")),
    (tuple(name for name in ALL if name not in ("filesystem", "subclass")), asset(["a"], "x/../y")),
    (("subclass",), asset(["a"], "../../b")),
]


@pytest.mark.parametrize(
    ("name", "refused"),
    [(name, refused) for names, refused in LEADING_OUT for name in names],
    ids=repr,
)
def test_theirs_lead_out_of_a_folder_where_we_refuse(name: str, refused: Address) -> None:
    _, layout, extension = STOCK[name]
    with pytest.raises(InvalidKeyError):
        layout.key(refused, extension)
    key = f"{BASE}/{key_of(name, refused)}"
    assert os.path.normpath(key) != key


@pytest.mark.parametrize("new_place", PLACES, indirect=True)
@pytest.mark.parametrize(("refused", "other"), [("v//w", "v/w"), ("/etc", "%2Fetc")])
def test_theirs_lose_a_value_where_we_refuse(
    new_place: Callable[[], Place], instance: dg.DagsterInstance, refused: str, other: str
) -> None:
    place = new_place()
    partitions = dg.StaticPartitionsDefinition([refused, other])
    found: list[int] = []

    @dg.asset(partitions_def=partitions, dagster_type=place.annotation)
    def source(context: dg.AssetExecutionContext) -> Any:
        return place.value(number_of(context.partition_key))

    @dg.asset(
        partitions_def=partitions,
        ins={"value": dg.AssetIn(key="source", dagster_type=place.annotation)},
    )
    def sink(value: Any) -> None:
        found.append(place.number(value))

    for key in (refused, other):
        run([source], place.theirs, instance, partition_key=key)
    before = place.objects()
    if place.keeps_slashes and "//" in refused:
        # It writes what it cannot load: "contained empty path segment".
        assert any("//" in key for key in before)
    else:
        assert len(before) == 1
        run([source, sink], place.theirs, instance, selection=[sink], partition_key=refused)
        assert found == [number_of(other)]

    for selected in (source, sink):
        with pytest.raises(InvalidKeyError):
            run([source, sink], place.ours, instance, selection=[selected], partition_key=refused)
    assert place.objects() == before
