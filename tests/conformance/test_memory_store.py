from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from dagster_buckets.objects import ObjectInfo
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.testing.stores import RawObjects, StoreConformance


@dataclass
class RawMemory(RawObjects):
    store: MemoryStore

    def read(self, key: str) -> bytes:
        return self.store._space.objects[key][0]

    def write(self, key: str, data: bytes) -> None:
        info = ObjectInfo(key, "", len(data), secrets.token_hex(4), datetime.now(UTC))
        self.store._space.objects[key] = (data, info)

    def keys(self) -> list[str]:
        return sorted(self.store._space.objects)

    def damage(self, key: str, data: bytes) -> None:
        self.store._space.objects[key] = (data, self.store._space.objects[key][1])


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(secrets.token_hex(4), "base/prefix")

    @pytest.fixture
    def raw(self, store: MemoryStore) -> RawMemory:
        return RawMemory(store)
