"""The pages on taking a stock manager's place: their diffs are applied, and nothing is lost."""

import json
import secrets
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import dagster as dg
import pytest

from tests.compat.support import S3_KEYS

pytestmark = [pytest.mark.usefixtures("alone"), pytest.mark.filterwarnings("default")]

PAGES = Path(__file__).parents[2] / "docs" / "how-to" / "replace"


def sides(page: Path) -> tuple[str, str]:
    """The module before and after the diff of a page."""
    block = page.read_text("utf-8").partition("```diff\n")[2].partition("```")[0]
    lines = block.splitlines()
    assert {line[:1] for line in lines} == {"", " ", "+", "-"}
    return tuple(  # type: ignore[return-value]
        "\n".join(line[1:] for line in lines if line[:1] in {sign, " ", ""}) for sign in "-+"
    )


def executed(source: str) -> ModuleType:
    module = ModuleType(f"page_{secrets.token_hex(4)}")
    exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102 - our own page
    return module


@pytest.fixture(scope="module")
def lakes(moto_endpoint: str, gcs_endpoint: str) -> None:
    """The buckets that the pages name."""
    client = boto3.client("s3", endpoint_url=moto_endpoint, **S3_KEYS)
    client.create_bucket(Bucket="lake")
    client.close()
    made = urllib.request.Request(  # noqa: S310
        f"{gcs_endpoint}/storage/v1/b?project=test",
        json.dumps({"name": "lake"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(made, timeout=10):  # noqa: S310
        pass


@pytest.fixture
def clouds(
    lakes: None, moto_endpoint: str, gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leads everybody to them who says nothing else."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_KEYS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", S3_KEYS["region_name"])
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_endpoint)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_what_each_side_writes_the_other_loads(page: Path, clouds: None) -> None:
    before, after = (executed(source) for source in sides(page))
    with dg.DagsterInstance.ephemeral() as instance:
        _write(before, instance, "de")
        for module in (before, after):
            assert _loaded(module, instance, "de") == _value(before)
        _write(after, instance, "fr")
        for module in (before, after):
            assert _loaded(module, instance, "fr") == _value(before)


def _write(module: ModuleType, instance: dg.DagsterInstance, key: str) -> None:
    job = module.defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, partition_key=key).success


def _loaded(module: ModuleType, instance: dg.DagsterInstance, key: str) -> Any:
    # A frame comes as the class that is asked for; a list of one partition could mean two things.
    made = type(module.orders())
    asked = None if made is list else made
    value = module.defs.load_asset_value(
        "orders", python_type=asked, partition_key=key, instance=instance
    )
    return value if isinstance(value, list) else value.rows()


def _value(module: ModuleType) -> Any:
    value = module.orders()
    return value if isinstance(value, list) else value.rows()
