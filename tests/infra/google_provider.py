"""The Google provider for the tests: the real one where Terraform finds it, else a stub of its schemas.

Nothing here can be applied: there is no server for Google's control plane. What is tested with it is
schema-checked, not applied.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.infra.terraform import INFRA, Terraform, mirror_config, not_run

#: What the stub is made of; its environment is its own.
PROTOCOL = "tf==1.2.0"
BINDINGS = "cdktn-provider-google==21.1.0"
VERSION = "8.7.0"
_USED = re.compile(r'^(resource|data) "(google_\w+)"', re.MULTILINE)
_STUB = Path(__file__).with_name("google_stub.py")


def google_config(folder: Path) -> Path | None:
    """Terraform's settings under which a provider for Google can be installed, however it is."""
    probe = folder / "probe"
    probe.mkdir()
    (probe / "main.tf").write_text(
        'terraform {\n  required_providers {\n    google = { source = "hashicorp/google", version = "< 9.0" }\n  }\n}\n'
    )
    config = mirror_config(folder / "plain.rc")
    if Terraform(probe, config).ask("init", "-no-color").code == 0:
        return config
    mirror = _stub_mirror(folder)
    return mirror_config(folder / "stub.rc", google=mirror)


def used() -> list[str]:
    """The resources and data sources of Google that the modules use."""
    texts = [path.read_text("utf-8") for path in sorted(INFRA.rglob("*.tf"))]
    found = {(kind, name) for text in texts for kind, name in _USED.findall(text)}
    return sorted(f"data.{name}" if kind == "data" else name for kind, name in found)


def _stub_mirror(folder: Path) -> Path:
    python = folder / "env" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    _try(str(uv), "venv", "--quiet", "--python", sys.executable, str(folder / "env"))
    _try(str(uv), "pip", "install", "--quiet", "--python", str(python), "pip", PROTOCOL)
    # pip, because uv cannot fetch a wheel without installing its 233 MB.
    download = ("download", "--quiet", "--no-deps", "--dest", str(folder), BINDINGS)
    _try(str(python), "-m", "pip", "--disable-pip-version-check", *download)
    (wheel,) = folder.glob("cdktn_provider_google-*.whl")
    schemas = folder / "schemas.json"
    _try(str(python), str(_STUB), "extract", str(wheel), str(schemas), *used())
    wheel.unlink()
    target = _platform(folder)
    place = folder / "mirror" / "registry.terraform.io" / "hashicorp" / "google" / VERSION / target
    place.mkdir(parents=True)
    program = place / f"terraform-provider-google_v{VERSION}"
    # The library keeps its certificate below the home folder.
    program.write_text(
        f'#!/bin/sh\nHOME="{folder}" exec "{python}" "{_STUB}" serve "{schemas}"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return folder / "mirror"


def _platform(folder: Path) -> str:
    text = Terraform(folder).run("version")
    match = re.search(r"^on (\w+)$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def _try(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        not_run(f"neither hashicorp/google nor what a stub is made of can be had here: {said}")
