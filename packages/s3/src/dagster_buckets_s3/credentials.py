"""Credentials: found by boto3's chain, handed to obstore with the time at which they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster_buckets.errors import AccessDeniedError

from dagster_buckets_s3.errors import TABLE

if TYPE_CHECKING:
    from obstore.store import S3Credential

__all__ = ["CredentialProvider"]


class CredentialProvider:
    """obstore's view of botocore's credentials, renewed when botocore renews them.

    Neither its ``repr`` nor the errors it raises hold a secret. It cannot be pickled.

    Args:
        credentials: botocore's, or ``None`` if the chain found none.
        uri: The bucket's, for errors.

    Attributes:
        failure: Why the last renewal failed. obstore shows the text of an exception only, so the
            store raises this one.

    Raises:
        AccessDeniedError: There are no credentials.
    """

    def __init__(self, credentials: Any, uri: str) -> None:
        if credentials is None:
            _, text, hint = TABLE["NoCredentialsError"]
            msg = f"{text} for {uri}"
            raise AccessDeniedError(msg, uri=uri, hint=hint)
        self._credentials = credentials
        self._last: Any = None
        self.failure: Exception | None = None

    def __repr__(self) -> str:
        return "CredentialProvider()"

    def __reduce__(self) -> str:
        msg = "credentials are not pickled: pickle the store, which finds them again"
        raise TypeError(msg)

    def secrets(self) -> list[str]:
        """What no error may show of the credentials of now."""
        known = self._last
        if known is None:
            try:
                known = self._credentials.get_frozen_credentials()
            except Exception:  # noqa: BLE001 - there are none, which is another error
                return []
        return [value for value in (known.secret_key, known.token) if value]

    def __call__(self) -> S3Credential:
        """The credentials of now; obstore asks again when they are about to expire."""
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - the text below must hold nothing secret
            self.failure = error
            msg = "the credentials could not be renewed"
            raise RuntimeError(msg) from None
        self.failure, self._last = None, frozen
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            # botocore has no public name for it; static credentials have none and never expire.
            "expires_at": getattr(self._credentials, "_expiry_time", None),
        }
