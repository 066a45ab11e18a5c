from __future__ import annotations

from pathlib import Path

import pytest
from dagster_buckets import MemoryIOManager
from dagster_buckets.testing.io_managers import IOManagerConformance
from dagster_buckets_local import LocalIOManager


class TestMemoryIOManager(IOManagerConformance):
    @pytest.fixture
    def manager(self) -> MemoryIOManager:
        return MemoryIOManager()


class TestLocalIOManager(IOManagerConformance):
    @pytest.fixture
    def manager(self, tmp_path: Path) -> LocalIOManager:
        return LocalIOManager(root=str(tmp_path / "root"))
