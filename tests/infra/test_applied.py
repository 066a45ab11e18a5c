"""The examples for AWS applied to a moto server with the real provider, used, and destroyed.

Used by a process that has the environment of the outputs and credentials of what was made, while the
server enforces IAM. Not enforced are the policy of the bucket (moto takes a refusal for one without
its condition, so it is taken off before the run) and KMS.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster_buckets.layouts.runs import RUNS

from tests.infra.enforcing import REGION, client_of, enforce, release
from tests.infra.terraform import Terraform

pytestmark = pytest.mark.timeout(1500)

KEYS: dict[str, Any] = {
    "region_name": REGION,
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
}
ACCOUNT = "123456789012"
OIDC = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{REGION}.amazonaws.com/id/ABC"


@dataclass(frozen=True)
class Case:
    """An example, and what must be said to it."""

    name: str
    prefix: str
    bucket: str = "lake"
    variables: dict[str, Any] | None = None


CASES = [
    Case("local", "dev"),
    Case(
        "aws-ecs",
        "prod",
        variables={
            "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lake:1",
            "execution_role_arn": f"arn:aws:iam::{ACCOUNT}:role/execution",
            "log_group": "dagster",
        },
    ),
    Case(
        "aws-eks",
        "prod",
        # moto has no associations of EKS Pod Identity: tests/identity.tftest.hcl plans them.
        variables={
            "cluster_name": "dagster",
            "identity": "irsa",
            "oidc_provider_arn": OIDC,
            "image": {"repository": "lake", "tag": "1"},
        },
    ),
]


def override(folder: Path, endpoint: str) -> None:
    """Lead the provider of an example to the server, as a file that Terraform merges."""
    services = ("ecs", "eks", "iam", "kms", "s3", "sts")
    provider = {
        "access_key": "test",
        "secret_key": "test",
        "s3_use_path_style": True,
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "endpoints": [dict.fromkeys(services, endpoint)],
    }
    merged = json.dumps({"provider": {"aws": provider}})
    (folder / "moto_override.tf.json").write_text(merged, encoding="utf-8")


def client(service: str, endpoint: str) -> Any:
    return client_of(service, endpoint, KEYS)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_example_is_applied_used_and_destroyed(
    infra: Path, aws_config: Path | None, moto: str, case: Case
) -> None:
    folder = infra / "examples" / case.name
    variables = {"region": REGION, "bucket": case.bucket, **(case.variables or {})}
    if case.name == "local":
        variables["endpoint"] = moto
    else:
        override(folder, moto)
    if case.name == "aws-eks":
        client("eks", moto).create_cluster(
            name="dagster", roleArn=f"arn:aws:iam::{ACCOUNT}:role/eks", resourcesVpcConfig={}
        )
    terraform = Terraform(folder, aws_config)
    terraform.init()
    terraform.apply(**variables)
    outputs = terraform.outputs()
    assert terraform.changes(**variables) == ""
    s3 = client("s3", moto)
    check_bucket(s3, case, refuses=case.name != "local")
    if case.name == "aws-ecs":
        check_tasks(client("ecs", moto), outputs)
    if case.name == "aws-eks":
        check_helm(outputs)

    env = dict(outputs["env"])
    if case.name != "local":
        s3.delete_bucket_policy(Bucket=case.bucket)
        env |= assumed(client("sts", moto), outputs["role_arn"])
        env["AWS_ENDPOINT_URL_S3"] = moto
    check_runs(s3, case, moto, folder / "definitions.py", env)

    if case.name != "local":
        empty(s3, case.bucket)  # only the example that holds nothing of worth may delete values
    terraform.destroy(**variables)
    assert terraform.resources() == []
    assert s3.list_buckets()["Buckets"] == []
    s3.close()


def check_bucket(s3: Any, case: Case, *, refuses: bool) -> None:
    """The server has what the module promises."""
    name = {"Bucket": case.bucket}
    rule = s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["BucketKeyEnabled"] is True
    default = rule["ApplyServerSideEncryptionByDefault"]
    assert default["SSEAlgorithm"] == "aws:kms"
    assert default["KMSMasterKeyID"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
    blocks = s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"]
    assert len(blocks) == 4
    assert all(blocks.values())
    controls = s3.get_bucket_ownership_controls(**name)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = {r["ID"]: r for r in s3.get_bucket_lifecycle_configuration(**name)["Rules"]}
    assert {r["Status"] for r in rules.values()} == {"Enabled"}
    assert rules["outputs-of-ops"]["Filter"] == {"Prefix": f"{case.prefix}/{RUNS}/"}
    assert rules["outputs-of-ops"]["Expiration"]["Days"] == 30
    assert rules["old-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    aborting = rules["unfinished-uploads"]["AbortIncompleteMultipartUpload"]
    assert aborting == {"DaysAfterInitiation": 3}
    if not refuses:
        with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
            s3.get_bucket_policy(**name)
        return
    policy = json.loads(s3.get_bucket_policy(**name)["Policy"])
    arn = f"arn:aws:s3:::{case.bucket}"
    common = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    assert {s.pop("Sid"): (sorted(s.pop("Resource")), s) for s in policy["Statement"]} == {
        "RefuseWithoutTls": (
            [arn, f"{arn}/*"],
            {**common, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ),
        "RefuseOldTls": (
            [arn, f"{arn}/*"],
            {**common, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ),
    }


def check_tasks(ecs: Any, outputs: dict[str, Any]) -> None:
    """Both tasks have the environment; only runs have the role."""
    for name, role in (("code", None), ("run", outputs["role_arn"])):
        arn = outputs[f"{name}_task_definition_arn"]
        task = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        (container,) = task["containerDefinitions"]
        env = {entry["name"]: entry["value"] for entry in container["environment"]}
        assert env == outputs["env"]
        assert (task.get("taskRoleArn") or None, container["name"]) == (role, name)
        assert f'"task_definition": "{task["family"]}"' in outputs["dagster_yaml"] or name == "code"
    assert '"container_name": "run"' in outputs["dagster_yaml"]


def check_helm(outputs: dict[str, Any]) -> None:
    """The values for the chart hold the environment and the role."""
    yaml: Any = importlib.import_module("yaml")  # without types
    values = yaml.safe_load(outputs["helm_values"])
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert {entry["name"]: entry["value"] for entry in deployment["env"]} == outputs["env"]
    annotations = values["serviceAccount"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": outputs["role_arn"]}
    assert values["global"] == {"serviceAccountName": "dagster"}


def assumed(sts: Any, role: str) -> dict[str, str]:
    """The environment of a task that has the role."""
    found = sts.assume_role(RoleArn=role, RoleSessionName="run")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }


def check_runs(s3: Any, case: Case, moto: str, path: Path, env: dict[str, str]) -> None:
    """Runs with that environment, and nothing else, store and load their values."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    account = enforce(moto)
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "tests.infra.materialize", str(path)],
            env={**known, **env, "DAGSTER_DISABLE_TELEMETRY": "yes"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        admin = account.client("s3")
        objects = admin.list_objects_v2(Bucket=case.bucket)["Contents"]
        admin.close()
    finally:
        release(moto)
    assert found["revenue"] == {"eur": 61.0}
    assert sorted(entry["Key"] for entry in objects) == [
        f"{case.prefix}/{RUNS}/{found['run']}/hear/result/data.txt",
        f"{case.prefix}/{RUNS}/{found['run']}/say/result/data.txt",
        f"{case.prefix}/orders/partition=2026-01/data.parquet",
        f"{case.prefix}/orders/partition=2026-02/data.parquet",
        f"{case.prefix}/revenue/data.json",
    ]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=case.bucket)["Rules"]
    (expiring,) = [r["Filter"]["Prefix"] for r in rules if r.get("Expiration", {}).get("Days")]
    expired = [entry["Key"] for entry in objects if entry["Key"].startswith(expiring)]
    assert expired == [entry["Key"] for entry in objects if f"/{RUNS}/" in entry["Key"]]


def empty(s3: Any, bucket: str) -> None:
    for entry in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
