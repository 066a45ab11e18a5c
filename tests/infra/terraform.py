"""Terraform as the tests run it: on a copy of `infra/`, with providers from a mirror if one is named.

`DAGSTER_BUCKETS_TF_MIRROR` names a folder in Terraform's layout of a filesystem mirror. Without it
the settings of the machine count (`TF_CLI_CONFIG_FILE`), and without those the public registry.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

INFRA = Path(__file__).parents[2] / "infra"
MIRROR = "DAGSTER_BUCKETS_TF_MIRROR"
_LIMIT = 900


def not_run(reason: str) -> NoReturn:
    """Leave a test that this machine cannot run. The session says so and does not count as run."""
    pytest.skip(f"NOT RUN: {reason}")


@functools.cache
def binary() -> str:
    """The program."""
    found = shutil.which("terraform")
    if found is None:
        not_run("there is no terraform on this machine")
    return found


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    text: str


@dataclass(frozen=True)
class Terraform:
    """One root module.

    Attributes:
        folder: Where it is; it is written to.
        config: A file with Terraform's own settings; the machine's if there is none.
        env: For the providers.
    """

    folder: Path
    config: Path | None = None
    env: Mapping[str, str] | None = None

    def ask(self, *words: str, **variables: Any) -> Answer:
        """Run it, whatever comes of it."""
        known = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "TF_VAR_", "TF_CLI_ARGS", "GOOGLE_"))
        }
        known |= {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        known |= {
            f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in variables.items()
        }
        if self.config is not None:
            known["TF_CLI_CONFIG_FILE"] = str(self.config)
        done = subprocess.run(  # noqa: S603 - the words are ours
            [binary(), *words],
            cwd=self.folder,
            env=known | dict(self.env or {}),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stdout + done.stderr)

    def run(self, *words: str, **variables: Any) -> str:
        """Run it; it must succeed."""
        answer = self.ask(*words, **variables)
        assert answer.code == 0, f"terraform {' '.join(words)}:\n{answer.text}"
        return answer.out

    def init(self) -> None:
        """Install modules and providers."""
        self.run("init", "-no-color", "-backend=false")

    def apply(self, **variables: Any) -> None:
        """Make everything."""
        self.run("apply", "-auto-approve", "-no-color", **variables)

    def destroy(self, **variables: Any) -> None:
        """Unmake everything."""
        self.run("destroy", "-auto-approve", "-no-color", **variables)

    def changes(self, **variables: Any) -> str:
        """What another apply would change; empty for nothing."""
        answer = self.ask("plan", "-detailed-exitcode", "-no-color", **variables)
        assert answer.code in {0, 2}, answer.text
        return answer.text if answer.code else ""

    def outputs(self) -> dict[str, Any]:
        """All of them, the sensitive ones too."""
        done = self.run("output", "-json", "-no-color")
        return {name: entry["value"] for name, entry in json.loads(done).items()}

    def resources(self) -> list[str]:
        """The addresses of what is in the state."""
        answer = self.ask("state", "list")
        return [line for line in answer.out.splitlines() if answer.code == 0]


def copy_of_infra(target: Path) -> Path:
    """A copy that Terraform may write to."""
    leave = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
    return Path(shutil.copytree(INFRA, target, ignore=leave))


def mirror_config(target: Path, **mirrors: Path) -> Path | None:
    """Terraform's settings for mirrors, each of one provider; ``None`` where there are none."""
    if folder := os.environ.get(MIRROR):
        mirrors = {"aws": Path(folder), **mirrors}
    if not mirrors:
        return None
    blocks = [
        f'  filesystem_mirror {{\n    path    = "{folder}"\n    include = ["hashicorp/{name}"]\n  }}'
        for name, folder in mirrors.items()
    ]
    excluded = ", ".join(f'"hashicorp/{name}"' for name in mirrors)
    rest = f"  direct {{\n    exclude = [{excluded}]\n  }}"
    target.write_text("\n".join(["provider_installation {", *blocks, rest, "}", ""]))
    return target
