from __future__ import annotations

import io
import os
import pickle
import random
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dagster_buckets.errors import (
    AccessDeniedError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    ObjectNotFoundError,
    StoreError,
)
from dagster_buckets.objects import Body, Header, digest_of
from dagster_buckets.stores.base import SupportsSweep
from dagster_buckets.testing.stores import MIB, RawObjects, StoreConformance
from dagster_buckets_local.store import LocalStore


@dataclass
class RawFiles(RawObjects):
    root: Path

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)

    def keys(self) -> list[str]:
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())

    def damage(self, key: str, data: bytes) -> None:
        # As a failing disk does: in place, with the time of the last write kept.
        status = (self.root / key).stat()
        with (self.root / key).open("r+b") as file:
            file.write(data)
            file.truncate()
        os.utime(self.root / key, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root, "base/prefix")


class TestLocalStore(StoreConformance):
    @pytest.fixture
    def store(self, root: Path) -> LocalStore:
        return LocalStore(root, "base/prefix")

    @pytest.fixture
    def raw(self, root: Path) -> RawFiles:
        return RawFiles(root)


def test_nothing_is_created_by_construction_and_reads(root: Path, store: LocalStore) -> None:
    assert list(store.scan()) == []
    with pytest.raises(ObjectNotFoundError):
        store.get("x")
    store.delete(["x"])
    assert store.sweep() == 0
    assert not root.exists()


def test_uri_is_readable_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("some folder", "p")
    monkeypatch.chdir("/")
    assert store.uri("a=b c/é.txt") == f"file://{tmp_path}/some folder/p/a=b c/é.txt"
    assert LocalStore.from_uri(f"file://{tmp_path}/some folder").root == store.root
    assert pickle.loads(pickle.dumps(store)).root == store.root  # noqa: S301 - our own bytes
    for uri in ("file:relative", "file://host/x", "s3://bucket"):
        with pytest.raises(ConfigurationError, match="three slashes"):
            LocalStore.from_uri(uri)


