"""A store for tests of scans: counts requests and bytes, and can be slow."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Self, cast

from dagster_buckets.objects import Buffer, ObjectInfo, Payload
from dagster_buckets.stores.memory import MemoryStore


class ReadingStore(MemoryStore):
    """A memory store that notes how it is read."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(uuid.uuid4().hex)
        self.delay = delay
        self.lock = threading.Lock()
        self.gets: list[str] = []
        self.opens: list[str] = []
        self.ranged = 0
        self.now = self.peak = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        time.sleep(self.delay)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1

    def get(self, key: str) -> Payload:
        self.gets.append(key)
        with self.request():
            return super().get(key)

    def peek(self, key: str, size: int) -> Payload:
        self.gets.append(key)
        with self.request():
            return super().peek(key, size)

    def read_range(self, version: ObjectInfo, start: int, stop: int) -> Buffer:
        self.opens.append(version.key)
        with self.request():
            self.ranged += stop - start
            return super().read_range(version, start, stop)

    def open(self, key: str, version: ObjectInfo | None = None) -> BinaryIO:
        self.opens.append(key)
        with self.request():
            return cast("BinaryIO", _File(self, super().open(key, version)))

    def head(self, key: str) -> ObjectInfo:
        with self.request():
            return super().head(key)


class _File:
    def __init__(self, store: ReadingStore, file: BinaryIO) -> None:
        self._store = store
        self._file = file

    def read(self, size: int = -1) -> bytes:
        with self._store.request():
            data = self._file.read(size)
        self._store.ranged += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
