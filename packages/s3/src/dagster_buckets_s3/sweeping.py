"""Sweeping: uploads in parts that nobody is going to end, because their writers were killed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster_buckets_s3.errors import code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["sweep"]


def sweep(
    client: S3Client, bucket: str, prefix: str, limit: datetime, *, dry_run: bool = False
) -> int:
    """Abort uploads below a prefix that began before ``limit``, and to which no part came since.

    Returns:
        How many were aborted, or are to be.
    """
    from botocore.exceptions import ClientError

    count = 0
    pages = client.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        for upload in page.get("Uploads", []):
            key, number = upload["Key"], upload["UploadId"]
            try:
                # Not by its beginning alone: a large stream may take long, and still be coming.
                if upload["Initiated"] >= limit or _newest(client, bucket, key, number) >= limit:
                    continue
                if not dry_run:
                    client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=number)
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
                continue  # it ended while it was looked at
            count += 1
    return count


def _newest(client: S3Client, bucket: str, key: str, number: str) -> datetime:
    """When the last part came."""
    pages = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=number)
    times = [part["LastModified"] for page in pages for part in page.get("Parts", [])]
    return max(times, default=datetime.min.replace(tzinfo=UTC))
