"""The login: settings, and the gcsfs file system with its credentials that they stand for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dagster_buckets.errors import AccessDeniedError, ConfigurationError

__all__ = ["Settings", "open_files"]

#: All that objects need; gcsfs asks for full_control, which could change access lists too.
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_METHODS = frozenset({"anon", "browser", "cache", "cloud", "google_default"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach Google Cloud Storage; see :class:`~dagster_buckets_gcs.store.GCSStore`."""

    project: str | None = None
    token: Any = field(default=None, repr=False)
    endpoint_url: str | None = None
    max_attempts: int = 8
    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    deadline: float = 20.0


def open_files(settings: Settings) -> Any:
    """A gcsfs file system of its own, logged in; what it raises names no secret."""
    # gcsfs.core, because gcsfs' default class opens gRPC connections past endpoint_url.
    from gcsfs.core import GCSFileSystem

    try:
        return GCSFileSystem(
            **({"project": settings.project} if settings.project else {}),
            access="read_write",
            token=_token(settings),
            endpoint_url=settings.endpoint_url.rstrip("/") if settings.endpoint_url else None,
            session_kwargs={"auto_decompress": False},
            skip_instance_cache=True,
            use_listings_cache=False,
        )
    except (KeyError, TypeError, ValueError, OSError) as exc:
        # Not "from exc": json's errors carry the text that they could not read, a key among it.
        msg = f"the credentials that token= gives cannot be used ({type(exc).__name__})"
        hint = "give the path or the content of a service account's key file"
        raise AccessDeniedError(msg, hint=hint) from None


def _token(settings: Settings) -> Any:
    """What gcsfs is to log in with.

    Differs from gcsfs where it would surprise: without credentials it goes on anonymously, and it
    sends a raw access token to a service that describes it.
    """
    token = settings.token
    if isinstance(token, str) and token.lstrip().startswith("{"):
        token = json.loads(token)
    if token is None and _is_emulator(settings.endpoint_url):
        return "anon"
    if token is None or token == "google_default":  # noqa: S105 - a method
        import google.auth

        return google.auth.default(scopes=[_SCOPE])[0]
    if isinstance(token, str) and token not in _METHODS and not Path(token).exists():
        if token.endswith(".json"):
            msg = f"there is no credentials file {token}"
            raise ConfigurationError(msg, hint="token= names a file on this machine")
        from google.oauth2.credentials import Credentials

        return Credentials(token)  # type: ignore[no-untyped-call]
    return token


def _is_emulator(endpoint_url: str | None) -> bool:
    """Whether the endpoint is not one of Google's, read the way gcsfs reads it."""
    endpoint = endpoint_url or os.environ.get("STORAGE_EMULATOR_HOST", "")
    if endpoint in {"", "default"}:
        return False
    host = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}").hostname or ""
    universe = os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com")
    return not (host.endswith(("googleapis.com", universe)))
