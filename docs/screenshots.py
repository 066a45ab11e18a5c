"""Takes the pictures of Dagster's UI that the documentation shows: ``python docs/screenshots.py``.

Needs what ``nox -s screenshots`` installs, and Chromium. It runs an example into a temporary folder,
looks at it with Dagster's own webserver, and ends that again.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SETTINGS = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
#: Seconds that a page has to draw itself.
_DRAWN = 15

DEFINITIONS = """
import dagster as dg
import pandas as pd
from dagster_buckets import bucket_options, with_kinds
from dagster_buckets_s3 import S3IOManager

days = dg.DailyPartitionsDefinition("2026-11-01", end_date="2026-11-13")


@dg.asset(
    partitions_def=days, kinds={"pandas"}, metadata=bucket_options(mask_columns=["email"])
)
def orders(context: dg.AssetExecutionContext) -> pd.DataFrame:
    day = int(context.partition_key[-2:])
    count = 200 + 40 * (day % 5)
    numbers = range(count)
    return pd.DataFrame(
        {
            "id": [day * 1000 + number for number in numbers],
            "email": [f"{number}@example.com" for number in numbers],
            "country": [("de", "fr", "it")[number % 3] for number in numbers],
            "eur": [round(5 + number % 37 * 1.25, 2) for number in numbers],
        }
    )


@dg.asset
def revenue(orders: pd.DataFrame) -> dict[str, float]:
    return orders.groupby("country")["eur"].sum().to_dict()


defs = with_kinds(
    dg.Definitions(
        assets=[orders, revenue],
        resources={"io_manager": S3IOManager(bucket="lake", prefix="prod")},
    )
)
"""

BUCKET = """
import boto3

where = {"LocationConstraint": "eu-west-1"}
boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=where)
"""

RUN = """
import dagster as dg
from definitions import days, defs

instance = dg.DagsterInstance.get()
job = defs.resolve_implicit_global_asset_job_def()
for day in days.get_partition_keys():
    job.execute_in_process(
        instance=instance, partition_key=day, asset_selection=[dg.AssetKey("orders")]
    )
job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("revenue")])
"""

#: The name of the picture, the page, and the size of the window.
PAGES = {
    "partition": ("/assets/orders?view=partitions&partition=2026-11-12", "1500,1560"),
    "graph": ("/asset-groups/~orders*", "1200,700"),
}


def main() -> None:
    """Run the example, and take the pictures."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("there is no Chromium on this machine")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dagster-buckets-ui-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text(_SETTINGS, encoding="utf-8")
        (folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
        env = {**os.environ, "DAGSTER_HOME": str(home), "AWS_DEFAULT_REGION": "eu-west-1"}
        env |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "of-no-account"}
        with _serving("moto_server", ["-p"], "/moto-api/data.json", folder, env) as moto:
            env["AWS_ENDPOINT_URL"] = moto
            _run([sys.executable, "-c", BUCKET], folder, env)
            _run([sys.executable, "-c", RUN], folder, env)
            _photographs(browser, folder, env)


def _photographs(browser: str, folder: Path, env: dict[str, str]) -> None:
    options = ["-f", "definitions.py", "-p"]
    with _serving("dagster-webserver", options, "/server_info", folder, env) as url:
        for picture, (page, size) in PAGES.items():
            target = IMAGES / f"{picture}.png"
            _photograph(browser, f"{url}{page}", size, target, folder)
            sys.stdout.write(f"{target}\n")


def _run(command: list[str], folder: Path, env: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=env, check=True)  # noqa: S603 - our own


@contextmanager
def _serving(
    name: str, options: list[str], page: str, folder: Path, env: dict[str, str]
) -> Iterator[str]:
    """A server on the loopback interface, from when it answers until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name(name))
    server = subprocess.Popen([program, *options, str(port)], cwd=folder, env=env)  # noqa: S603
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{url}{page}", timeout=1):  # noqa: S310
                    break
            except OSError:
                time.sleep(0.5)
        else:
            sys.exit(f"{name} does not answer")
        yield url
    finally:
        server.terminate()
        server.wait()


def _photograph(browser: str, url: str, size: str, target: Path, folder: Path) -> None:
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'browser'}",
        f"--window-size={size}",
        f"--virtual-time-budget={_DRAWN * 1000}",
        f"--screenshot={target}",
    ]
    subprocess.run([browser, *options, url], check=True, timeout=120)  # noqa: S603


if __name__ == "__main__":
    main()
