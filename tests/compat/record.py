"""Records keys and bytes as this version writes them: ``python -m tests.compat.record``.

Run it once for each release, before it is tagged. What is recorded is never recorded again: later
versions have to read it (``test_recorded.py``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dagster_buckets import InvalidKeyError, MemoryStore, ValueStore, __version__
from dagster_buckets.address import AssetAddress
from dagster_buckets.plugins import get_layout

from tests.compat.corpus import ADDRESSES, EXTENSIONS, LAYOUTS, VALUES

RECORDED = Path(__file__).parent / "recorded"


def keys() -> dict[str, dict[str, dict[str, str]]]:
    """``{layout: {address: {extension: key}}}``, without what a layout refuses."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for spec in LAYOUTS:
        layout = get_layout(spec)
        for name, address in ADDRESSES.items():
            try:
                made = {extension: layout.key(address, extension) for extension in EXTENSIONS}
            except InvalidKeyError:
                continue
            found.setdefault(spec, {})[name] = made
    return found


def objects(folder: Path) -> list[dict[str, Any]]:
    """Write every value, by number, and say what each is."""
    values = ValueStore(MemoryStore(f"record-{__version__}"), get_layout("hive"))
    entries: list[dict[str, Any]] = []
    for number, (name, (format_name, value)) in enumerate(VALUES.items()):
        address = AssetAddress.of(["recorded", name], "2024-01-31")
        info = values.write(address, value, format_name=format_name).info
        payload = values.store.get(info.key)
        (folder / f"{number:03}.bin").write_bytes(payload.data)
        header = payload.info.header
        entries.append(
            {
                "value": name,
                "format": format_name,
                "key": info.key,
                "file": f"{number:03}.bin",
                "attributes": header.to_attributes() if header else {},
            }
        )
    return entries


def main() -> None:
    """Record this version, unless it is recorded already."""
    folder = RECORDED / __version__
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        sys.exit(f"{__version__} is recorded already: what was written once must stay readable")
    for file, content in (("keys.json", keys()), ("objects.json", objects(folder))):
        text = json.dumps(content, indent=1, ensure_ascii=True)
        (folder / file).write_text(text + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
