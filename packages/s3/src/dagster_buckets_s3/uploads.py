"""Uploading in parts: cutting streams, and writes in parts that depend on what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from dagster_buckets.objects import Body, Buffer

from dagster_buckets_s3.reader import PARALLEL, PART

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Feed", "conditional_upload", "part_size"]

#: S3 allows so many parts.
PARTS = 10_000


class Feed:
    """The parts of a body, and the exception that the body's own iterator raised, if it did.

    Parts of a stream are immutable copies: obstore keeps references to what it is given, and a
    producer that uses one buffer again would store its last content many times.

    Args:
        body: The bytes.
        size: Of one part.
        exact: Whether all parts but the last must have that size; costs a copy of held buffers.

    Attributes:
        failure: What the body's iterator raised.
        size: The bytes handed out so far.
    """

    def __init__(self, body: Body, size: int, *, exact: bool) -> None:
        self.failure: BaseException | None = None
        self.size = 0
        held = body.held
        parts = _cut(body, size) if exact or held is None else _slices(held, size)
        self._parts: Iterator[Buffer] = parts

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


def part_size(size: int | None) -> int:
    """Bytes per part: larger than usual only where the parts would be too many."""
    return max(PART, -(-(size or 0) // PARTS))


def conditional_upload(
    client: S3Client,
    place: Mapping[str, str],
    feed: Feed,
    metadata: Mapping[str, str],
    condition: Mapping[str, str],
) -> str:
    """Upload in parts and complete only under a condition, which obstore cannot do.

    Nothing is left behind if it fails: the upload is aborted.

    Args:
        client: boto3's.
        place: Bucket and key, as boto3 names them.
        feed: The parts.
        metadata: The header's attributes.
        condition: ``IfNoneMatch`` or ``IfMatch``.

    Returns:
        The ETag, quoted.
    """
    target: dict[str, Any] = dict(place)
    completion: dict[str, Any] = dict(condition)
    upload = client.create_multipart_upload(**target, Metadata=dict(metadata))["UploadId"]
    target["UploadId"] = upload

    def send(number: int, part: Buffer) -> dict[str, Any]:
        # botocore takes no memoryview.
        body = part if isinstance(part, bytes) else bytes(part)
        answer = client.upload_part(**target, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="s3-part")
    try:
        done = sorted(_sent(pool, send, feed), key=lambda part: part["PartNumber"])
        completion |= {**target, "MultipartUpload": {"Parts": done}}
        answer: Mapping[str, Any] = client.complete_multipart_upload(**completion)
        return str(answer["ETag"])
    except BaseException as error:
        pool.shutdown(wait=True, cancel_futures=True)
        try:
            client.abort_multipart_upload(**target)
        except Exception as second:  # noqa: BLE001 - the first error is the one to raise
            error.add_note(f"The upload {upload} could not be aborted: {type(second).__name__}")
        raise
    finally:
        pool.shutdown(wait=False)


def _sent(pool: ThreadPoolExecutor, send: Any, feed: Feed) -> Iterator[dict[str, Any]]:
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


def _cut(buffers: Iterable[Buffer], size: int) -> Iterator[bytes]:
    pending: list[Buffer] = []
    count = 0
    for buffer in buffers:
        view = memoryview(buffer if isinstance(buffer, bytes) else bytes(buffer))
        while view:
            piece = view[: size - count]
            pending.append(piece)
            count += len(piece)
            view = view[len(piece) :]
            if count == size:
                yield b"".join(pending)
                pending, count = [], 0
    if pending:
        yield b"".join(pending)
