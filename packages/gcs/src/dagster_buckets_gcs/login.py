"""The login: the gcsfs file system, with its credentials, that settings stand for."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from dagster_buckets.errors import AccessDeniedError, ConfigurationError
from dagster_buckets.stores.access import GoogleAccess

from dagster_buckets_gcs.settings import Settings

__all__ = ["access_of", "is_emulator", "is_secret_token", "open_files"]

#: All that objects need; gcsfs asks for full_control, which could change access lists too.
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_METHODS = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
#: Of these what Google's own libraries find anywhere by themselves.
_DEFAULTS = (None, "cloud", "google_default")


def open_files(settings: Settings) -> Any:
    """A gcsfs file system of its own, logged in; what it raises names no secret."""
    # gcsfs.core, because gcsfs' default class opens gRPC connections past endpoint_url.
    from gcsfs.core import GCSFileSystem

    files: Any = None
    failed = ""
    try:
        files = GCSFileSystem(
            **({"project": settings.project} if settings.project else {}),
            access="read_write",
            token=_token(settings),
            endpoint_url=settings.endpoint_url.rstrip("/") if settings.endpoint_url else None,
            session_kwargs={"auto_decompress": False},
            skip_instance_cache=True,
            use_listings_cache=False,
        )
    except (KeyError, TypeError, ValueError, OSError) as exc:
        failed = type(exc).__name__
    if failed:
        # Out here, without a context: json's errors carry the text they could not read, a key too.
        msg = f"the credentials that token= gives cannot be used ({failed})"
        hint = "give the path or the content of a service account's key file"
        raise AccessDeniedError(msg, hint=hint)
    return files


def access_of(bucket: str, settings: Settings) -> GoogleAccess:
    """What a client of another library needs to read the bucket.

    Raises:
        ConfigurationError: The token is of a kind that only this process can use.
    """
    token: Any = settings.token
    emulator = is_emulator(settings.endpoint_url)
    endpoint = settings.endpoint_url or (os.environ["STORAGE_EMULATOR_HOST"] if emulator else None)
    access = GoogleAccess(
        bucket,
        project=settings.project,
        endpoint_url=endpoint and endpoint.rstrip("/"),
        anonymous=token == "anon" or (token is None and emulator),  # noqa: S105 - a method
        user_project=settings.user_project,
    )
    if access.anonymous or token in _DEFAULTS:
        return access
    if isinstance(token, dict):
        token = json.dumps(token)
    if not isinstance(token, str) or token in _METHODS:
        msg = f"the token= of gs://{bucket} is of use to this process only"
        raise ConfigurationError(msg, hint="give a key file, its content, or an access token")
    if _is_json(token):
        return replace(access, key=token)
    if _is_file(token):
        return replace(access, key_file=token)
    return replace(access, access_token=token)


def is_secret_token(token: str) -> bool:
    """Whether a token is a key or an access token, and not a method or the path of a file."""
    if token in _METHODS:
        return False
    return _is_json(token) or not (token.endswith(".json") or _is_file(token))


def _token(settings: Settings) -> Any:
    """What gcsfs is to log in with.

    Differs from gcsfs where it would surprise: without credentials it goes on anonymously, and it
    sends a raw access token to a service that describes it.
    """
    token = settings.token
    if isinstance(token, str) and _is_json(token):
        token = json.loads(token)
    if token is None and is_emulator(settings.endpoint_url):
        return "anon"
    if token is None or token == "google_default":  # noqa: S105 - a method
        import google.auth

        return google.auth.default(scopes=[_SCOPE])[0]
    if isinstance(token, str) and token not in _METHODS and not _is_file(token):
        if token.endswith(".json"):
            msg = f"there is no credentials file {token}"
            raise ConfigurationError(msg, hint="token= names a file on this machine")
        from google.oauth2.credentials import Credentials

        return Credentials(token)  # type: ignore[no-untyped-call]
    return token


def _is_json(token: str) -> bool:
    return token.lstrip().startswith("{")


def _is_file(token: str) -> bool:
    # Not Path.exists, which raises for an access token that is longer than a file's name may be.
    return os.path.exists(token)  # noqa: PTH110


def is_emulator(endpoint_url: str | None) -> bool:
    """Whether the endpoint is not one of Google's, read the way gcsfs reads it."""
    endpoint = endpoint_url or os.environ.get("STORAGE_EMULATOR_HOST", "")
    if endpoint in {"", "default"}:
        return False
    host = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}").hostname or ""
    universe = os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com")
    return not (host.endswith(("googleapis.com", universe)))
