"""A real S3 of the tests: SeaweedFS with credentials enforced, one process, ended by its id."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["CREDENTIALS", "seaweed_server"]

#: What a boto3 client and an ``S3Store`` need beside the endpoint; the server knows no other key.
#: Of this process alone: the server of another cannot be taken for ours.
CREDENTIALS: dict[str, Any] = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDSEAWEED",
    "aws_secret_access_key": f"of/the+tests={secrets.token_hex(12)}",
}

_START_SECONDS = 30.0
_TRIES = 2
# Each listens twice, for HTTP and for gRPC; everything else that could listen is switched off.
_SERVICES = ("master", "volume", "filer", "s3")


@contextmanager
def seaweed_server() -> Iterator[str]:
    """Run one server and give its endpoint, ``http://127.0.0.1:<port>``.

    It creates no bucket by itself, takes writes when it is given, listens and connects on
    127.0.0.1 only, and leaves nothing behind.

    Raises:
        RuntimeError: It ended or did not take a write in time; the text has its log.
    """
    for attempt in range(_TRIES):
        ports = _free_ports(2 * len(_SERVICES))
        with TemporaryDirectory(prefix="seaweedfs-") as name:
            folder = Path(name)
            process = _start(folder, ports)
            try:
                endpoint = f"http://127.0.0.1:{ports[-2]}"
                trouble = _wait(process, endpoint)
                if trouble is None:
                    yield endpoint
                    return
                log = (folder / "log").read_text("utf-8", "replace")
                if "address already in use" not in log or attempt == _TRIES - 1:
                    msg = f"SeaweedFS {trouble}:\n{log[-4000:]}"
                    raise RuntimeError(msg)
            finally:
                # SIGTERM takes it 28 s.
                process.kill()
                process.wait()
                for service, port in zip(_SERVICES, ports[1::2], strict=True):
                    # The path is not an option of SeaweedFS.
                    Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _start(folder: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    config = folder / "s3.json"
    keys = {
        "accessKey": CREDENTIALS["aws_access_key_id"],
        "secretKey": CREDENTIALS["aws_secret_access_key"],
    }
    identity = {"name": "tests", "credentials": [keys], "actions": ["Admin"]}
    config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    (folder / "data").mkdir()
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        # Alone, it elects no leader, which takes it 2 s.
        "master.peers": "none",
        # Else it reports to its makers.
        "master.telemetry": "false",
        # A bucket has volumes of its own, and each test has a bucket.
        "volume.max": "10000",
        "filer.localSocket": folder / "filer.sock",
        "s3": "true",
        "s3.config": config,
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
        "s3.localSocket": folder / "s3.sock",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
    }
    for service, port, grpc in zip(_SERVICES, ports[::2], ports[1::2], strict=True):
        options |= {f"{service}.port": str(port), f"{service}.port.grpc": str(grpc)}
    command = [
        *(str(Path(sysconfig.get_path("scripts"), "weed")), "-logtostderr", "server"),
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    # Nothing of this machine's settings: it reads AWS_*, S3_*, WEED_* and files of HOME and cwd.
    environment = {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": os.defpath,
        # Volumes that a new bucket begins with: 7 by default.
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )


def _wait(process: subprocess.Popen[bytes], endpoint: str) -> str | None:
    """What went wrong before a write succeeded."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5)
    client = boto3.client("s3", endpoint_url=endpoint, config=once, **CREDENTIALS)
    last: Exception | None = None
    end = time.monotonic() + _START_SECONDS
    try:
        while time.monotonic() < end:
            if process.poll() is not None:
                return f"ended with code {process.returncode}"
            bucket = f"ready-{secrets.token_hex(6)}"
            try:
                client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key="x", Body=b"x")
                client.delete_object(Bucket=bucket, Key="x")
                client.delete_bucket(Bucket=bucket)
            except (BotoCoreError, ClientError) as error:
                last = error
                time.sleep(0.05)
            else:
                return None
    finally:
        client.close()
    return f"took no write within {_START_SECONDS} s ({last})"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the system gives to outgoing connections.

    SeaweedFS opens its last one two seconds after its start.
    """
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    msg = "no free ports"
    raise RuntimeError(msg)
