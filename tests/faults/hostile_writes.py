"""A process that writes values under hostile names, and tells which files it opens for writing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.layouts import HiveLayout
from dagster_buckets.testing.strategies import HOSTILE_NAMES
from dagster_buckets.values import ValueStore

from tests.faults.writers import store_of

__all__ = ["addresses"]

#: What leads somewhere else on one system or another, at the start, in the middle and at the end.
_WAYS_OUT = (
    "..", "../..", "../../../../etc/passwd", "/etc/passwd", "//host/share", "~", "~root/x", "$HOME",
    "${HOME}", "%2e%2e%2f", "%2E%2E", "..%2f..", "..%c0%af..", "..\\..", "C:\\x", "C:/x", "\\\\host\\x",
    "file:///etc/passwd", "s3://other/x", "gs://other/x", ".", "./x", "x/.", "x/..", "x/../y", "a//b",
    "-rf", "--delete", "`id`", "$(id)", "; rm -rf x", "| cat", "&& id", "x\ty", "CON", "NUL", "aux.txt",
    "COM1", "x.", "x ", " x", ".runs", ".runs/run", "data.parquet", "partition=x", "a=b/c=d",
    "__HIVE_DEFAULT_PARTITION__", "_SUCCESS", "_temporary", ".part", "x?versionId=1", "x#frag",
    "x&y=z", "x+y", "x%20y", "*", "?", "[ab]", "{a,b}", "<x>", '"x"', "'x'", "x:y", "x|y", "x,y",
)  # fmt: skip


def addresses() -> list[Address]:
    """200 names and more, each as an asset, a partition, a step and a mapping key."""
    names = list(dict.fromkeys([*_WAYS_OUT, *HOSTILE_NAMES]))
    names += [f"{name}/{name}" for name in names[: 220 - len(names)]]
    places: list[Callable[[str], Address]] = [
        lambda name: AssetAddress.of([name]),
        lambda name: AssetAddress.of(["inner", name]),
        lambda name: AssetAddress.of(["partitioned"], name),
        lambda name: AssetAddress.of(["dimensions"], {"a": name, "b": "x"}),
        lambda name: OpAddress("run", name, "result"),
        lambda name: OpAddress("run", "step", "result", name),
    ]
    return [place(name) for name in dict.fromkeys(names) for place in places]


def _main(backend: str, settings: dict[str, Any]) -> None:
    values = ValueStore(store_of(backend, settings), HiveLayout())
    # Whatever is imported and opened at the first use.
    values.write(AssetAddress.of(["first"]), "x")
    touched: list[str] = []
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def watch(event: str, args: tuple[Any, ...]) -> None:
        changes = event in {
            "os.mkdir",
            "os.rename",
            "os.remove",
            "os.symlink",
            "os.link",
            "os.rmdir",
        }
        if changes or (event == "open" and isinstance(args[2], int) and args[2] & writing):
            touched.append(f"{event} {args[0]!r}")

    sys.addaudithook(watch)
    written = [values.write(address, str(address)).info.key for address in addresses()]
    found = [values.read(address, str, format_name="text") for address in addresses()]
    wrong = [str(a) for a, text in zip(addresses(), found, strict=True) if text != str(a)]
    keys = sorted(written)
    print(json.dumps({"touched": touched, "wrong": wrong, "keys": keys}))  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1], json.loads(sys.argv[2]))
