"""Every module and every example: installed, valid, and as its own `terraform test` says.

Those for Google are schema-checked, not applied (`google_provider.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.terraform import INFRA, Terraform

pytestmark = pytest.mark.timeout(600)

ROOTS = sorted(path.parent.relative_to(INFRA) for path in INFRA.glob("*/*/main.tf"))


def needs(root: Path) -> str:
    """The provider that a root needs, with its modules."""
    text = (INFRA / root / "versions.tf").read_text("utf-8")
    return next((name for name in ("aws", "google") if f"hashicorp/{name}" in text), "")


def names(provider: str) -> list[str]:
    return [str(root) for root in ROOTS if needs(root) == provider]


def check(infra: Path, root: str, config: Path | None) -> None:
    terraform = Terraform(infra / root, config)
    terraform.init()
    assert '"valid": true' in terraform.run("validate", "-json")
    tests = list((infra / root).glob("tests/*.tftest.hcl"))
    assert tests or root.startswith("examples/"), "a module without a test"
    if tests:
        assert "Success!" in terraform.run("test", "-no-color")


@pytest.mark.parametrize("root", names(""))
def test_without_a_provider(infra: Path, root: str) -> None:
    check(infra, root, None)


@pytest.mark.parametrize("root", names("aws"))
def test_with_the_provider_of_aws(infra: Path, aws_config: Path | None, root: str) -> None:
    check(infra, root, aws_config)


@pytest.mark.parametrize("root", names("google"))
def test_schema_checked_not_applied_with_the_provider_of_google(
    infra: Path, google_settings: Path | None, root: str
) -> None:
    check(infra, root, google_settings)


def test_all_modules_and_examples_are_here() -> None:
    assert [str(root) for root in ROOTS] == [
        "examples/aws-ecs",
        "examples/aws-eks",
        "examples/gcp-gke",
        "examples/local",
        "modules/gcs-access",
        "modules/gcs-store",
        "modules/s3-access",
        "modules/s3-policy",
        "modules/s3-store",
    ]
