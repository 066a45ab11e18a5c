"""Faults 15, 17 and 18: a disk that is full, folders that forbid, and many threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets.objects import Body
from dagster_buckets.stores.base import ObjectStore

from tests.faults.conftest import BACKENDS, SERVERS, Site
from tests.faults.proxy import Request

MakeSite = Callable[[str], Site]
KB, MIB = 1000, 1024 * 1024

#: The kernel lets the process write files of 1 MiB and no more, as a full disk or a quota does.
FULL = """
import resource, signal, sys
from dagster_buckets.objects import Body
from dagster_buckets_local import LocalStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
store = LocalStore(sys.argv[1], "prod")
data = bytes(2 * 2**20)
bodies = {"held": Body.of(data), "stream": Body(iter([data[: 2**20], data[2**20 :]]))}
try:
    store.put("asset/data.bin", bodies[sys.argv[2]])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("kind", ["held", "stream"])
def test_a_full_disk_keeps_the_old_value(kind: str, make_site: MakeSite) -> None:
    site = make_site("local")
    store = site.bare()
    store.put("asset/data.bin", Body.of(b"old"))
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", FULL, site.control["root"], kind],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "StoreError" in done.stdout
    assert "asset/data.bin" in done.stdout
    assert "hint: " in done.stdout
    assert bytes(store.get("asset/data.bin").data) == b"old"
    folder = Path(site.control["root"], "prod", "asset")
    assert [path.name for path in folder.iterdir()] == ["data.bin"]


@pytest.mark.parametrize("server", BACKENDS)
def test_sixty_four_threads_on_one_store(server: str, make_site: MakeSite) -> None:
    store = make_site(server).store()
    gate = threading.Barrier(64)

    def work(number: int) -> bool:
        gate.wait()
        data = b"%d" % number * 10 * KB
        for turn in range(5):
            store.put(f"threads/{number}", Body.of(data + b"%d" % turn))
            assert bytes(store.get(f"threads/{number}").data) == data + b"%d" % turn
        return True

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(work, range(64)))


INTERRUPTED = """
import json, sys
import dagster as dg
from tests.faults.managers import manager_of

@dg.asset
def asset() -> bytes:
    return b""

manager = manager_of(sys.argv[1], json.loads(sys.argv[2]), format="bytes")
defs = dg.Definitions([asset], resources={"io_manager": manager})
try:
    defs.load_asset_value("asset", instance=dg.DagsterInstance.ephemeral())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("server", SERVERS)
def test_ctrl_c_during_a_slow_read(server: str, make_site: MakeSite) -> None:
    import json

    site = make_site(server)
    site.bare().put("asset/data.bin", Body.of(bytes(200 * KB)))
    stalled = threading.Event()

    def stall(request: Request) -> Any:
        if request.method != "GET" or "data.bin" not in request.path:
            return None
        stalled.set()
        return "stall"

    site.proxy.plan = stall
    process = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED, site.backend, json.dumps(site.settings)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    with process:
        try:
            assert stalled.wait(30)
            time.sleep(0.3)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
            assert time.monotonic() - begun < 8
        finally:
            process.kill()
    assert "interrupted" in out
    assert process.returncode == 0


def _copied(store: ObjectStore, key: str) -> bytes:
    return bytes(store.get(key).data)


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("server", BACKENDS)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_used_store_works_in_other_processes(
    server: str, start: str, make_site: MakeSite
) -> None:
    import multiprocessing

    store = make_site(server).store()
    store.put("x", Body.of(b"1"))
    with multiprocessing.get_context(start).Pool(1) as pool:
        assert pool.apply_async(_copied, (store, "x")).get(timeout=60) == b"1"
        pool.close()
        pool.join()
