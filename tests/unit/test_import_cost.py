from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("dagster", "pyarrow", "pandas", "polars", "numpy", "pytest", "hypothesis")
SDKS = ("boto3", "botocore", "obstore", "s3fs", "gcsfs", "fsspec", "aiohttp", "google")

LIST = "import sys, json; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def loaded_by(statement: str) -> set[str]:
    # Less what the interpreter loads by itself.
    command = [sys.executable, "-W", "error", "-c"]
    before = subprocess.run([*command, LIST], capture_output=True, check=True)  # noqa: S603
    script = f"{statement}\n{LIST}"
    after = subprocess.run([*command, script], capture_output=True, check=True)  # noqa: S603
    return set(json.loads(after.stdout)) - set(json.loads(before.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import dagster_buckets",
        "import dagster_buckets_local",
        "from dagster_buckets import MemoryStore; MemoryStore('x')",
        "from dagster_buckets.plugins import names; assert names('formats')",
        "import dagster_buckets_s3",
        "import dagster_buckets_gcs",
        "import dagster_buckets_s3; dagster_buckets_s3.S3Store",
        "import dagster_buckets_gcs; dagster_buckets_gcs.GCSStore",
    ],
)
def test_imports_are_light(statement: str) -> None:
    loaded = loaded_by(statement)
    assert any(name.startswith("dagster_buckets") for name in loaded)
    assert not loaded & {*HEAVY, *SDKS}


def test_plain_values_need_no_frame_library() -> None:
    statement = (
        "from dagster_buckets import AssetAddress, HiveLayout, MemoryStore, ValueStore\n"
        "values = ValueStore(MemoryStore('x'), HiveLayout())\n"
        "values.write(AssetAddress.of(['a']), {'n': 1})\n"
        "assert values.read(AssetAddress.of(['a'])) == {'n': 1}"
    )
    assert not loaded_by(statement) & {*HEAVY, *SDKS}


@pytest.mark.parametrize(
    ("statement", "sdks"),
    [
        ("from dagster_buckets import MemoryIOManager; MemoryIOManager()", SDKS),
        ("from dagster_buckets_local import LocalIOManager; LocalIOManager(root='x')", SDKS),
    ],
)
def test_managers_need_no_sdk(statement: str, sdks: tuple[str, ...]) -> None:
    # Dagster itself may bring some of them along.
    assert not (loaded_by(statement) - loaded_by("import dagster")) & set(sdks)
