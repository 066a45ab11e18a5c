"""What the fault tests share: their size, their seed, and stores behind a network that breaks."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

import pytest
from dagster_buckets.stores.base import ObjectStore

from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.writers import store_of
from tests.gcs_server import fake_gcs_server, free_port
from tests.seaweed_server import CREDENTIALS

SERVERS = ("moto", "seaweedfs", "gcs")
BACKENDS = ("local", *SERVERS)
#: moto takes any.
_SOME = {
    "region_name": "us-east-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "of-no-account",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=float, default=1.0, help="How many times the usual size.")
    parser.addoption("--seed", type=int, default=None, help="Repeats what an earlier run did.")


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: --rounds {config.getoption('--rounds')} --seed {_seed(config)}"


def _seed(config: pytest.Config) -> int:
    chosen = config.getoption("--seed")
    if chosen is None:
        # The workers of one run have the same, which its head prints.
        given = os.environ.setdefault("DAGSTER_BUCKETS_SEED", str(random.randrange(2**32)))  # noqa: S311
        chosen = int(given)
    return int(chosen)


@pytest.fixture(autouse=True)
def _alone(no_settings_of_this_machine: None) -> None:
    """For every test here."""


@pytest.fixture
def scaled(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often something is done, from how often it is by default."""
    rounds: float = request.config.getoption("--rounds")
    return lambda usual: max(1, round(usual * rounds))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance that repeats itself, another one for each test; a failure prints the seed."""
    seed = _seed(request.config)
    print(f"--seed {seed}")  # noqa: T201 - pytest shows it with a failure
    return random.Random(f"{seed} {request.node.nodeid}")  # noqa: S311 - repeatable, not secret


@dataclass(frozen=True)
class Site:
    """A fresh bucket behind a network that does what its plan says.

    Attributes:
        server: Its kind: ``moto``, ``seaweedfs``, ``gcs`` or ``local``, which has no network.
        proxy: The network.
        settings: What a store of it takes.
        control: The same, past the network.
    """

    server: str
    proxy: FaultProxy
    settings: dict[str, Any]
    control: dict[str, Any]

    @property
    def backend(self) -> str:
        """The kind of store."""
        return "s3" if self.server in {"moto", "seaweedfs"} else self.server

    def store(self, **more: Any) -> ObjectStore:
        """A store behind the network."""
        return store_of(self.backend, {**self.settings, **more})

    def bare(self) -> ObjectStore:
        """A store that nothing breaks."""
        return store_of(self.backend, self.control)

    def delete_bucket(self) -> None:
        """Delete the bucket with all that is in it, past the network."""
        store = self.bare()
        store.delete([info.key for info in store.scan()])
        if self.backend == "s3":
            self.client().delete_bucket(Bucket=self.control["bucket"])
            return
        url = f"{self.control['endpoint_url']}/storage/v1/b/{self.control['bucket']}"
        with urlopen(Request(url, method="DELETE"), timeout=10):  # noqa: S310 - our own server
            pass

    def client(self) -> Any:
        """A boto3 client past the network."""
        import boto3

        known = {k: v for k, v in self.control.items() if k.startswith(("aws_", "region", "endp"))}
        return boto3.client("s3", **known)


@pytest.fixture(scope="session")
def gcs_site() -> Iterator[tuple[str, FaultProxy]]:
    """A fake-gcs-server that sends its clients back to the proxy before it."""
    port = free_port()
    with (
        fake_gcs_server(external=f"127.0.0.1:{port}") as endpoint,
        fault_proxy(endpoint, port=port) as proxy,
    ):
        yield endpoint, proxy


@pytest.fixture
def make_site(
    request: pytest.FixtureRequest, tmp_path: Path, rng: random.Random
) -> Iterator[Callable[[str], Site]]:
    """Makes a site of a kind of server."""
    with ExitStack() as stack:

        def make(server: str) -> Site:
            name = f"faults-{uuid.uuid4().hex[:12]}"
            if server == "local":
                settings = {"root": str(tmp_path / "root"), "prefix": "prod"}
                return Site(server, FaultProxy("", rng), settings, settings)
            if server == "gcs":
                endpoint, proxy = request.getfixturevalue("gcs_site")
                proxy.plan, proxy.rng = (lambda _: None), rng
                proxy.forget()
                body = json.dumps({"name": name}).encode()
                kind = {"Content-Type": "application/json"}
                create = Request(f"{endpoint}/storage/v1/b?project=test", body, kind)  # noqa: S310
                with urlopen(create, timeout=10):  # noqa: S310
                    pass
                common = {"bucket": name, "prefix": "prod", "token": "anon"}
                return Site(
                    server,
                    proxy,
                    common | {"endpoint_url": proxy.endpoint},
                    common | {"endpoint_url": endpoint},
                )
            endpoint = request.getfixturevalue(
                {"moto": "moto_endpoint", "seaweedfs": "seaweed_endpoint"}[server]
            )
            proxy = stack.enter_context(fault_proxy(endpoint, rng.randrange(2**32)))
            known = CREDENTIALS if server == "seaweedfs" else _SOME
            settings = {"bucket": name, "prefix": "prod", **known}
            site = Site(
                server,
                proxy,
                settings | {"endpoint_url": proxy.endpoint},
                settings | {"endpoint_url": endpoint},
            )
            site.client().create_bucket(Bucket=name)
            return site

        yield make
