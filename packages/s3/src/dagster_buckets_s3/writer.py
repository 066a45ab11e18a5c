"""Writing: one call of ``put``, by one request or in parts, and what its answers mean."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dagster_buckets.errors import ConfigurationError, ObjectExistsError, ObjectNotFoundError
from dagster_buckets.objects import Body, Header, ObjectInfo

from dagster_buckets_s3.clients import Connections
from dagster_buckets_s3.errors import CONFLICTS, REPLAYED, cause_of, code_of
from dagster_buckets_s3.settings import METADATA_LIMIT, Settings, metadata_size
from dagster_buckets_s3.uploads import Feed
from dagster_buckets_s3.wire import PART

__all__ = ["Write", "matching"]


def matching(etag: str | None) -> dict[str, str]:
    """The condition that the version with this ETag is in place; none for ``None``."""
    return {} if etag is None else {"IfMatch": etag}


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one object.

    Attributes:
        settings: The store's.
        clients: The store's.
        path: The key with its prefix.
        uri: For errors.
        header: Sealed.
        condition: ``IfNoneMatch``, ``IfMatch`` or nothing, as boto3 names them.
        find: Describes the object that is there.
    """

    settings: Settings
    clients: Connections
    path: str
    uri: str
    header: Header
    condition: Mapping[str, str]
    find: Callable[[], ObjectInfo]

    @property
    def metadata(self) -> dict[str, str]:
        """The header, and what the settings say beside it."""
        return {**self.settings.metadata, **self.header.to_attributes()}

    def send(self, body: Body) -> tuple[str, int]:
        """Write the body; return its ETag and size.

        Raises:
            ConfigurationError: The metadata of the settings leaves too little room for the header.
        """
        if (size := metadata_size(self.metadata)) > METADATA_LIMIT:
            msg = f"{self.uri} would have {size} bytes of metadata, {METADATA_LIMIT} is S3's limit"
            raise ConfigurationError(msg, uri=self.uri, hint="give the store less metadata")
        if body.size is not None and body.size <= PART:
            with self.clients.translated(self.uri):
                return self._whole(body)
        return self._parts(body)

    def _whole(self, body: Body) -> tuple[str, int]:
        data = memoryview(body.joined()).cast("B")
        attempt = 0
        while True:
            attempt += 1
            try:
                etag = self.clients.wire.put(self.path, data, self.metadata, self.condition)
            except Exception as error:
                if found := self._own(error):
                    return found.etag, found.size
                again = REPLAYED
                if self.condition and not self.clients.wire.resends:
                    again = REPLAYED | {"unreachable"}
                if code_of(error) not in again or attempt >= self.settings.max_attempts:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter
            else:
                return etag, data.nbytes

    def _parts(self, body: Body) -> tuple[str, int]:
        if self.condition:
            self._check()
        # A stream is gone once it was sent.
        tries = self.settings.max_attempts if body.repeatable else 1
        with self.clients.translated(self.uri):
            while True:
                tries -= 1
                feed = Feed(body)
                try:
                    etag = self._uploaded(feed)
                    break
                except Exception as error:
                    if code_of(error) not in REPLAYED or tries < 1:
                        raise
        if feed.failure is not None:
            # Here, where nothing wraps it: it is the caller's own.
            raise feed.failure
        return etag, feed.size

    def _uploaded(self, feed: Feed) -> str:
        """The ETag; ``""`` where the feed failed, whatever the clients made of that."""
        try:
            return self.clients.wire.put_parts(self.path, feed, self.metadata, self.condition)
        except Exception as error:
            if feed.failure is not None:
                return ""
            found = self._own(error)
            if found is None:
                raise
            return found.etag

    def _own(self, error: Exception) -> ObjectInfo | None:
        """Our own object, if it was written although the answer says otherwise.

        The answer to a write can get lost; it is then sent again and meets the object that it has
        just written. Only the write id can tell.

        Raises:
            ObjectExistsError: The object is another's.
        """
        code = code_of(error)
        conflict = bool(self.condition) and code in CONFLICTS
        lost = code == "NoSuchUpload" or (bool(self.condition) and code == "unreachable")
        if not conflict and not lost:
            return None
        found = self._found()
        if found and found.header and found.header.write_id == self.header.write_id:
            return found
        if conflict:
            raise self._conflict(found) from cause_of(error)
        return None

    def _check(self) -> None:
        """Refuse a hopeless write before all its parts are uploaded."""
        found = self._found()
        if (found.etag if found else None) != self.condition.get("IfMatch"):
            raise self._conflict(found)

    def _found(self) -> ObjectInfo | None:
        try:
            return self.find()
        except ObjectNotFoundError:
            return None

    def _conflict(self, found: ObjectInfo | None) -> ObjectExistsError:
        if "IfMatch" in self.condition:
            state = "has another version" if found else "does not exist"
        else:
            # SeaweedFS counts a folder, even one that was emptied minutes ago.
            state = "exists" if found else "cannot be created: something is, or was, in the way"
        msg = f"{self.uri} {state}"
        return ObjectExistsError(msg, uri=self.uri, hint="read it and decide again")
