"""boto3 as the wire: slower than obstore, and at home in the child of a fork."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dagster_buckets.objects import Buffer

from dagster_buckets_s3.errors import code_of
from dagster_buckets_s3.settings import Settings
from dagster_buckets_s3.uploads import Feed, upload_parts
from dagster_buckets_s3.wire import Arriving, Described, Last, NotModifiedError, Span

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["BotoWire"]

# The deadline is looked at in between.
_READ_AT_ONCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class BotoWire:
    """See :class:`~dagster_buckets_s3.wire.Wire`.

    Attributes:
        client: boto3's, as :func:`~dagster_buckets_s3.control.open_control` makes it: what the
            settings say of requests is in it already.
        settings: The store's.
    """

    resends: ClassVar[bool] = True

    client: S3Client
    settings: Settings

    def put(
        self,
        path: str,
        data: memoryview,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        place = self._place(path) | condition
        answer = self.client.put_object(
            **place, Body=_Sent(data, self._end()), Metadata=dict(metadata)
        )
        return answer.get("ETag", "")

    def put_parts(
        self,
        path: str,
        feed: Feed,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""

        def sent(part: Any) -> io.BytesIO:
            return _Sent(part, self._end())

        return upload_parts(self.client, self._place(path), feed, metadata, condition, sent)

    def get(self, path: str, span: Span, *, etag: str = "", unless: str = "") -> Arriving:
        """See :class:`~dagster_buckets_s3.wire.Wire`; goes on where an answer broke."""
        wanted = {"IfMatch": etag, "IfNoneMatch": unless}
        condition = {name: value for name, value in wanted.items() if value}
        end = self._end()
        answer = self._opened(path, _range(span), condition)
        described = _described(answer)
        start, size = _position(answer)[0], answer.get("ContentLength", 0)

        def again(position: int) -> Any:
            rest = f"bytes={position}-{start + size - 1}"
            return self._opened(path, rest, {"IfMatch": described.etag})

        return _Arriving(answer["Body"], described, size, start, again, self.settings, end)

    def head(self, path: str) -> Described:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        return _described(self.client.head_object(**self._place(path)))

    def delete(self, paths: Sequence[str]) -> None:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        from botocore.exceptions import ClientError

        answer: Any = self.client.delete_objects(
            Bucket=self.settings.bucket, Delete={"Objects": [{"Key": path} for path in paths]}
        )
        # A page of another server, say, may answer with success, too.
        errors = answer.get("Errors") or ([] if answer.get("Deleted") else [{"Code": "404"}])
        if errors:
            raise ClientError(answer | {"Error": errors[0]}, "DeleteObjects")

    def _opened(self, path: str, asked: str, condition: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self.client.get_object(**self._place(path), Range=asked, **condition)
        except ClientError as error:
            if code_of(error) in {"NotModified", "304"}:
                raise NotModifiedError from error
            # An empty object has neither a first nor a last byte, which is what S3 objects to.
            if code_of(error) not in {"InvalidRange", "416"}:
                raise
        return self.client.get_object(**self._place(path), **condition)

    def _place(self, path: str) -> Any:
        return {"Bucket": self.settings.bucket, "Key": path}

    def _end(self) -> float:
        return time.monotonic() + self.settings.deadline


@dataclass(frozen=True, slots=True)
class _Arriving:
    """Goes on where an answer broke: ``again`` asks for the rest, from a position on."""

    body: Any
    described: Described
    size: int
    start: int
    again: Callable[[int], Any]
    settings: Settings
    end: float

    def all(self) -> Buffer:
        data = memoryview(bytearray(self.size))
        return data[: self.fill(data)]

    def fill(self, target: memoryview) -> int:
        body, count, attempts = self.body, 0, self.settings.max_attempts
        for attempt in range(1, attempts + 1):
            try:
                for received in _received(body, target[count:]):
                    count += received
                    _check(self.end)
                break
            except Exception as error:
                over = attempt == attempts or time.monotonic() > self.end
                if code_of(error) != "unreachable" or over or not self.described.etag:
                    raise
                time.sleep(min(2.0, 0.1 * 2**attempt))
                body = self.again(self.start + count)["Body"]
        return count


class _Sent(io.BytesIO):
    """A body that is sent until the deadline; boto3 has none of its own."""

    def __init__(self, data: Any, end: float) -> None:
        # A copy, unless they are bytes: botocore takes no memoryview either.
        super().__init__(data)
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        """The next piece."""
        _check(self._end)
        return super().read(size)


def _check(end: float) -> None:
    if time.monotonic() > end:
        msg = "the deadline is over"
        raise TimeoutError(msg)


def _received(body: Any, target: memoryview) -> Iterator[int]:
    """Fill the target from an answer; yields how many bytes have come each time."""
    count = 0
    try:
        while count < len(target):
            piece = body.read(min(_READ_AT_ONCE, len(target) - count))
            if not piece:
                return
            target[count : count + len(piece)] = piece
            count += len(piece)
            yield len(piece)
        # Reads the end, too, after which the connection can be used again.
        body.read(1)
    finally:
        body.close()


def _range(span: Span) -> str:
    if isinstance(span, Last):
        return f"bytes=-{span.size}"
    return f"bytes={span[0]}-{span[1] - 1}"


def _position(answer: Any) -> tuple[int, int]:
    """Where the bytes of an answer begin in the object, and the size of that."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.get("ContentRange", ""))
    return (int(found[1]), int(found[2])) if found else (0, answer.get("ContentLength", 0))


def _described(answer: Any) -> Described:
    return Described(
        size=_position(answer)[1],
        etag=answer.get("ETag", ""),
        modified=answer.get("LastModified"),
        attributes=answer.get("Metadata", {}),
    )
