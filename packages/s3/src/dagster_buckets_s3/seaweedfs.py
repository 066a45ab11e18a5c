"""Keys that SeaweedFS takes and does not keep, and whether a server is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["fault", "is_seaweedfs"]

# Where it keeps the parts of uploads and the versions of objects.
_HIDDEN = re.compile(r"(?:^|/)\.uploads/|\.versions/")


def fault(path: str) -> str | None:
    """Why an object of this key would be lost on SeaweedFS, or ``None`` (measured with 4.48)."""
    if "\\" in path:
        return r"SeaweedFS takes '\' for '/', so that it would replace another object"
    if _HIDDEN.search(path):
        return "SeaweedFS never lists what lies in a folder '.uploads' or '….versions'"
    return None


def is_seaweedfs(client: S3Client, bucket: str, prefix: str) -> bool:
    r"""Whether the server is SeaweedFS, by one request that changes nothing.

    It says so itself; where a proxy hides that, it is found by what it does: to it the key ``\.``
    has a component ``.``, which it refuses, whereas elsewhere there is no such object.

    Raises:
        ClientError: The server failed, so that nothing is known.
    """
    from botocore.exceptions import ClientError

    answer: Any
    try:
        answer = client.get_object(Bucket=bucket, Key=f"{prefix}\\.")
        answer["Body"].close()
    except ClientError as error:
        answer = error.response
        if answer["ResponseMetadata"]["HTTPStatusCode"] >= 500:  # noqa: PLR2004 - HTTP
            raise
    name: str = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "")
    return name.startswith("SeaweedFS") or answer.get("Error", {}).get("Code") == "InvalidRequest"
