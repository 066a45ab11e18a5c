"""What no server here enforces of the policy of S3 is checked on the document that Terraform computes."""

from __future__ import annotations

from typing import Any

import pytest
from dagster_buckets.objects import Body
from dagster_buckets_s3.store import S3Store

from tests.infra.policies import (
    BUCKET,
    DOCUMENT_ONLY,
    KEY,
    PREFIX,
    VARIANTS,
    Document,
    actions,
    statement,
)
from tests.servers import stub_server


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_wider_than_it_must_be_document_only(
    documents: dict[str, Document], variant: str
) -> None:
    of_bucket = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
    arn = VARIANTS[variant].get("bucket_arn", f"arn:aws:s3:::{BUCKET}")
    prefix = VARIANTS[variant].get("prefix", PREFIX)
    objects = f"{arn}/{prefix}/*" if prefix else f"{arn}/*"
    for entry in documents[variant]["Statement"]:
        assert entry["Effect"] == "Allow"
        assert not any("*" in action for action in entry["Action"])
        if entry["Sid"] == "Key":
            assert entry["Resource"] == [KEY]
        elif of_bucket & {*entry["Action"]}:
            assert entry["Resource"] == [arn]
            assert of_bucket >= {*entry["Action"]}
        else:
            assert entry["Resource"] == [objects]
    assert len({entry["Sid"] for entry in documents[variant]["Statement"]}) == len(
        documents[variant]["Statement"]
    )


def test_the_key_serves_only_through_s3_document_only(documents: dict[str, Document]) -> None:
    via = {"StringLike": {"kms:ViaService": ["s3.*.amazonaws.com", "s3.*.amazonaws.com.cn"]}}
    writer = statement(documents["encrypted writer"], "kms:GenerateDataKey")
    assert writer["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    reader = statement(documents["encrypted reader"], "kms:Decrypt")
    assert reader["Action"] == ["kms:Decrypt"]
    assert writer["Condition"] == reader["Condition"] == via


def test_tags_need_their_own_action_document_only(documents: dict[str, Document]) -> None:
    # S3 asks for it where a write has this header; moto does not.
    with stub_server() as stub:
        stub.answer = lambda _: (200, {"ETag": '"e"'}, b"")
        keys: Any = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        keys |= {"region_name": "eu-west-1", "endpoint_url": stub.endpoint}
        for tags in ({}, {"team": "sales"}):
            store = S3Store(BUCKET, PREFIX, tags=tags, **keys)
            store.put("x", Body.of(b"1"))
            store.close()
    plain, tagged = stub.requests
    assert "x-amz-tagging" not in plain.headers
    assert tagged.headers["x-amz-tagging"] == "team=sales"
    allowed = {name for name in VARIANTS if "s3:PutObjectTagging" in actions(documents[name])}
    assert allowed == {name for name, given in VARIANTS.items() if given.get("allow_tagging")}


def test_what_is_checked_on_documents_only_is_granted_somewhere(
    documents: dict[str, Document],
) -> None:
    assert set().union(*(actions(document) for document in documents.values())) >= DOCUMENT_ONLY
