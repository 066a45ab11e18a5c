from __future__ import annotations

import json
import random
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from typing import Any

import pytest
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.compression import compressed
from dagster_buckets.formats.json import JSONFormat
from dagster_buckets.formats.json_sizes import may_exceed, most_memory
from dagster_buckets.formats.limits import Limit
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of

CHANCE = random.Random(20_260_101)  # noqa: S311 - repeatable, not secret


def many(item: str, count: int = 20_000) -> str:
    return f"[{','.join([item] * count)}]"


#: Texts that become as much more than their bytes as can be.
HOSTILE = {
    "empty lists": many("[]"),
    "empty dicts": many("{}"),
    "lists of one": many("[1]"),
    "lists of five": many("[0,0,0,0,0]"),
    "dicts of one": many('{"a":1}'),
    "dicts of six": many('{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0}'),
    "new keys": "{" + ",".join(f'"{n:x}":{{}}' for n in range(20_000)) + "}",
    "new keys, full": "{" + ",".join(f'"{n:x}":"{n:x}"' for n in range(10_923)) + "}",
    "new keys, wide": "{" + ",".join(f'"é{n:x}":1e1' for n in range(10_923)) + "}",
    "small numbers": many("1"),
    "numbers": many("257"),
    "floats": many("1e1"),
    "long numbers": many("1" * 4000, 20),
    "one wide character": '["' + "a" * 200_000 + '\U0001f600"]',
    "one wide escape": '["' + "a" * 200_000 + '\\ud83d\\ude00"]',
    "wide strings": many('"\U0001f600b"'),
    "half wide strings": many('"日b"'),
    "latin strings": many('"éa"'),
    "short strings": "[" + ",".join(f'"{n:x}"' for n in range(20_000)) + "]",
    "deep lists": many("[" * 50 + "]" * 50, 500),
    "deep dicts": many('{"":' * 50 + "0" + "}" * 50, 500),
}
ORDINARY = {
    "records": [{"id": n, "name": f"user {n}", "score": n * 1.5, "ok": True} for n in range(5000)],
    "wide records": [{f"column_{k}": CHANCE.random() for k in range(20)} for _ in range(1000)],
    "text": [{"id": n, "text": "lorem ipsum, dolor sit amet: " * 9} for n in range(1000)],
    "nested": [
        {"id": n, "items": [{"n": k} for k in range(5)], "at": {"x": 1.5}} for n in range(900)
    ],
    "matrix": [[CHANCE.random() for _ in range(100)] for _ in range(100)],
    "small integers": list(range(200)) * 100,
}


def peak_of(data: bytes) -> int:
    tracemalloc.start()
    try:
        json.loads(data)
        return tracemalloc.get_traced_memory()[1] + len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_becomes_more(name: str) -> None:
    data = HOSTILE[name].encode()
    assert peak_of(data) <= most_memory(data)


@pytest.mark.parametrize("name", ORDINARY)
def test_records_are_not_taken_for_much_more_than_they_are(name: str) -> None:
    data = json.dumps(ORDINARY[name]).encode()
    peak = peak_of(data)
    assert peak <= most_memory(data) <= 4 * peak


@pytest.mark.parametrize("name", [*HOSTILE, *ORDINARY])
def test_the_short_cut_tells_the_same(name: str) -> None:
    data = (HOSTILE.get(name) or json.dumps(ORDINARY[name])).encode()
    for extra in ((0, 0), (1000, 0), (1000, 300)):
        most = most_memory(data, *extra)
        assert not may_exceed(data, most, *extra)
        assert may_exceed(data, most - 1, *extra)


@dataclass
class Model:
    a: int = 0
    b: str = ""


BOMB = "[" + ",".join(["[]"] * 700_000) + "]"


@pytest.mark.parametrize("as_type", [None, list, list[Model]], ids=str)
def test_a_bomb_is_refused_before_it_is_parsed(as_type: Any) -> None:
    data = BOMB.encode()
    limit = Limit(max_bytes=16 * 1024 * 1024)
    payload = payload_of(Body.of(data))
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=r"memory://.*becomes more than 16,777,216"):
            JSONFormat(limit=limit).decode(payload, as_type)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert len(JSONFormat().decode(payload, None)) == 700_000


def test_a_compressed_bomb_is_refused() -> None:
    limit = Limit(max_bytes=16 * 1024 * 1024)
    chosen = compressed(JSONFormat(limit=limit), "zstd", limit)
    payload = payload_of(compressed(JSONFormat(), "zstd", Limit()).encode([[]] * 700_000))
    with pytest.raises(DecodeError, match="becomes more"):
        chosen.decode(payload, None)


def test_what_is_allowed_is_loaded() -> None:
    value = [{"id": n, "name": f"user {n}"} for n in range(1000)]
    body = JSONFormat().encode(value)
    limit = Limit(max_bytes=most_memory(bytes(body.joined())))
    assert JSONFormat(limit=limit).decode(payload_of(body), None) == value


_MODELS = """
import sys
from pathlib import Path
from pydantic import TypeAdapter
from dataclasses import dataclass, field, make_dataclass
from dagster_buckets.formats.json_models import memory_of
from dagster_buckets.formats.json_sizes import most_memory
from pydantic import BaseModel

@dataclass
class Data:
    a: int = 0; b: float = 0.0; c: str = ""; d: list = field(default_factory=list); e: int = 0

class Model(BaseModel):
    a: int = 0; b: float = 0.0; c: str = ""; d: list = []; e: int = 0

cls = {"Data": Data, "Model": Model}[sys.argv[1]]
data = ("[" + ",".join([sys.argv[2]] * 300_000) + "]").encode()
adapter = TypeAdapter(list[cls])

def memory(name):
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024

Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
try:
    adapter.validate_json(data, strict=True)
except ValueError:
    pass
print(memory("VmHWM") - before, most_memory(data, *memory_of(list[cls])))
"""


@pytest.mark.xfail(
    sys.platform != "linux", reason="needs the peak that Linux can reset", strict=True
)
@pytest.mark.parametrize("item", ["{}", '{"a":1}', "[]", "1", '{"d":[1]}', '"ab"'])
@pytest.mark.parametrize("cls", ["Data", "Model"])
def test_no_text_becomes_more_as_models(cls: str, item: str) -> None:
    # What pydantic allocates only the process shows.
    command = [sys.executable, "-c", _MODELS, cls, item]
    found = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    used, most = map(int, found.stdout.split())
    assert 0 < used <= most
