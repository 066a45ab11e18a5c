"""What the bills of materials and the audit let pass, and what they do not."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.packaging import audit, sbom

FOUND = {"name": "a", "version": "1", "vulns": [{"id": "GHSA-x", "fix_versions": ["2"]}]}
CLEAN: dict[str, Any] = {"name": "b", "version": "1", "vulns": []}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("dependencies", "code", "said"),
    [
        ([CLEAN], 0, "1 versions have no known vulnerability"),
        ([CLEAN, FOUND], 1, "a 1: GHSA-x, fixed in ['2']"),
        # A service that knows nothing must not look like one that found nothing.
        ([CLEAN, SKIPPED], 1, "nothing is known: c"),
    ],
)
def test_findings_fail_the_audit(dependencies: list[Any], code: int, said: str) -> None:
    out = json.dumps({"dependencies": dependencies, "fixes": []})
    found = audit.verdict(code, out, "")
    assert found[0] == code
    assert said in found[1]


@pytest.mark.parametrize(
    ("err", "code"),
    [
        ("requests.exceptions.ConnectionError: Max retries exceeded", 0),
        ("requests.exceptions.HTTPError: 503 Server Error: Unavailable", 0),
        ("requests.exceptions.HTTPError: 400 Client Error: Bad Request", 1),
        ("ERROR: requirement is not pinned", 1),
    ],
)
def test_only_an_unreachable_database_passes_unaudited(err: str, code: int) -> None:
    found = audit.verdict(1, "", err)
    assert found[0] == code
    assert found[1].startswith("NOT AUDITED" if code == 0 else "pip-audit failed")


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("MIT", True),
        ("LGPL-3.0-only", True),
        ("MPL-2.0 AND MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", True),
        ("MIT OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("MIT AND GPL-2.0-only OR Apache-2.0", True),
        ("(MIT OR GPL-2.0-only) AND BSD-2-Clause", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1 AND BSD-3-Clause", True),
    ],
)
def test_licences(licence: str, *, may: bool) -> None:
    assert sbom.may_go_along(licence) is may


def metadata() -> Message:
    found = Message()
    found["Name"], found["Version"] = "ours", "1.0"
    found["Requires-Dist"] = "lib>=2"
    found["Requires-Dist"] = "more; extra == 'more'"
    return found


def bill(**changes: Any) -> dict[str, Any]:
    licences = [{"license": {"id": "MIT"}}]
    library = {"name": "Lib", "version": "2.1", "licenses": licences, **changes}
    root = {"name": "ours", "version": "1.0"}
    return {"metadata": {"component": root, "tools": {"components": []}}, "components": [library]}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"version": "1.9"},
        {"licenses": []},
        {"licenses": [{"license": {"id": "MIT"}}, {"expression": "AGPL-3.0-only"}]},
        {"licenses": [{"license": {"name": "License :: OSI Approved :: GNU Affero General Public License v3"}}]},
    ],
)  # fmt: skip
def test_a_bill_that_is_wrong(changes: dict[str, Any]) -> None:
    sbom.check(bill(), metadata())
    with pytest.raises(AssertionError):
        sbom.check(bill(**changes), metadata())


def test_a_bill_says_nothing_of_where_it_was_made() -> None:
    document = bill(externalReferences=[{"url": "file:///tmp/wheels/lib.whl"}])
    with pytest.raises(AssertionError):
        sbom.check_text(json.dumps(document))
    sbom.clean(document)
    sbom.check_text(json.dumps(document))
    for place in (str(Path.home() / "lib"), "https://index.example/simple"):
        with pytest.raises(AssertionError):
            sbom.check_text(json.dumps({"description": f"from {place}"}))
