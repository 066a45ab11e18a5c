"""What the tests of the command line share: modules that they write, and what a command printed."""

from __future__ import annotations

import importlib.util
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from click.testing import Result

#: The fixture ``invoke``: runs ``dagster-buckets`` with these arguments, and compares its exit code.
Invoke: TypeAlias = Callable[..., Result]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"shop_{secrets.token_hex(4)}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_module(path: Path, source: str) -> Any:
    path.write_text(source)
    # Python takes what it compiled of a file of the same size and second for the same.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    return load(path)


def told(result: Result) -> Any:
    return json.loads(result.stdout)
