"""The policy documents of `infra/modules/s3-policy`, computed by Terraform without a provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.infra.terraform import Terraform

BUCKET = "lake"
PREFIX = "base/prefix"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
VARIANTS: dict[str, dict[str, Any]] = {
    "writer": {},
    "reader": {"read_only": True},
    "deleter": {"allow_delete": True},
    "everything": {"allow_delete": True, "allow_sweep": True, "allow_tagging": True},
    "encrypted writer": {"kms_key_arn": KEY},
    "encrypted reader": {"kms_key_arn": KEY, "read_only": True},
    "whole bucket": {"prefix": ""},
    "whole bucket with everything": {
        "prefix": "",
        "allow_delete": True,
        "allow_sweep": True,
        "allow_tagging": True,
    },
    "lister": {"list_scope": "bucket"},
    "china": {"bucket_arn": "arn:aws-cn:s3:::lake"},
}

#: Actions that moto does not enforce.
DOCUMENT_ONLY = {"kms:Decrypt", "kms:GenerateDataKey", "s3:PutObjectTagging"}

Document = dict[str, Any]


def compute(infra: Path, folder: Path) -> dict[str, Document]:
    """The document of each variant."""
    source = str(infra / "modules" / "s3-policy")
    common = {"source": source, "bucket_arn": f"arn:aws:s3:::{BUCKET}", "prefix": PREFIX}
    root = {
        "module": {_name(name): {**common, **given} for name, given in VARIANTS.items()},
        "output": {_name(name): {"value": f"${{module.{_name(name)}.json}}"} for name in VARIANTS},
    }
    (folder / "main.tf.json").write_text(json.dumps(root), encoding="utf-8")
    terraform = Terraform(folder)
    terraform.init()
    terraform.apply()
    found = terraform.outputs()
    return {name: json.loads(found[_name(name)]) for name in VARIANTS}


def actions(document: Document) -> set[str]:
    """All that a document allows."""
    return {action for statement in document["Statement"] for action in statement["Action"]}


def statement(document: Document, action: str) -> dict[str, Any]:
    (found,) = [entry for entry in document["Statement"] if action in entry["Action"]]
    return dict(found)


def without(document: Document, action: str) -> Document:
    """The document, but for one action."""
    less = [
        {**statement, "Action": [known for known in statement["Action"] if known != action]}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": [statement for statement in less if statement["Action"]]}


def _name(variant: str) -> str:
    return variant.replace(" ", "_")
