"""Writing: one object, all or nothing; sent again where it arrived damaged."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from dagster_buckets.errors import IntegrityError, ObjectNotFoundError
from dagster_buckets.objects import Body

from dagster_buckets_gcs.bucket import MISSING, Bucket
from dagster_buckets_gcs.client import Answer, Request
from dagster_buckets_gcs.describe import header_in
from dagster_buckets_gcs.errors import bucket_missing, conflict, is_damage, refusal
from dagster_buckets_gcs.upload import (
    Target,
    checksum,
    cut,
    encoded,
    upload_at_once,
    upload_in_session,
)

__all__ = ["Write"]

_PRECONDITION_FAILED = 412


@dataclass(frozen=True, slots=True)
class Write:
    """One write.

    Attributes:
        bucket: Where to.
        target: What is written beside the bytes.
        uri: For errors.
        write_id: By which this write recognises its own object.
    """

    bucket: Bucket
    target: Target
    uri: str
    write_id: str

    def send(self, body: Body) -> dict[str, Any]:
        """Write the body; return Google's description of the object.

        What is held in memory is sent again if it arrived damaged.

        Raises:
            ObjectExistsError: The condition did not hold.
            IntegrityError: It arrives damaged each time, or a stream did. Google keeps the old
                object; of a server that stores what it should refuse, the damaged one is deleted.
        """
        target = self.target
        tries = self.bucket.client.settings.max_attempts if body.repeatable else 1
        while True:
            tries -= 1
            resource = self._sent(target, body)
            if resource is not None and self._is_intact(resource, target):
                return resource
            if tries > 0:
                if resource is not None and target.generation is not None:
                    # The damaged one is ours.
                    target = replace(target, generation=resource["generation"])
                continue
            if resource is not None:
                self.bucket.delete_generation(
                    resource["name"], str(resource["generation"]), self.uri
                )
            msg = f"the bytes for {self.uri} arrived damaged"
            raise IntegrityError(msg, uri=self.uri, hint="check the network, and write it again")

    def _sent(self, target: Target, body: Body) -> dict[str, Any] | None:
        """What was stored, with what ought to be; ``None`` if Google saw that it was damaged."""

        def send(request: Request) -> Answer:
            return self.bucket.send(request, self.uri)

        parts = cut(body)
        start = list(itertools.islice(parts, 2))
        if len(start) > 1:
            everything = itertools.chain(start, parts)
            answer, size, crc = upload_in_session(send, target, everything, self.uri)
        else:
            part = start[0] if start else ()
            answer = upload_at_once(send, target, part)
            size, crc = sum(memoryview(b).nbytes for b in part), checksum(part)
        if is_damage(answer):
            return None
        resource = answer.json() if answer.ok else self._landed(answer, target)
        return {"crc32c": encoded(crc), **resource, "sent": (size, encoded(crc))}

    def _is_intact(self, resource: dict[str, Any], target: Target) -> bool:
        """Whether what is stored is what was sent, also beside the bytes."""
        found = int(resource["size"]), resource["crc32c"]
        known = {"name": target.name, "metadata": target.attributes}
        # An emulator may leave out what it does not know.
        beside = {name: resource.get(name, value) for name, value in known.items()}
        return bool(found == resource["sent"] and beside == known)

    def _landed(self, answer: Answer, target: Target) -> dict[str, Any]:
        """What a refused upload stored nevertheless: an earlier try whose answer got lost."""
        lost = answer.status in {MISSING, 410} and answer.attempts > 1
        if answer.status == MISSING and not lost:
            raise bucket_missing(self.bucket.name, self.uri)
        if answer.status != _PRECONDITION_FAILED and not lost:
            raise refusal(answer, self.uri)
        try:
            resource = self.bucket.resource(target.name, self.uri)
        except ObjectNotFoundError:
            resource = {}
        found = header_in(resource)
        if found is None or found.write_id != self.write_id:
            if_absent = self.target.generation == "0"
            raise refusal(answer, self.uri) if lost else conflict(self.uri, if_absent=if_absent)
        return resource
