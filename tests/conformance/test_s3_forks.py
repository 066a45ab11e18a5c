"""Forks: in the child of a process that has used S3, a store goes on without obstore."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conformance.test_s3_store import bucket, client  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

# What each script below begins with. A child that hangs is ended by its alarm, which is no success.
BEGIN = """
import multiprocessing, os, pickle, secrets, signal, sys, threading, time
from dagster_buckets.errors import ObjectExistsError, ObjectNotFoundError
from dagster_buckets.objects import Body, Header
from dagster_buckets_s3.store import S3Store

def new():
    return S3Store(sys.argv[2], "p", endpoint_url=sys.argv[1], region_name="us-east-1",
                   aws_access_key_id="a", aws_secret_access_key="b", metadata={"team": "x"})

def use(store):
    base = secrets.token_hex(4)
    key = f"{base}/x"
    written = store.put(key, Body.of(b"0123456789"), header=Header(format="bytes"), if_absent=True)
    try:
        store.put(key, Body.of(b"other"), if_absent=True)
    except ObjectExistsError:
        pass
    else:
        raise AssertionError
    got = store.get(key)
    assert bytes(got.data) == b"0123456789" and got.info.header == written.header
    assert store.head(key).header == written.header
    assert bytes(store.peek(key, 3).data) == b"789"
    assert bytes(store.read_range(written, 2, 5)) == b"234"
    with store.open(key, written) as file:
        file.seek(-2, 2)
        assert file.read() == b"89"
    store.put(key, Body.of(b"swapped"), if_match=written.etag)
    parts = [secrets.token_bytes(1 << 20) for _ in range(20)]
    store.put(f"{base}/large", Body(iter(parts)))
    assert bytes(store.get(f"{base}/large").data) == b"".join(parts)
    store.put(f"{base}/large2", Body.of(*parts), if_absent=True)
    assert sorted(info.key for info in store.scan(f"{base}/")) == [f"{base}/large", f"{base}/large2", key]
    store.delete([key, f"{base}/large", f"{base}/large2"])
    assert list(store.scan(f"{base}/")) == []
    try:
        store.get(key)
    except ObjectNotFoundError:
        pass
    else:
        raise AssertionError

def fork(call):
    child = os.fork()
    if child == 0:
        signal.alarm(40)
        call()
        # The usual way out, with all that Python does at its end.
        sys.exit(7)
    return child

def joined(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""

USED = """
from dagster_buckets_s3.boto_wire import BotoWire
store = new()
use(store)
kept = store.put("kept", Body.of(b"kept bytes"))
reader = store.open("kept", kept)

def child():
    assert reader.read() == b"kept bytes"
    for each in (store, new(), pickle.loads(pickle.dumps(store))):
        use(each)
        assert isinstance(each._clients.get().wire, BotoWire)
        each.close()
    use(store)
    joined(fork(lambda: use(store)))

joined(fork(child))
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(use, [store, new()])
    pool.close()
    pool.join()
assert not isinstance(store._clients.get().wire, BotoWire)
use(store)
"""

UNUSED = """
from dagster_buckets_s3.obstore_wire import ObstoreWire
store = new()

def child():
    use(store)
    assert isinstance(store._clients.get().wire, ObstoreWire)
    joined(fork(lambda: use(store)))

joined(fork(child))
use(store)
"""

# Some connect, so that they import, find credentials and hold locks, while others read and write.
BUSY = """
stores = [new() for _ in range(8)]
over = threading.Event()

def work(number):
    while not over.is_set():
        stores[number].put(f"busy/{number}", Body.of(b"1" * 1000))
        stores[number].get(f"busy/{number}")
        stores[0].get(f"busy/{number}")
        if number % 2:
            stores[number].close()

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
children = []
for number in range(5):
    # The first children come while boto3 and obstore are being imported.
    time.sleep(0.08 if number < 4 else 0.5)
    children.append(fork(lambda: [over.set(), use(stores[number]), use(new())]))
for number in range(16):
    # Enough of them to meet the threads in the middle of everything.
    time.sleep(0.02)
    children.append(fork(lambda: [over.set(), stores[number % 8].put(f"child/{number}", Body.of(b"x"))]))
over.set()
for thread in threads:
    thread.join()
for child in children:
    joined(child)
use(stores[0])
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(USED, id="used"),
        pytest.param(UNUSED, id="unused", marks=pytest.mark.long),
        pytest.param(BUSY, id="busy", marks=pytest.mark.long),
    ],
)
def test_forks(moto_endpoint: str, bucket: str, script: str) -> None:  # noqa: F811
    subprocess.run(  # noqa: S603 - our own code
        # Python warns of forks in processes with threads.
        [sys.executable, "-W", "ignore", "-c", BEGIN + script, moto_endpoint, bucket],
        check=True,
        timeout=100,
    )
