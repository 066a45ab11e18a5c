"""Manifests: what a value consists of that lies in several objects.

The manifest is the value's own object, and it is written last: who reads it sees all parts of one
write. It is JSON in UTF-8:

.. code-block:: json

    {
      "dagster_buckets_manifest": 1,
      "format": "parquet",
      "schema": "<Arrow IPC schema message, base64>",
      "rows": 3,
      "size": 1234,
      "parts": [
        {
          "name": "country=de/part-0f3a9c1e7b52-00000-5d1c22aa.parquet",
          "size": 1234,
          "digest": "xxh3-128:<32 hex digits>",
          "rows": 3,
          "partition": {"country": "de"},
          "statistics": {"eur": {"nulls": 0, "min": 1.5, "max": 9.0}}
        }
      ]
    }

Names are relative to the folder of the parts. Readers refuse a version that they do not know, and
ignore members that they do not know.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import DecodeError

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.objects import Payload

__all__ = ["VERSION", "Manifest", "PartEntry"]

VERSION = 1
_MARK = "dagster_buckets_manifest"


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part of a value.

    Attributes:
        name: Relative to the folder of the parts.
        size: Bytes.
        digest: As of a :class:`~dagster_buckets.objects.Header`.
        rows: How many.
        partition: The columns that have one value in all of its rows, and are not stored in it.
        statistics: Of columns by their names: ``nulls``, and ``min`` and ``max`` where the type has
            an order that JSON can tell.
    """

    name: str
    size: int
    digest: str
    rows: int
    partition: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All parts of a value, in order.

    Attributes:
        format: The name of the format of the parts.
        schema: Of the value, with what was noted of the class that was written.
        parts: At least one, of a value without rows too.
    """

    format: str
    schema: pa.Schema
    parts: tuple[PartEntry, ...]

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    def to_bytes(self) -> bytes:
        """As it is stored."""
        document = {
            _MARK: VERSION,
            "format": self.format,
            "schema": base64.b64encode(self.schema.serialize()).decode("ascii"),
            "rows": self.rows,
            "size": self.size,
            "parts": [
                {
                    "name": part.name,
                    "size": part.size,
                    "digest": part.digest,
                    "rows": part.rows,
                    "partition": dict(part.partition),
                    "statistics": {name: dict(of) for name, of in part.statistics.items()},
                }
                for part in self.parts
            ],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()

    @classmethod
    def of(cls, payload: Payload) -> Manifest:
        """The inverse of :meth:`to_bytes`.

        Raises:
            DecodeError: It is no manifest, or of a version that is not known here.
        """
        import pyarrow as pa

        uri = payload.info.uri
        try:
            document = json.loads(bytes(payload.data))
            version = document[_MARK]
            if version == VERSION:
                schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(document["schema"])))
                parts = tuple(_part(member) for member in document["parts"])
                return cls(str(document["format"]), schema, parts)
        except (ValueError, LookupError, TypeError, pa.ArrowException) as error:
            msg = f"{uri} is not a readable manifest: {error!r}"
            raise DecodeError(msg, uri=uri, hint="materialize it again") from error
        msg = f"{uri} is a manifest of version {version!r}, and this is written for {VERSION}"
        raise DecodeError(msg, uri=uri, hint="upgrade dagster-buckets")


def _part(member: Mapping[str, Any]) -> PartEntry:
    name = str(member["name"])
    if name.startswith("/") or ".." in name.split("/"):
        msg = f"the name {name!r} leads elsewhere"
        raise ValueError(msg)
    return PartEntry(
        name,
        int(member["size"]),
        str(member["digest"]),
        int(member["rows"]),
        {str(k): str(v) for k, v in member.get("partition", {}).items()},
        member.get("statistics", {}),
    )
