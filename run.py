#!/usr/bin/env python3
"""Runs the demo and the tests on a machine that has nothing but Python and pip.

    python3 run.py demo [arguments of the demo]
    python3 run.py test [arguments of nox]
    python3 run.py install

Each command first makes `.venv` in the checkout, or brings it up to date: our own distributions
as editable installs, everything else at the versions of constraints.txt. `install` stops there.
The file uses only the standard library, and its syntax is old enough that an old Python can read
it and say what is missing.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - told here, before anything newer is imported
    sys.exit(
        "dagster-buckets needs Python 3.11 or newer, and this is Python {}.{} ({}).\n"
        "Run it again with a newer one, for example: python3.12 run.py {}".format(
            sys.version_info[0], sys.version_info[1], sys.executable, " ".join(sys.argv[1:])
        )
    )
if sys.platform == "win32":
    sys.exit("dagster-buckets is developed on Linux and macOS. On Windows, run this inside WSL.")

import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMP = VENV / "run.py.json"
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("core", "local", "s3", "gcs")

# Dependency groups of pyproject.toml that each command needs.
GROUPS = {
    "demo": ("demo", "servers"),
    "test": ("test", "types", "lint", "imports"),
    "install": ("test", "types", "lint", "imports"),
}


def main() -> None:
    """Makes the environment ready, then becomes the command that was asked for."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in GROUPS:
        wanted = command in ("-h", "--help")
        print(__doc__, file=sys.stdout if wanted else sys.stderr)
        sys.exit(0 if wanted else 2)
    with_lock(GROUPS[command])
    become = {
        "demo": [str(PYTHON), "-m", "demo"],
        "test": [str(PYTHON), "-m", "nox"],
    }.get(command)
    if become is None:
        return
    environment = dict(os.environ, VIRTUAL_ENV=str(VENV))
    environment["PATH"] = str(PYTHON.parent) + os.pathsep + environment.get("PATH", os.defpath)
    os.chdir(str(ROOT))
    sys.stdout.flush()
    # No child process: signals and the exit code are the command's own.
    os.execve(become[0], become + sys.argv[2:], environment)  # noqa: S606


def with_lock(groups: tuple[str, ...]) -> None:
    """Brings `.venv` up to date; a second run in the same checkout waits for the first."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        bring_up_to_date(groups)
    finally:
        os.close(handle)


def bring_up_to_date(groups: tuple[str, ...]) -> None:
    """Installs what is missing, or nothing when the stamp says that all of it is there."""
    version = "{}.{}".format(*sys.version_info[:2])
    now = {"python": version, "root": str(ROOT), "inputs": fingerprint()}
    stamp = read_stamp()
    installed = set(stamp.pop("groups", ()))
    usable = PYTHON.exists() and runs([str(PYTHON), "-c", ""])
    if usable and stamp == now and installed.issuperset(groups):
        return
    # With the same inputs, what an earlier command installed stays and is not installed again.
    wanted = sorted(installed.union(groups)) if stamp == now else sorted(groups)
    STAMP.unlink(missing_ok=True)
    # Scripts name the place of their environment: one that was moved, or left half made, is remade.
    if not usable or any(stamp.get(key) != now[key] for key in ("python", "root")):
        say(f"making {VENV.name} with Python {version}")
        make_environment()
    say(f"installing the {', '.join(wanted)} dependencies (minutes the first time)")
    install(wanted)
    STAMP.write_text(json.dumps({**now, "groups": wanted}), encoding="utf-8")
    say(f"{VENV.name} is ready")


def make_environment() -> None:
    """Makes an empty `.venv`, with pip in it where this Python can put it there."""
    with_pip = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    # Debian splits ensurepip off into python3-venv; without it this fails, and `pip --python` of
    # the outer Python does the work.
    if subprocess.run(with_pip, capture_output=True, check=False).returncode != 0:
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(str(VENV))


def install(groups: list[str]) -> None:
    """Installs our distributions and the named groups, with uv, or with pip if need be."""
    requirements = ["nox", *dict.fromkeys(req for group in groups for req in group_members(group))]
    ours = ["--editable", ".[all]"]
    for name in PACKAGES:
        ours += ["--editable", f"packages/{name}"]
    common = ["--constraint", str(CONSTRAINTS), *ours, *requirements]
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    pip = pip_command()
    if runs([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), "uv"]):
        uv = [str(UV), "pip", "install", "--python", str(PYTHON), *quiet]
        if runs([*uv, "--build-constraints", str(CONSTRAINTS), *common]):
            return
    # uv does not read pip's configuration, so pip may reach an index that uv does not know.
    say("uv could not do it; trying pip, which is slower")
    if not runs([*pip, "install", *quiet, *common]):
        sys.exit("The dependencies could not be installed; the lines above say why.")


def pip_command() -> list[str]:
    """The pip that installs into `.venv`: its own, or that of the Python that runs this file."""
    if any(VENV.glob("lib/python*/site-packages/pip/__main__.py")):
        pip = [str(PYTHON), "-m", "pip"]
    elif importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    else:
        sys.exit("This Python has neither pip nor ensurepip. On Debian: apt install python3-pip")
    return [*pip, "--disable-pip-version-check"]


def group_members(name: str) -> list[str]:
    """The requirements of a dependency group (PEP 735), with the groups that it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    members = []
    for entry in groups[name]:
        members += [entry] if isinstance(entry, str) else group_members(entry["include-group"])
    return members


def fingerprint() -> str:
    """A digest of the files that decide what an environment holds."""
    digest = hashlib.sha256()
    files = [Path(__file__), CONSTRAINTS, ROOT / "pyproject.toml"]
    files += [ROOT / "packages" / name / "pyproject.toml" for name in PACKAGES]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read_stamp() -> dict[str, str]:
    """What the last complete install wrote, or nothing."""
    try:
        return dict(json.loads(STAMP.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def runs(command: list[str]) -> bool:
    """Runs a command in the checkout; whether it succeeded."""
    try:
        return subprocess.run(command, cwd=str(ROOT), check=False).returncode == 0
    except OSError:
        return False


def say(line: str) -> None:
    """Prints one progress line."""
    print(f"[run.py] {line}", flush=True)


if __name__ == "__main__":
    main()
