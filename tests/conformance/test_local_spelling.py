"""The local store on file systems that take two names for one file.

None can be mounted without privileges, so the calls of the operating system are made to behave like
theirs: an entry is found under every name that the disk folds to the same one.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets.address import AssetAddress
from dagster_buckets.errors import InvalidKeyError, ObjectNotFoundError, StoreError
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.objects import Body
from dagster_buckets.testing.stores import RawObjects, StoreConformance
from dagster_buckets_local.store import LocalStore

from tests.conformance.test_local_store import RawFiles


def nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def trimmed(name: str) -> str:
    return name.rstrip(". ")


class Disk:
    """A disk that is not a case-sensitive one.

    Args:
        fold: Names with the same result are one file.
        keep: The name that a new file gets.
    """

    def __init__(self, fold: Callable[[str], str], keep: Callable[[str], str] = str) -> None:
        self.fold = fold
        self.keep = keep
        # What a real disk does in one step must be one here, too.
        self._lock = threading.RLock()
        self._listdir = os.listdir

    def name(self, name: str, folder: int) -> str:
        wanted = self.fold(name)
        return next((n for n in self._listdir(folder) if self.fold(n) == wanted), self.keep(name))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for call in ("open", "mkdir", "stat", "unlink", "rmdir", "access"):
            monkeypatch.setattr(os, call, self._one(getattr(os, call)))
        rename = os.rename

        def renamed(source: Any, target: Any, *, src_dir_fd: int, dst_dir_fd: int) -> None:
            with self._lock:
                found = self.name(target, dst_dir_fd)
                rename(source, found, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        monkeypatch.setattr(os, "rename", renamed)

    def _one(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, dir_fd: int | None = None, **options: Any) -> Any:
            if dir_fd is None:
                return real(path, *args, **options)
            with self._lock:
                return real(self.name(path, dir_fd), *args, dir_fd=dir_fd, **options)

        return call


DISKS = {
    "APFS": Disk(lambda name: nfd(nfd(name).casefold())),
    "HFS+": Disk(lambda name: nfd(nfd(name).casefold()), keep=nfd),
    "ext4 casefold": Disk(lambda name: nfd(nfd(name.replace("\u200b", "")).casefold())),
    "FAT": Disk(lambda name: trimmed(name.upper()), keep=trimmed),
    "XFS ascii-ci": Disk(lambda name: name.encode().lower().decode(errors="surrogateescape")),
}
CASES: list[tuple[str, str]] = [
    ("orders/data.json", "Orders/data.json"),
    ("sales/orders/data.json", "sales/ORDERS/data.json"),
    ("sales/country=FR/data.json", "sales/country=fr/data.json"),
    ("sales/country=FR/day=1/data.json", "sales/country=fr/day=2/data.json"),
    ("sales/data.json", "sales/Data.JSON"),
    ("sales/fr", "sales/FR"),
    ("nested", "Nested/data.json"),
    ("Nested/data.json", "nested"),
]
UNICODE: list[tuple[str, str]] = [
    ("e\u0301/x", "\u00e9/x"),
    ("x/e\u0301", "x/\u00e9"),
    ("e\u0301/x", "\u00c9/x"),
    ("strasse/x", "stra\u00dfe/x"),
]
DOTS: list[tuple[str, str]] = [("p=a/x", "p=a./x"), ("x/a", "x/a."), ("x/a", "x/a ")]
TWINS = [
    *((disk, *pair) for disk in DISKS for pair in CASES),
    *((disk, *pair) for disk in ("APFS", "HFS+", "ext4 casefold") for pair in UNICODE),
    ("APFS", "stra\u00dfe/x", "STRASSE/x"),
    ("APFS", "\u00e9/x", "e\u0301/x"),
    ("ext4 casefold", "a/x", "a\u200b/x"),
    ("FAT", "é/x", "É/x"),
    ("FAT", "aé/x", "Aé/x"),
    ("XFS ascii-ci", "aé/x", "Aé/x"),
    *(("FAT", *pair) for pair in DOTS),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def text(store: LocalStore, key: str) -> str:
    return bytes(store.get(key).data).decode()


def listed(store: LocalStore) -> list[str]:
    return [info.key for info in store.scan()]


@pytest.mark.parametrize(("disk", "first", "second"), TWINS)
def test_a_file_of_another_spelling_is_neither_read_nor_replaced(  # noqa: PLR0913, PLR0917 - one table
    store: LocalStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: str,
    first: str,
    second: str,
) -> None:
    DISKS[disk].install(monkeypatch)
    etag = store.put(first, Body.of(b"first")).etag
    before = sorted(root.rglob("*"))
    pair = next((a, b) for a, b in zip(first.split("/"), second.split("/"), strict=False) if a != b)

    for options in ({}, {"if_absent": True}):
        with pytest.raises(InvalidKeyError, match="this file system cannot tell") as caught:
            store.put(second, Body.of(b"second"), **options)  # type: ignore[arg-type]
        assert caught.value.uri == store.uri(second)
        show = ascii if nfd(pair[0]) == nfd(pair[1]) else repr
        assert f"cannot tell {show(pair[1])} from {show(pair[0])}" in caught.value.message
        assert "case-sensitive volume" in (caught.value.hint or "")
    with pytest.raises(StoreError):
        store.put(second, Body.of(b"second"), if_match=etag)
    for method in (store.get, store.head, store.open):
        with pytest.raises(ObjectNotFoundError):
            method(second)
    store.delete([second])
    assert text(store, first) == "first"
    assert listed(store) == [first]
    assert list(store.scan(second)) == []
    assert sorted(root.rglob("*")) == before

    store.put(first, Body.of(b"again"), if_match=etag)
    assert text(store, first) == "again"
    store.delete([first])
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("disk", DISKS)
def test_either_spelling_works_alone(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    DISKS[disk].install(monkeypatch)
    for first, second in CASES:
        for key in (first, second, first):
            store.put(key, Body.of(key.encode()))
            assert text(store, key) == key
            assert store.head(key).key == key
            assert listed(store) == [key]
            store.delete([key])
            assert listed(store) == []


@pytest.mark.parametrize(
    ("disk", "key"),
    [
        ("HFS+", "x/\u00e9"),
        ("HFS+", "\u00e9/x"),
        ("HFS+", "new/\u00e9/x"),
        ("FAT", "x/a."),
        ("FAT", "x/a "),
        ("FAT", "new/a./x"),
        ("FAT", "p=a../q=b/x"),
    ],
)
def test_a_name_that_the_disk_changes_is_refused_and_leaves_nothing(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, disk: str, key: str
) -> None:
    DISKS[disk].install(monkeypatch)
    with pytest.raises(InvalidKeyError, match="this file system cannot tell"):
        store.put(key, Body.of(b"1"))
    with pytest.raises(ObjectNotFoundError):
        store.get(key)
    assert list(root.iterdir()) == []


def test_two_prefixes_of_one_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DISKS["APFS"].install(monkeypatch)
    upper, lower = LocalStore(root, "team/Prod"), LocalStore(root, "team/prod")
    upper.put("x", Body.of(b"upper"))
    with pytest.raises(InvalidKeyError, match="'prod' from 'Prod'"):
        lower.put("x", Body.of(b"lower"))
    assert (listed(upper), listed(lower)) == (["x"], [])
    assert lower.sweep() == 0


def test_two_writers_at_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    DISKS["APFS"].install(monkeypatch)

    def write(key: str) -> bool:
        try:
            store.put(key, Body.of(key.encode()))
        except InvalidKeyError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for number in range(40):
            keys = (
                [f"{number}/p=fr/x", f"{number}/p=FR/x"]
                if number % 2
                else [f"{number}/x", f"{number}/X"]
            )
            written = [key for key, done in zip(keys, pool.map(write, keys), strict=True) if done]
            assert len(written) == 1
            assert listed(store) == written
            assert text(store, written[0]) == written[0]
            store.delete(written)


def test_a_scan_lists_each_folder_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    DISKS["APFS"].install(monkeypatch)
    for number in range(20):
        store.put(f"asset/part={number}/data.json", Body.of(b"1"))
    monkeypatch.setattr(os, "listdir", None)
    assert len(listed(store)) == 20


def test_an_ordinary_disk_holds_both(store: LocalStore) -> None:
    layout = HiveLayout()
    addresses = [
        AssetAddress.of(["orders"]),
        AssetAddress.of(["Orders"]),
        AssetAddress.of(["orders"], "FR"),
        AssetAddress.of(["orders"], "fr"),
        AssetAddress.of(["orders"], "\u00e9"),
        AssetAddress.of(["orders"], "e\u0301"),
    ]
    keys = [layout.key(address, "json") for address in addresses]
    keys += ["x/fr", "x/FR", "\u00e9/x", "e\u0301/x", "a./x", "a/x"]
    for key in keys:
        store.put(key, Body.of(key.encode()))
    assert [text(store, key) for key in keys] == keys
    assert sorted(listed(store)) == sorted(keys)


class TestOnACaseInsensitiveDisk(StoreConformance):
    @pytest.fixture
    def store(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
        DISKS["APFS"].install(monkeypatch)
        return LocalStore(root, "base/prefix")

    @pytest.fixture
    def raw(self, root: Path) -> RawObjects:
        return RawFiles(root)
