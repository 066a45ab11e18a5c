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
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from dagster_buckets.errors import DecodeError
from dagster_buckets.objects import Tail

if TYPE_CHECKING:
    import pyarrow as pa

    from dagster_buckets.objects import Payload

__all__ = ["VERSION", "Holds", "Manifest", "PartEntry"]

VERSION = 1
#: What a part is of its value: rows of a table, a piece of a list, or one item of a list.
Holds: TypeAlias = Literal["rows", "lists", "items"]
_MARK = "dagster_buckets_manifest"


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part of a value.

    Attributes:
        name: Relative to the folder of the parts.
        size: Bytes.
        digest: As of a :class:`~dagster_buckets.objects.Header`.
        rows: How many; of a list its items.
        partition: The columns by which the rows were split, each with the value that all rows of
            this part have, as JSON tells it. The part has these columns, too.
        statistics: Of columns by their names: ``nulls``, and ``min`` and ``max`` where the type has
            an order that JSON can tell.
        tail: As of a header.
    """

    name: str
    size: int
    digest: str
    rows: int
    partition: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tail: Tail | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """All parts of a value, in order.

    Attributes:
        format: The name of the format of the parts.
        schema: Of the value, with what was noted of the class that was written; of a list it has
            no columns, and is not stored.
        parts: At least one, of a value without rows too.
        holds: What each part is.
    """

    format: str
    schema: pa.Schema
    parts: tuple[PartEntry, ...]
    holds: Holds = "rows"

    @classmethod
    def of_list(cls, format_name: str, holds: Holds, parts: tuple[PartEntry, ...]) -> Manifest:
        """The manifest of a value that is no table."""
        import pyarrow as pa

        return cls(format_name, pa.schema([]), parts, holds)

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
        schema = base64.b64encode(self.schema.serialize()).decode("ascii")
        document = {
            _MARK: VERSION,
            "format": self.format,
            **({"schema": schema} if self.holds == "rows" else {"holds": self.holds}),
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
                    **({"tail": str(part.tail)} if part.tail else {}),
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
                name, holds = str(document["format"]), document.get("holds", "rows")
                parts = tuple(_part(member) for member in document["parts"])
                if holds in get_args(Holds) and holds != "rows":
                    return cls.of_list(name, holds, parts)
                schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(document["schema"])))
                return cls(name, schema, parts)
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
        dict(member.get("partition", {})),
        member.get("statistics", {}),
        Tail.parse(member.get("tail")),
    )
