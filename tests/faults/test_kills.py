"""Fault 1: the writing process is killed at any point of a write over a good value."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets.objects import Body

from tests.faults.conftest import BACKENDS, Site
from tests.faults.writers import KEY, KINDS, content

_ROOT = Path(__file__).parents[2]
#: Kills for each kind of value; in sum 200.
_KILLS = {"small": 140, "large": 30, "stream": 30}
#: At most so many more, where few kills all fell before the value changes, or all after it.
_MORE = 40


class Writers:
    """The process that forks writers."""

    def __init__(self, site: Site) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-W", "ignore", "-m", "tests.faults.writers", site.backend,
             json.dumps(site.control)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=os.environ,
        )  # fmt: skip
        assert self._answer() == "ready"

    def write(self, number: int, kind: str, delay: float | None) -> dict[str, Any]:
        """One write; killed after ``delay`` seconds."""
        assert self._process.stdin is not None
        order = {"round": number, "kind": kind, "delay": delay}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("server", BACKENDS)
def test_a_killed_writer_leaves_the_old_value_or_the_new_one(
    server: str, make_site: Callable[[str], Site], rng: random.Random, scaled: Callable[[int], int]
) -> None:
    site = make_site(server)
    store = site.bare()
    writers = Writers(site)
    seen: Counter[str] = Counter()
    number = 0
    try:
        for kind, kills in _KILLS.items():
            store.put(KEY, Body.of(content(number, kind)))
            times = []
            for _ in range(3):
                number += 1
                done = writers.write(number, kind, None)
                assert done["status"] == 0
                times.append(done["seconds"])
            old = content(number, kind)
            # What a killed writer has sent, the server may yet store.
            pending: dict[bytes, int] = {}
            for left in reversed(range(scaled(kills) + _MORE)):
                if left < _MORE and (kind != "stream" or both(seen)):
                    break
                number += 1
                new = content(number, kind)
                # The later of the kills beyond the agreed ones come later, so that a writer of a
                # busy machine has the time to be ready too.
                longest = 1.2 if left >= _MORE else 1.2 + 2 * (_MORE - left) / _MORE
                delay = rng.uniform(0, longest * statistics.median(times))
                done = writers.write(number, kind, delay)
                assert done["status"] in {0, -9}
                found = bytes(store.get(KEY).data)
                what = f"round {number} ({kind}), killed after {delay:.4f} s"
                if found == old:
                    assert done["status"] == -9, f"{what}: it was finished, and is not there"
                    seen["old"] += 1
                    pending[new] = number
                    continue
                assert found == new or found in pending, f"{what}: neither the old nor a new value"
                seen["new" if done["status"] else "finished"] += 1
                old = found
                pending.pop(found, None)
                assert [info.key for info in store.scan()] == [KEY]
        # The kills fell on both sides of the moment at which the value changes.
        assert both(seen), seen
        while site.backend != "gcs" and not left_by(site):
            number += 1
            writers.write(number, "stream", statistics.median(times) / 2)
    finally:
        writers.close()
    _leftovers(site)


def both(seen: Counter[str]) -> bool:
    """Whether some kills came before the moment at which the value changes, and others after."""
    return 0 < seen["old"] < sum(seen.values())


def left_by(site: Site) -> list[Any]:
    """What killed writers left; on Google Cloud Storage nobody can list it."""
    if site.backend == "local":
        folder = Path(site.control["root"], "prod", "asset")
        return [path for path in folder.iterdir() if path.name != "data.bin"]
    listed = site.client().list_multipart_uploads(Bucket=site.control["bucket"])
    return list(listed.get("Uploads", []))


def _leftovers(site: Site) -> None:
    """What the killed writers left is found and removed, and the value is not."""
    store: Any = site.bare()
    if site.backend == "gcs":
        return  # Google forgets sessions after a week; nobody can list them
    before, left = bytes(store.get(KEY).data), left_by(site)
    assert left
    # What may be another's, who is still at work, is spared.
    assert store.sweep() == 0 or site.server == "moto"  # where every upload is of 2010
    if site.backend == "local":
        past = time.time() - 7200
        for path in left:
            os.utime(path, (past, past))
        assert store.sweep() == len(left)
    else:
        store.sweep(timedelta(seconds=-60))
    assert left_by(site) == []
    assert bytes(store.get(KEY).data) == before


def test_every_kind_of_value_is_killed() -> None:
    assert set(_KILLS) == set(KINDS)
    assert sum(_KILLS.values()) == 200
