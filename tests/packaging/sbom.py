"""Writes the software bill of materials of one distribution, and checks that it can be given away.

Run by `nox -s sbom` in the environment of cyclonedx-py, with what that wrote of an environment that
holds the wheel and nothing else. No test tool is beside it.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# Packages that say it in no field that tools read; as their LICENSE files have it.
KNOWN_LICENCES = {"antlr4-python3-runtime": "BSD-3-Clause", "protobuf": "BSD-3-Clause"}
# What Apache-2.0 code cannot be combined with and stay Apache-2.0; the LGPL's files may lie beside.
COPYLEFT = re.compile(r"\b(AGPL|GPL|GNU (Affero )?General Public|SSPL|EUPL|OSL|CC-BY-SA|CC-BY-NC)")


def main(raw: str, wheel: str, target: str) -> None:
    document = json.loads(Path(raw).read_text("utf-8"))
    clean(document)
    metadata = metadata_of(Path(wheel))
    check(document, metadata)
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    check_text(text)
    validate(text, document["specVersion"])
    Path(target).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{metadata['Name']}: {len(document['components'])} components\n")


def validate(text: str, version: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    found = JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(text)
    assert found is None, found


def clean(document: dict[str, Any]) -> None:
    """Leave out addresses, which name where packages came from, and fill in known licences."""
    tools = document["metadata"]["tools"]["components"]
    for component in [document["metadata"]["component"], *document["components"], *tools]:
        component.pop("externalReferences", None)
        known = KNOWN_LICENCES.get(canonicalize_name(component["name"]))
        if known and not component.get("licenses"):
            # Concluded, not declared: we read it, the package does not say it.
            licence = {"id": known, "acknowledgement": "concluded"}
            component["licenses"] = [{"license": licence}]


def metadata_of(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def check(document: dict[str, Any], metadata: Any) -> None:
    """The document is about this distribution, complete, and all of it may go along with it."""
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == (metadata["Name"], metadata["Version"]), root
    components = {canonicalize_name(each["name"]): each for each in document["components"]}
    names = list(components)
    assert len(names) == len(document["components"]), "a component is in it twice"
    for requirement in direct(metadata):
        component = components.get(canonicalize_name(requirement.name))
        assert component is not None, f"{requirement} is missing"
        assert requirement.specifier.contains(component["version"], prereleases=True), requirement
    for name, component in components.items():
        assert component.get("version"), f"{name} has no version"
        licences = licences_of(component)
        assert licences, f"{name} has no licence: add it to KNOWN_LICENCES once it was read"
        refused = [text for text in licences if not may_go_along(text)]
        assert not refused, f"{name} is under {refused}, which Apache-2.0 code cannot depend on"


def direct(metadata: Any) -> list[Requirement]:
    """What the distribution asks for itself, with its extras if it is the one that has them all."""
    extras = ["", *(metadata.get_all("Provides-Extra", []) if is_meta(metadata) else ())]
    here: dict[str, Any] = dict(default_environment())
    found = []
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({**here, "extra": e}) for e in extras)
        # Its own name stands there with further extras.
        if wanted and requirement.name != metadata["Name"]:
            found.append(requirement)
    return found


def is_meta(metadata: Any) -> bool:
    return "all" in metadata.get_all("Provides-Extra", [])


def licences_of(component: dict[str, Any]) -> list[str]:
    found = []
    for entry in component.get("licenses", []):
        licence = entry.get("license", {})
        text = entry.get("expression") or licence.get("id") or licence.get("name") or ""
        found.append(text.rpartition("License :: ")[2].strip())
    return [text for text in found if text]


def may_go_along(text: str) -> bool:
    """Whether a licence, or one of those that may be chosen from, is no strong copyleft."""
    # Of an expression with brackets every term has to do: somebody reads the one that does not.
    choices = [text] if "(" in text and " :: " not in text else re.split(r"\bOR\b", text)
    return any(
        all(is_free(term) for term in re.split(r"\bAND\b|\bOR\b", choice)) for choice in choices
    )


def is_free(term: str) -> bool:
    # With an exception, such as that of the runtime of a compiler, the GPL reaches no further.
    return "exception" in term or not COPYLEFT.search(term)


def check_text(text: str) -> None:
    """Nothing in it says where it was made."""
    addresses = set(re.findall(r"[a-z]+://[^\s\"]+", text))
    allowed = {each for each in addresses if each.startswith("http://cyclonedx.org/schema/")}
    assert addresses == allowed, addresses - allowed
    for path in (ROOT, Path.home(), Path(sys.prefix), Path(sys.base_prefix)):
        assert f"{path}/" not in text, path


if __name__ == "__main__":
    main(*sys.argv[1:])
