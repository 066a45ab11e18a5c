"""Asks a database of vulnerabilities about every version that is pinned.

Run by `nox -s audit` in the environment of pip-audit, with constraints.txt. It fails on a finding.
It does not fail, and says so, where the database cannot be reached: other people's servers do not
decide whether a change is good.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

# Findings that do not concern us, and why: {"GHSA-…": "we never call …"}.
IGNORED: dict[str, str] = {}
UNREACHABLE = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|SSLError"
    r"|HTTPError: (429|5\d\d)|Max retries exceeded"
)


def main(pins: str) -> int:
    ignored = [word for name in IGNORED for word in ("--ignore-vuln", name)]
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        pins,
        "--no-deps",
        "--disable-pip",
    ]
    # OSV and not a package index: a mirror without vulnerabilities answers as if there were none.
    command += ["--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off"]
    ran = subprocess.run([*command, *ignored], capture_output=True, text=True, check=False)  # noqa: S603
    code, said = verdict(ran.returncode, ran.stdout, ran.stderr)
    sys.stdout.write(f"{said}\n")
    return code


def verdict(returncode: int, out: str, err: str) -> tuple[int, str]:
    """The exit code, and what to say about it."""
    try:
        found: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        if UNREACHABLE.search(err):
            return 0, "NOT AUDITED: the database of vulnerabilities cannot be reached"
        return returncode or 1, f"pip-audit failed:\n{err}"
    lines = [
        f"{each['name']} {each['version']}: {vuln['id']}, fixed in {vuln['fix_versions'] or '-'}"
        for each in found
        for vuln in each.get("vulns", [])
    ]
    audited = [each for each in found if "vulns" in each]
    if lines:
        return 1, "\n".join(lines)
    if len(audited) < len(found):
        skipped = ", ".join(each["name"] for each in found if "vulns" not in each)
        return 1, f"of these nothing is known: {skipped}"
    return returncode, f"{len(audited)} versions have no known vulnerability"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
