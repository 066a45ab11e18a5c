"""Uploading in parts: cutting streams, and writes in parts that depend on what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, BinaryIO

from dagster_buckets.buffers import writable
from dagster_buckets.objects import Body, Buffer
from dagster_buckets.threads import Pool

from dagster_buckets_s3.wire import PARALLEL, PART, RANGE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Feed", "upload_parts"]

#: S3 allows so many parts.
PARTS = 10_000
_CHECKSUMS = ("ChecksumCRC32", "ChecksumSHA256")


class Feed:
    """The parts of a body, and the exception that the body's own iterator raised, if it did.

    Parts of a stream are immutable copies: obstore keeps references to what it is given, and a
    producer that uses one buffer again would store its last content many times.

    Args:
        body: The bytes.

    Attributes:
        part: The bytes of a part: more than usual only where the parts would be too many.
        failure: What the body's iterator raised.
        size: The bytes handed out so far.
    """

    def __init__(self, body: Body) -> None:
        self.part = max(PART if body.held is None else RANGE, -(-(body.size or 0) // PARTS))
        self.failure: BaseException | None = None
        self.size = 0
        self._body = body
        held = body.held
        self._parts: Iterator[Buffer]
        self._parts = self._cut() if held is None else _slices(held, self.part)

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory, so that nothing is waited for."""
        return self._body.held is not None

    def exact(self) -> Feed:
        """The same feed, whose parts have the same size except the last: copies of held buffers."""
        self._parts = self._cut()
        return self

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        try:
            part = next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise
        self.size += memoryview(part).nbytes
        return part

    def _cut(self) -> Iterator[Buffer]:
        part, count = writable(self.part), 0
        for buffer in self._body:
            view = memoryview(buffer).cast("B")
            if not count and isinstance(buffer, bytes) and len(buffer) == self.part:
                # Bytes that are a part already need no copy.
                yield buffer
                continue
            while view:
                piece = view[: self.part - count]
                part[count : count + len(piece)] = piece
                count += len(piece)
                view = view[len(piece) :]
                if count == self.part:
                    yield part
                    part, count = writable(self.part), 0
        if count:
            yield part[:count]


def upload_parts(  # noqa: PLR0913, PLR0917 - what boto3 wants to know
    client: S3Client,
    place: Mapping[str, str],
    feed: Feed,
    metadata: Mapping[str, str],
    condition: Mapping[str, str],
    sent: Callable[[Buffer], BinaryIO],
) -> str:
    """Upload in parts by boto3, and complete only under the condition.

    Nothing is left behind if it fails: the upload is aborted.

    Args:
        client: boto3's.
        place: Bucket and key, as boto3 names them.
        feed: The parts.
        metadata: The header's attributes.
        condition: ``IfNoneMatch``, ``IfMatch`` or nothing.
        sent: A part as boto3 is to send it.

    Returns:
        The ETag, quoted.
    """
    target: dict[str, Any] = dict(place)
    completion: dict[str, Any] = dict(condition)
    upload = client.create_multipart_upload(**target, Metadata=dict(metadata))["UploadId"]
    target["UploadId"] = upload

    def send(number: int, part: Buffer) -> dict[str, Any]:
        answer: Any = client.upload_part(**target, PartNumber=number, Body=sent(part))
        # S3 wants to hear the checksum of each part again.
        again = {name: answer[name] for name in _CHECKSUMS if name in answer}
        return {"PartNumber": number, "ETag": answer["ETag"], **again}

    pool = Pool(PARALLEL, "s3-part")
    try:
        done = sorted(_uploaded(pool, send, feed.exact()), key=lambda part: part["PartNumber"])
        completion |= {**target, "MultipartUpload": {"Parts": done}}
        answer: Mapping[str, Any] = client.complete_multipart_upload(**completion)
        return str(answer["ETag"])
    except BaseException as error:
        pool.shutdown(wait=True)
        try:
            client.abort_multipart_upload(**target)
        except Exception as second:  # noqa: BLE001 - the first error is the one to raise
            error.add_note(f"The upload {upload} could not be aborted: {type(second).__name__}")
        raise
    finally:
        pool.shutdown()


def _uploaded(pool: Pool, send: Any, feed: Feed) -> Iterator[dict[str, Any]]:
    pending: set[Future[dict[str, Any]]] = set()
    for number, part in enumerate(feed, start=1):
        pending.add(pool.submit(send, number, part))
        if len(pending) >= PARALLEL:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    for future in pending:
        yield future.result()


def _slices(buffers: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        for start in range(0, len(view), size):
            yield view[start : start + size]
