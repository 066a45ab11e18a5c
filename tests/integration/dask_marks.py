"""What tasks of Dask do that leave a mark: in whatever process they run, and however often."""

import os
import time
from collections import Counter
from pathlib import Path

import pandas as pd


def mark(folder: str, name: str) -> None:
    """Leave a file that says that a task ran, and where."""
    (Path(folder) / f"{name}@{os.getpid()}@{time.monotonic_ns()}").touch()


def marks(folder: Path) -> Counter[str]:
    """How often each task ran."""
    return Counter(path.name.partition("@")[0] for path in folder.iterdir() if path.is_file())


def processes(folder: Path) -> set[str]:
    """Where they ran."""
    return {path.name.split("@")[1] for path in folder.iterdir() if path.is_file()}


def rates(folder: str) -> int:
    """What all partitions need, and is expensive to make."""
    mark(folder, "rates")
    time.sleep(0.2)
    return 2


def raw(number: int, folder: str) -> pd.DataFrame:
    """What all partitions are filtered from."""
    mark(folder, f"raw-{number}")
    return pd.DataFrame({"day": ["d1", "d2", "d3"] * 10, "n": [number] * 30})


def times(frame: pd.DataFrame, rate: int) -> pd.DataFrame:
    return frame.assign(n=frame["n"] * rate)


def times_item(number: int, rate: int) -> int:
    return number * rate


def fails(*_: object) -> pd.DataFrame:
    msg = "on purpose"
    raise RuntimeError(msg)
