"""A moto server that enforces IAM, in a process of its own, and the users of its one account.

What it does not enforce (moto 5.2): `Condition`, `kms:…`, the objects' ARNs of a bulk delete (it
asks for the bucket's), and that a missing key is forbidden to whoever may not list. It also takes a
refusal of a bucket policy for one without its condition.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3

REGION = "eu-west-1"
#: Credentials as boto3 and our store name them.
Keys = dict[str, Any]
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@contextmanager
def moto_process() -> Iterator[str]:
    """Yields its endpoint; it enforces nothing yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _await(f"{endpoint}/moto-api/", process)
        yield endpoint
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "moto did not start"
            assert time.monotonic() < end, "moto does not answer"
            time.sleep(0.1)


def client_of(service: str, endpoint: str, keys: Keys) -> Any:
    """boto3's, of any service: its types would want to know which."""
    make: Any = boto3.client
    return make(service, endpoint_url=endpoint, **keys)


@dataclass
class Account:
    """The account of an enforcing server.

    Attributes:
        endpoint: Of the server.
        admin: Who may do everything, as boto3 and our store name credentials.
        keys: Of the other users, by name.
    """

    endpoint: str
    admin: Keys = field(default_factory=dict)
    keys: dict[str, Keys] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """The administrator's."""
        return client_of(service, self.endpoint, self.admin)

    def user(self, name: str, document: dict[str, Any]) -> Keys:
        """The credentials of a user who may do what the document says, from now on."""
        iam = self.client("iam")
        if name not in self.keys:
            iam.create_user(UserName=name)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            self.keys[name] = _credentials(key["AccessKeyId"], key["SecretAccessKey"])
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(document))
        iam.close()
        return self.keys[name]


def _credentials(key: str, secret: str) -> Keys:
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": REGION}


def enforce(endpoint: str) -> Account:
    """Make an administrator, then have the server enforce IAM from now on."""
    account = Account(endpoint, _credentials("test", "test"))
    account.admin = account.user("admin", ALL)
    _allowed(endpoint, "0")
    return account


def release(endpoint: str) -> None:
    """Enforce nothing any more."""
    _allowed(endpoint, "inf")


def _allowed(endpoint: str, count: str) -> None:
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", count.encode(), plain)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - loopback
        pass
