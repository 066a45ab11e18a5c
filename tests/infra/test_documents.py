"""What needs no provider: formatting, README files, and names that must agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.infra import readmes
from tests.infra.policies import DOCUMENT_ONLY, Document, actions
from tests.infra.terraform import INFRA, Terraform

ROOT = INFRA.parent
EXAMPLES = sorted(path.parent for path in INFRA.glob("examples/*/definitions.py"))
PAGE = ROOT / "docs" / "how-to" / "terraform.md"
#: What boto3 and gcsfs read without being told.
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_it_is_formatted(infra: Path) -> None:
    answer = Terraform(infra).ask("fmt", "-check", "-recursive", "-diff")
    assert answer.code == 0, answer.text


@pytest.mark.parametrize("root", readmes.ROOTS, ids=lambda root: root.name)
def test_the_readme_is_that_of_the_code(root: Path) -> None:
    assert readmes.page(root) == (root / "README.md").read_text("utf-8"), (
        "run python -m tests.infra.readmes"
    )


@pytest.mark.parametrize("root", readmes.ROOTS, ids=lambda root: root.name)
def test_every_variable_has_a_type_and_everything_a_description(root: Path) -> None:
    found = readmes.entries(root)
    assert {entry.kind for entry in found} == {"variable", "output"}
    for entry in found:
        assert entry.description.endswith("."), entry.name
        assert entry.kind == "output" or entry.arguments["type"] != "any", entry.name
    text = (root / "variables.tf").read_text("utf-8") + (root / "outputs.tf").read_text("utf-8")
    assert len(found) == len(re.findall(r"^(?:variable|output) ", text, re.MULTILINE))


def read_by(definitions: Path) -> set[str]:
    """The variables of the environment that Definitions name."""
    tree = ast.parse(definitions.read_text("utf-8"))
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "EnvVar"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def given_by(root: Path) -> set[str]:
    """The variables of the environment in the output `env` of a root, its module's included."""
    text = (root / "outputs.tf").read_text("utf-8")
    match = re.search(r'^output "env" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert match is not None
    own = set(re.findall(r"^ +([A-Z][A-Z_]+) +=", match[1], re.MULTILINE))
    if "module.store.env" not in match[1]:
        return own
    main = (root / "main.tf").read_text("utf-8")
    source = re.search(r'module "store" \{\n +source += "([^"]+)"', main)
    assert source is not None
    return own | given_by((root / source[1]).resolve())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_definitions_read_exactly_what_the_outputs_give(example: Path) -> None:
    assert read_by(example / "definitions.py") == given_by(example) - CREDENTIALS
    assert len(given_by(example) - CREDENTIALS) >= 3


def test_each_module_means_the_same_by_a_prefix() -> None:
    texts = [path.read_text("utf-8") for path in sorted(INFRA.glob("modules/*/variables.tf"))]
    rules = {
        match for text in texts for match in re.findall(r'regex\("([^"]+)", var\.prefix\)', text)
    }
    assert len(rules) == 1


def test_the_guide_tells_what_each_permission_is_for(documents: dict[str, Document]) -> None:
    granted = set().union(*(actions(document) for document in documents.values()))
    assert granted > DOCUMENT_ONLY
    rows = set(
        re.findall(
            r"^\| `(s3:\w+|kms:\w+|storage\.\w+\.\w+)`", PAGE.read_text("utf-8"), re.MULTILINE
        )
    )
    assert {row for row in rows if not row.startswith("storage")} == granted
    assert {row for row in rows if row.startswith("storage")} == {
        f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list")
    }


def test_the_guide_has_the_commands_of_each_example() -> None:
    text = PAGE.read_text("utf-8")
    for example in EXAMPLES:
        assert f"infra/examples/{example.name}" in text
        required = {
            entry.name
            for entry in readmes.entries(example)
            if entry.kind == "variable" and not entry.default
        }
        section = text[text.index(f"infra/examples/{example.name}") :]
        for name in required:
            assert re.search(rf"^{name} += ", section, re.MULTILINE), (example.name, name)


def test_nothing_of_a_machine_is_committed() -> None:
    kept = {"README.md", "definitions.py"}
    for path in INFRA.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and ".terraform" not in path.parts:
            assert path.suffix in {".tf", ".hcl"} or path.name in kept, path
            assert not path.name.startswith("."), path
