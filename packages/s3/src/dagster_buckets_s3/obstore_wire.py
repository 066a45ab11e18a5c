"""obstore as the wire: the fast way, in every process that may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import urlsplit

from dagster_buckets.objects import Buffer

from dagster_buckets_s3.boto_wire import BotoWire
from dagster_buckets_s3.control import address
from dagster_buckets_s3.credentials import CredentialProvider
from dagster_buckets_s3.errors import code_of
from dagster_buckets_s3.relay import relayed
from dagster_buckets_s3.settings import Settings
from dagster_buckets_s3.uploads import Feed
from dagster_buckets_s3.wire import (
    PARALLEL,
    PARALLEL_RANGES,
    PART,
    Arriving,
    Described,
    Last,
    NotModifiedError,
    Span,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore import Attributes, GetResult, PutMode
    from obstore.store import ClientConfig, S3Config
    from obstore.store import S3Store as ObstoreS3Store

__all__ = ["ObstoreWire"]

#: What obstore says of an answer that is not about the range.
_WHOLE = "Received non-partial response"


#: Bytes that are taken from an answer at once: they are copied while they are in the CPU's cache.
_STEP = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Arriving:
    answer: GetResult
    described: Described
    size: int

    def all(self) -> Buffer:
        return memoryview(self.answer.bytes())

    def fill(self, target: memoryview) -> int:
        count = 0
        for piece in self.answer.stream(min_chunk_size=_STEP):
            data = memoryview(piece)
            if count + len(data) > len(target):
                return count + len(data)
            target[count : count + len(data)] = data
            count += len(data)
        return count


@dataclass(frozen=True, slots=True)
class ObstoreWire:
    """See :class:`~dagster_buckets_s3.wire.Wire`.

    Attributes:
        reading: Gives up a stalled answer after ``read_timeout``.
        writing: Without that limit: it would count the time that sending takes, too.
        extra: The attributes of each new object beside its metadata.
        tags: Of each new object.
        boto: For uploads in parts that depend on what is there, which obstore cannot send.
    """

    resends: ClassVar[bool] = False

    reading: ObstoreS3Store
    writing: ObstoreS3Store
    extra: Mapping[str, str]
    tags: Mapping[str, str]
    boto: BotoWire

    @classmethod
    def connect(
        cls, settings: Settings, credentials: CredentialProvider, control: S3Client
    ) -> ObstoreWire:
        """The wire of these settings; endpoint and region are those that boto3 found."""
        endpoint, _ = address(settings, control.meta.endpoint_url)
        options: ClientConfig = {
            "allow_http": urlsplit(endpoint).scheme == "http",
            "connect_timeout": timedelta(seconds=settings.connect_timeout),
            "timeout": timedelta(seconds=settings.deadline),
        }
        if settings.verify is False:
            options["allow_invalid_certificates"] = True
        elif isinstance(settings.verify, str):
            options["root_certificate"] = Path(settings.verify).read_bytes()
        if settings.expected_bucket_owner:
            # obstore signs them with the rest.
            options["default_headers"] = {
                "x-amz-expected-bucket-owner": settings.expected_bucket_owner
            }
        stalled: ClientConfig = {"read_timeout": timedelta(seconds=settings.read_timeout)}
        config = _config(settings, control)
        return cls(
            reading=_client(settings, config, {**options, **stalled}, credentials),
            writing=_client(settings, config, options, credentials),
            extra={"Storage-Class": settings.storage_class} if settings.storage_class else {},
            tags=settings.tags,
            boto=BotoWire(control, settings),
        )

    def put(
        self,
        path: str,
        data: memoryview,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        import obstore

        mode: PutMode = "overwrite"
        if condition:
            match = condition.get("IfMatch")
            mode = "create" if match is None else {"e_tag": match}
        answer = obstore.put(
            self.writing,
            path,
            data,
            attributes=self._attributes(metadata),
            tags=dict(self.tags),
            mode=mode,
            use_multipart=False,
        )
        return answer["e_tag"] or ""

    def put_parts(
        self,
        path: str,
        feed: Feed,
        metadata: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> str:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        import obstore

        if condition:
            return self.boto.put_parts(path, feed, metadata, condition)

        def sent(parts: Iterator[Buffer]) -> str:
            answer = obstore.put(
                self.writing,
                path,
                parts,
                attributes=self._attributes(metadata),
                tags=dict(self.tags),
                use_multipart=True,
                chunk_size=feed.part,
                max_concurrency=PARALLEL if feed.part >= PART else PARALLEL_RANGES,
            )
            return answer["e_tag"] or ""

        # What makes the parts of a stream may wait for requests of its own.
        return sent(feed) if feed.is_held else relayed(sent, feed)

    def get(self, path: str, span: Span, *, etag: str = "", unless: str = "") -> Arriving:
        """See :class:`~dagster_buckets_s3.wire.Wire`; obstore goes on where an answer broke."""
        options: Any = {"range": {"suffix": span.size} if isinstance(span, Last) else span}
        if etag:
            options["if_match"] = etag
        if unless:
            options["if_none_match"] = unless
        answer = self._opened(path, options)
        start, stop = answer.range
        return _Arriving(answer, _described(answer), stop - start)

    def head(self, path: str) -> Described:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        import obstore

        return _described(obstore.get(self.reading, path, options={"head": True}))

    def delete(self, paths: Sequence[str]) -> None:
        """See :class:`~dagster_buckets_s3.wire.Wire`."""
        import obstore

        obstore.delete(self.writing, paths)

    def _opened(self, path: str, options: Any) -> GetResult:
        import obstore

        try:
            return obstore.get(self.reading, path, options=options)
        except obstore.exceptions.NotModifiedError as error:
            raise NotModifiedError from error
        except obstore.exceptions.GenericError as error:
            # An empty object has neither a first nor a last byte, which is what S3 objects to; moto
            # answers with all of it.
            if code_of(error) not in {"InvalidRange", "416"} and _WHOLE not in str(error):
                raise
            whole = {name: value for name, value in options.items() if name != "range"}
            return obstore.get(self.reading, path, options=cast("Any", whole))

    def _attributes(self, metadata: Mapping[str, str]) -> Attributes:
        return {**self.extra, **metadata}


def _config(settings: Settings, control: S3Client) -> S3Config:
    endpoint, virtual = address(settings, control.meta.endpoint_url)
    region = control.meta.region_name
    config: S3Config = {
        # Each of these would else come from the environment; the first would even override
        # `endpoint` (measured with obstore 0.12).
        "aws_endpoint_url_s3": endpoint,
        "endpoint": endpoint,
        "region": "us-east-1" if region in {None, "aws-global"} else region,
        "virtual_hosted_style_request": virtual,
        "skip_signature": False,
        "conditional_put": "etag",
        "s3_express": False,
        "request_payer": settings.request_payer,
        "disable_bulk_delete": False,
        "disable_tagging": False,
    }
    if settings.checksum_algorithm == "CRC64NVME":
        # The checksum covers the body: hashing it for the signature, too, costs twice the CPU.
        config |= {"checksum_algorithm": "CRC64NVME", "unsigned_payload": True}
    else:
        config |= {"unsigned_payload": False}
        if settings.checksum_algorithm:
            config |= {"checksum_algorithm": settings.checksum_algorithm}
    if settings.server_side_encryption:
        config |= {"server_side_encryption": settings.server_side_encryption}
    if settings.sse_kms_key_id:
        config |= {"sse_kms_key_id": settings.sse_kms_key_id}
    if settings.bucket_key_enabled is not None:
        config |= {"sse_bucket_key_enabled": settings.bucket_key_enabled}
    return config


def _client(
    settings: Settings, config: S3Config, options: ClientConfig, credentials: CredentialProvider
) -> ObstoreS3Store:
    from obstore.store import S3Store as ObstoreS3Store

    return ObstoreS3Store(
        settings.bucket,
        config=config,
        client_options=options,
        retry_config={
            "max_retries": settings.max_attempts - 1,
            "retry_timeout": timedelta(seconds=settings.deadline),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
        credential_provider=credentials,
    )


def _described(answer: GetResult) -> Described:
    meta = answer.meta
    attributes = cast("Mapping[str, str]", answer.attributes)
    return Described(meta["size"], meta["e_tag"] or "", meta["last_modified"], attributes)
