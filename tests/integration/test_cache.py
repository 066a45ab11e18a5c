"""The read cache of a manager, in runs against servers that count what moves."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster_buckets.errors import ConfigurationError
from dagster_buckets_local import LocalIOManager

from tests.integration import support
from tests.integration.support import MakeManager


@dg.asset
def numbers() -> pd.DataFrame:
    return pd.DataFrame({"n": range(50_000)})


@dg.asset
def total(numbers: pd.DataFrame) -> int:
    return int(numbers["n"].sum())


@pytest.fixture
def make_s3(request: pytest.FixtureRequest) -> MakeManager:
    return support.s3_backend(request)


def test_a_second_run_moves_no_body(make_s3: MakeManager, tmp_path: Path) -> None:
    manager = make_s3(cache=str(tmp_path / "cache"))
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([numbers], resources={"io_manager": manager}, instance=instance)
        for _ in range(2):
            done = dg.materialize(
                [numbers, total],
                selection=[total],
                resources={"io_manager": manager},
                instance=instance,
            )
            assert done.asset_value("total") == sum(range(50_000))
    (kept,) = [
        p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size > 9999
    ]
    # Proof that the folder was read: a process of its own finds it, and asks nothing but for a change.
    store = make_s3(cache=str(tmp_path / "cache")).values.store
    before = kept.stat().st_mtime_ns
    key = next(info.key for info in store.scan("numbers"))
    assert bytes(store.get(key).data) == bytes(make_s3().values.store.get(key).data)
    assert store.hits == 1  # type: ignore[attr-defined]
    assert kept.stat().st_mtime_ns > before


def test_the_local_manager_has_none(tmp_path: Path) -> None:
    manager = LocalIOManager(root=str(tmp_path / "root"), cache=str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match="nothing to gain"):
        _ = manager.values
