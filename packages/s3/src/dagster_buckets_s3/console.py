"""The AWS console: where it shows an object."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["console_url"]

#: The domain of the console, by the end of the host that answers for S3.
_CONSOLES = {
    ".amazonaws.com": "console.aws.amazon.com",
    ".amazonaws.com.cn": "console.amazonaws.cn",
}
_GOV = "console.amazonaws-us-gov.com"


def console_url(client: S3Client, bucket: str, path: str) -> str | None:
    """The page of an object; ``None`` of servers that are not Amazon's. No request.

    Args:
        client: Knows endpoint and region.
        bucket: Its name.
        path: The whole key.
    """
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    region = client.meta.region_name
    console = next((to for end, to in _CONSOLES.items() if host.endswith(end)), None)
    if console is None:
        return None
    if region and region.startswith("us-gov-"):
        console = _GOV
    at = f"{region}." if region and region != "aws-global" else ""
    query = f"region={region}&" if at else ""
    name, key = quote(bucket, safe=""), quote(path, safe="")
    return f"https://{at}{console}/s3/object/{name}?{query}prefix={key}"
