"""Descriptions: what Google says of an object, as :class:`~dagster_buckets.objects.ObjectInfo`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from dagster_buckets.objects import Header, ObjectInfo

from dagster_buckets_gcs.client import Answer

__all__ = ["header_in", "info_of_download", "info_of_resource", "stored_crc"]

_USER = "x-goog-meta-"


def header_in(resource: Mapping[str, Any]) -> Header | None:
    """Our header in an object's JSON description, where listings do not have it."""
    return Header.from_attributes(resource.get("metadata"))


def info_of_resource(key: str, uri: str, resource: Mapping[str, Any]) -> ObjectInfo:
    """An object's JSON description."""
    return ObjectInfo(
        key=key,
        uri=uri,
        size=int(resource["size"]),
        # Unlike Google's ETag it is a version that conditional writes take.
        etag=str(resource["generation"]),
        modified=datetime.fromisoformat(resource["updated"]),
        header=header_in(resource),
    )


def info_of_download(key: str, uri: str, answer: Answer) -> ObjectInfo:
    """The headers of an answer that holds the whole object, or one range of it."""
    headers = answer.headers
    length = headers.get("X-Goog-Stored-Content-Length") or (
        # Emulators do not say how much they store; of a range they say "bytes 0-9/100".
        headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length")
    )
    modified = headers.get("Last-Modified")
    own = {
        name.lower().removeprefix(_USER): value
        for name, value in headers.items()
        if name.lower().startswith(_USER)
    }
    return ObjectInfo(
        key=key,
        uri=uri,
        size=int(length) if length else len(answer.body),
        etag=headers.get("X-Goog-Generation", ""),
        modified=parsedate_to_datetime(modified) if modified else datetime.now(UTC),
        header=Header.from_attributes(own),
    )


def stored_crc(headers: Mapping[str, str]) -> str | None:
    """Google's CRC-32C; it sends one ``X-Goog-Hash`` with all digests, or one for each."""
    for name, value in headers.items():
        if name.lower() == "x-goog-hash":
            for digest in value.split(","):
                if digest.strip().startswith("crc32c="):
                    return digest.strip().removeprefix("crc32c=")
    return None