@pytest.mark.parametrize("target", ["outside", "inside"])
def test_symbolic_links_are_not_followed(
    root: Path, store: LocalStore, tmp_path: Path, target: str
) -> None:
    store.put("real/x", Body.of(b"inside"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"outside")
    folder = outside if target == "outside" else root / "base/prefix/real"
    (root / "base/prefix/link").symlink_to(folder)
    (root / "base/prefix/file").symlink_to(folder / "x")
    for method in (store.get, store.head, store.open, lambda key: store.peek(key, 9)):
        for key in ("link/x", "file"):
            with pytest.raises(StoreError, match="symbolic link") as caught:
                method(key)
            assert not isinstance(caught.value, ObjectNotFoundError)
    with pytest.raises(StoreError, match="'link' is a symbolic link"):
        store.put("link/y", Body.of(b"new"))
    with pytest.raises(StoreError, match="symbolic link"):
        store.delete(["link/x"])
    assert [info.key for info in store.scan()] == ["real/x"]
    # A write over a link replaces the link, not its target.
    store.put("file", Body.of(b"replaced"))
    assert (folder / "x").read_bytes() == (b"outside" if target == "outside" else b"inside")


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    LocalStore(tmp_path / "link").put("a/x", Body.of(b"1"))
    assert (root / "a/x").read_bytes() == b"1"


def test_file_in_the_way(store: LocalStore) -> None:
    store.put("a", Body.of(b"1"))
    with pytest.raises(StoreError, match="'a' is a file, and is in the way of a folder"):
        store.put("a/b", Body.of(b"2"))
    with pytest.raises(ObjectNotFoundError):
        store.get("a/b")
    assert list(store.scan("a/b")) == []
    store.delete(["a/b"])
    assert bytes(store.get("a").data) == b"1"


def test_folder_in_the_way(store: LocalStore) -> None:
    store.put("a/b", Body.of(b"1"))
    with pytest.raises(StoreError, match="folder is in the way"):
        store.put("a", Body.of(b"2"))
    assert [info.key for info in store.scan()] == ["a/b"]
    store.delete(["a"])
    assert bytes(store.get("a/b").data) == b"1"
    store.delete(["a/b"])
    store.put("a", Body.of(b"2"))


#: Root writes everywhere, so it becomes nobody, once everything is imported.
AS_NOBODY = """
import os, sys
from dagster_buckets.objects import Body
from dagster_buckets_local import LocalStore

if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    LocalStore(sys.argv[1], "base/prefix").put("a/x", Body.of(b"2"))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_read_only_folder() -> None:
    with TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        store = LocalStore(root, "base/prefix")
        store.put("a/x", Body.of(b"1"))
        folder = root / "base/prefix/a"
        folder.chmod(0o555)
        try:
            done = subprocess.run(  # noqa: S603 - our own code
                [sys.executable, "-c", AS_NOBODY, name], capture_output=True, text=True, check=True
            )
        finally:
            folder.chmod(0o755)
        assert done.stdout.startswith("AccessDeniedError")
        assert "permission denied" in done.stdout
        assert bytes(store.get("a/x").data) == b"1"
        assert [path.name for path in folder.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [("ENOSPC", StoreError, "no space"), ("EROFS", AccessDeniedError, "read-only"), ("EACCES", AccessDeniedError, "permission")],
)  # fmt: skip
def test_errors_of_the_disk(  # noqa: PLR0913, PLR0917 - one table
    store: LocalStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    kind: type[Exception],
    text: str,
) -> None:
    import errno

    store.put("x", Body.of(b"old"))

    def fails(*args: object) -> int:
        raise OSError(getattr(errno, number), "refused")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(kind, match=text) as caught:
            store.put("x", Body.of(b"new"))
        with pytest.raises(kind, match=text):
            store.put("new/folder/x", Body.of(b"new"))
    assert store.uri("x") in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert bytes(store.get("x").data) == b"old"
    assert [p.name for p in (root / "base/prefix").iterdir()] == ["x"]


def test_an_error_of_the_callers_stream_is_not_translated(store: LocalStore, root: Path) -> None:
    def stream() -> Iterator[bytes]:
        yield b"x"
        raise PermissionError(13, "the caller's own")

    with pytest.raises(PermissionError, match="the caller's own") as caught:
        store.put("a/b/x", Body(stream()))
    assert type(caught.value) is PermissionError
    assert not (root / "base").exists()


def test_nobody_else_reads_an_unfinished_file(store: LocalStore, root: Path) -> None:
    modes: list[int] = []

    def stream() -> Iterator[bytes]:
        yield b"x"
        modes.extend(stat.S_IMODE(p.stat().st_mode) for p in root.rglob("*") if p.is_file())
        assert list(store.scan()) == []
        yield b"y"

    mask = os.umask(0o027)
    try:
        store.put("a/x", Body(stream()))
    finally:
        os.umask(mask)
    assert modes == [0o600]
    assert stat.S_IMODE((root / "base/prefix/a/x").stat().st_mode) == 0o640


KILLED = """
import os, signal, sys
from dagster_buckets.objects import Body
from dagster_buckets_local.store import LocalStore

def stream():
    yield b"new" * 100_000
    os.kill(os.getpid(), signal.SIGKILL)

LocalStore(sys.argv[1], "base/prefix").put("a/x", Body(stream()))
"""


def test_killed_writer(store: LocalStore, root: Path) -> None:
    store.put("a/x", Body.of(b"old"))
    done = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)  # noqa: S603 - our own code
    assert done.returncode == -9
    assert bytes(store.get("a/x").data) == b"old"
    assert [info.key for info in store.scan()] == ["a/x"]
    (left,) = (p for p in (root / "base/prefix/a").iterdir() if p.name != "x")
    with pytest.raises(InvalidKeyError, match="temporary file"):
        store.get(f"a/{left.name}")
    assert store.sweep() == 0
    old = time.time() - 3601
    os.utime(left, (old, old))
    assert isinstance(store, SupportsSweep)
    assert store.sweep(dry_run=True) == 1
    assert left.exists()
    assert store.sweep() == 1
    assert not left.exists()
    assert bytes(store.get("a/x").data) == b"old"


def test_sweep_spares_a_writer_that_still_runs(store: LocalStore) -> None:
    swept = []

    def stream() -> Iterator[bytes]:
        yield b"x"
        swept.append(store.sweep(timedelta(seconds=-10)))
        yield b"y"

    store.put("a/x", Body(stream()))
    assert swept == [0]
    assert bytes(store.get("a/x").data) == b"xy"


def test_edited_file_loads(store: LocalStore, root: Path) -> None:
    store.put("x", Body.of(b"0123456789"), header=Header(format="text"))
    file = root / "base/prefix/x"
    time.sleep(0.02)
    file.write_bytes(b"edited by hand")
    payload = store.get("x")
    assert bytes(payload.data) == b"edited by hand"
    assert payload.info.header is None


@pytest.mark.parametrize("streamed", ["held", "stream"])
def test_bytes_that_rot_on_the_disk_are_found(store: LocalStore, root: Path, streamed: str) -> None:
    data = random.Random(1).randbytes(1_000_000)  # noqa: S311 - repeatable, not secret
    body = Body.of(data) if streamed == "held" else Body(iter([data[:400_000], data[400_000:]]))
    info = store.put("a/x", body)
    assert info.header
    assert (info.header.size, info.header.digest) == (len(data), digest_of([data]))
    assert bytes(store.get("a/x").data) == data
    path = root / "base/prefix/a/x"
    rotten = bytearray(data)
    rotten[600_000] ^= 1
    before = path.stat()
    with path.open("r+b") as file:
        file.write(rotten)
    # Unlike an edit, it leaves the times alone.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError):
        store.get("a/x")


def test_special_files_are_no_objects(store: LocalStore, root: Path) -> None:
    (root / "base/prefix").mkdir(parents=True)
    os.mkfifo(root / "base/prefix/pipe")
    with pytest.raises(ObjectNotFoundError):
        store.get("pipe")
    assert list(store.scan()) == []


def test_long_names_are_refused(store: LocalStore) -> None:
    store.put("x" * 255, Body.of(b"1"))
    with pytest.raises(InvalidKeyError, match="255 bytes"):
        store.put("a/" + "é" * 128, Body.of(b"1"))


def test_same_bytes_have_another_etag(store: LocalStore) -> None:
    assert len({store.put("x", Body.of(b"same")).etag for _ in range(200)}) == 200


def test_reader_keeps_its_version(store: LocalStore) -> None:
    store.put("x", Body.of(b"old"))
    with store.open("x") as file:
        store.put("x", Body.of(b"new"))
        assert file.read() == b"old"


def test_peek_reads_no_more_than_it_gives(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("x", Body.of(bytes(10 * MIB)))
    read = io.FileIO.read
    sizes: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = read(self, -1 if size is None else size)
            sizes.append(len(data))
            return data

    monkeypatch.setattr(os, "fdopen", lambda file, *_, **options: Counted(file, closefd=False))
    assert store.peek("x", 1000).info.size == 10 * MIB
    assert sizes == [1000]


def test_writers_and_deleters_of_one_folder(store: LocalStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        key = f"deep/er/{number % 4}"
        store.put(key, Body.of(b"x"))
        store.delete([key])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert list(store.scan()) == []


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dagster_buckets_local import store as module

    class Windows:
        name = "nt"

    monkeypatch.setattr(module, "os", Windows)
    with pytest.raises(ConfigurationError, match="WSL"):
        LocalStore(str(tmp_path))
