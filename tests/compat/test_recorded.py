"""What earlier versions wrote: this one makes the same keys and reads the same values."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets import ConfigurationError, Header, MemoryStore, ValueStore, __version__
from dagster_buckets.address import Address, AssetAddress, label_of
from dagster_buckets.choosing import Formats
from dagster_buckets.objects import Body, ObjectInfo, Payload
from dagster_buckets.plugins import get_layout
from dagster_buckets.testing.formats import assert_same
from dagster_buckets_local import LocalStore

from tests.compat.corpus import ADDRESSES, VALUES
from tests.compat.record import RECORDED

VERSIONS = sorted(path.name for path in RECORDED.iterdir())


def entries(file: str) -> list[Any]:
    return [
        pytest.param(version, *item, id=f"{version}-{item[0]}")
        for version in VERSIONS
        for item in _items(json.loads((RECORDED / version / file).read_text("ascii")))
    ]


def _items(content: Any) -> list[tuple[Any, ...]]:
    if isinstance(content, dict):
        return list(content.items())
    return [(entry["value"], entry) for entry in content]


class Recorded(MemoryStore):
    """A store whose objects have the headers that were recorded."""

    def __init__(self, attributes: dict[str, str]) -> None:
        super().__init__(secrets.token_hex(8))
        self._header = Header.from_attributes(attributes)

    def get(self, key: str) -> Payload:
        payload = super().get(key)
        info = payload.info
        kept = ObjectInfo(key, info.uri, info.size, info.etag, info.modified, self._header)
        return Payload(payload.data, kept).verify()

    def peek(self, key: str, size: int) -> Payload:
        payload = self.get(key)
        return Payload(payload.data[-size:], payload.info)


def test_this_version_is_recorded() -> None:
    assert __version__ in VERSIONS


@pytest.mark.parametrize(("version", "spec", "recorded"), entries("keys.json"))
def test_keys(version: str, spec: str, recorded: dict[str, dict[str, str]]) -> None:
    layout = get_layout(spec)
    for name, keys in recorded.items():
        address = ADDRESSES[name]
        for extension, key in keys.items():
            assert layout.key(address, extension) == key, (version, name)
            if layout.exclusive:
                expected = None if "~" in key else (address, extension)
                assert layout.parse(key) == expected, (version, name)
            else:
                with pytest.raises(ConfigurationError):
                    layout.parse(key)


@pytest.mark.parametrize(("version", "name", "entry"), entries("objects.json"))
def test_values(version: str, name: str, entry: dict[str, Any], tmp_path: Path) -> None:
    data = (RECORDED / version / entry["file"]).read_bytes()
    address = AssetAddress.of(["recorded", name], "2024-01-31")
    format_name, expected = VALUES[name]
    assert entry["format"] == format_name
    stores = (Recorded(entry["attributes"]), LocalStore(tmp_path))
    for store in stores:
        store.put(entry["key"], Body.of(data))
        values = ValueStore(store, get_layout("hive"), formats=Formats(allow_pickle=True))
        assert_same(values.read(address), expected)
        assert_same(values.read(address, format_name=format_name), expected)


@pytest.mark.parametrize(("version", "name", "entry"), entries("objects.json"))
def test_headers(version: str, name: str, entry: dict[str, Any]) -> None:
    header = Header.from_attributes(entry["attributes"])
    assert header is not None, version
    address: Address = AssetAddress.of(["recorded", name], "2024-01-31")
    assert (header.format, header.address) == (entry["format"], label_of(address))
    assert header.digest and header.write_id and header.size is not None  # noqa: PT018
    assert header.to_attributes() == entry["attributes"]
    # What a later version adds does not disturb this one.
    assert Header.from_attributes(entry["attributes"] | {"dagster-buckets-new": "x"}) == header
