"""Components: managers in ``defs.yaml``."""

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import BucketIOManager, ConfigurationError, LiteralSecretWarning
from dagster_buckets.component import IOManagerComponent
from dagster_buckets.environment import from_environment
from dagster_buckets_gcs.component import GCSIOManagerComponent
from dagster_buckets_local.component import LocalIOManagerComponent
from dagster_buckets_s3.component import S3IOManagerComponent

ALL = [GCSIOManagerComponent, LocalIOManagerComponent, S3IOManagerComponent]


def resolved(component: type[IOManagerComponent], text: str) -> IOManagerComponent:
    scope = {"env_var": component.env_var()}
    found: IOManagerComponent = component.resolve_from_yaml(text, scope=scope)
    return found


@pytest.mark.parametrize("component", ALL, ids=lambda made: made.__name__)
def test_each_setting_of_the_manager_is_an_attribute(component: type[IOManagerComponent]) -> None:
    settings = component.manager_type.model_fields
    attributes = component.model().model_fields
    assert set(attributes) == {*settings, "resource_key"}
    required = {name for name, field in attributes.items() if field.is_required()}
    assert required == {name for name, field in settings.items() if field.is_required()}
    assert all(field.description for field in attributes.values())
    name = f"{component.__module__}.{component.__name__}"
    assert name.startswith(component.manager_type.__module__.partition(".")[0])


def test_the_attributes_make_the_manager() -> None:
    made = resolved(
        S3IOManagerComponent,
        """
        resource_key: lake
        bucket: lake
        prefix: prod
        format_options: {parquet: {compression_level: 9}}
        max_concurrency: 8
        tags: {team: data}
        read_from: {bucket: archive, layout: legacy}
        """,
    )
    manager = made.manager
    assert isinstance(manager, S3IOManagerComponent.manager_type)
    assert made.resource_key == "lake"
    assert manager.max_concurrency == 8
    assert manager.format_options == {"parquet": {"compression_level": 9}}
    assert manager.read_from is not None
    assert manager.read_from.layout == "legacy"


def test_values_of_the_environment_are_read_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolved(
        LocalIOManagerComponent,
        """
        root: '{{ env_var("COMPONENT_ROOT") }}'
        pickle_key: '{{ env_var("COMPONENT_KEY") }}'
        max_decoded_bytes: '{{ env_var.int("COMPONENT_BYTES") }}'
        """,
    )
    manager: Any = made.manager
    given = (manager.root, manager.pickle_key, manager.max_decoded_bytes)
    assert all(from_environment(value) for value in given)

    @dg.asset
    def orders() -> dict[str, float]:
        return {"de": 20.0}

    monkeypatch.setenv("COMPONENT_ROOT", str(tmp_path / "values"))
    monkeypatch.setenv("COMPONENT_KEY", "2026:correct-horse-battery")
    monkeypatch.setenv("COMPONENT_BYTES", "1000000")
    assert dg.materialize([orders], resources={"io_manager": manager}).success
    assert os.listdir(tmp_path / "values" / "orders") == ["data.json"]  # noqa: PTH208


def test_a_secret_in_the_file_draws_the_warning() -> None:
    made = resolved(
        S3IOManagerComponent, "{bucket: lake, aws_access_key_id: a, aws_secret_access_key: canary}"
    )
    assert "canary" not in repr(made)
    with pytest.warns(LiteralSecretWarning, match="aws_secret_access_key"):
        _ = made.manager


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{root: x, format: parquett}", "parquett"),
        ("{root: x, max_concurrency: 0}", "greater than or equal to 1"),
        ("{root: x, layout: '{asset}'}", "layout"),
    ],
)
def test_what_cannot_work_is_refused_when_definitions_load(text: str, message: str) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=message):
        _ = resolved(LocalIOManagerComponent, text).manager


def test_definitions_have_the_manager_under_its_key() -> None:
    made = resolved(LocalIOManagerComponent, "{root: values, resource_key: files}")
    definitions = made.build_defs(None)  # type: ignore[arg-type]
    assert definitions.resources is not None
    assert isinstance(definitions.resources["files"], BucketIOManager)
