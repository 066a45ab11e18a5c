"""The tables of inputs and outputs in the README of each module and example, from its code.

`python -m tests.infra.readmes` writes them; a test compares them. It reads what `terraform fmt`
formats: a block ends with a brace at the start of a line, an argument with the next one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tests.infra.terraform import INFRA

BEGIN = "<!-- From the code: python -m tests.infra.readmes -->\n"
END = "<!-- End -->\n"
ROOTS = sorted(path.parent for path in INFRA.glob("*/*/main.tf"))

_BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_ARGUMENT = re.compile(
    r"^  (\w+) += (.*?)(?=^  \w+ +=|^  \w+ \{|^  #|\n\n|\Z)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Entry:
    """One variable or output.

    Attributes:
        kind: ``variable`` or ``output``.
        name: Its name.
        arguments: What is said of it, by name, as it is written.
    """

    kind: str
    name: str
    arguments: dict[str, str]

    @property
    def description(self) -> str:
        """For people."""
        return str(json.loads(self.arguments.get("description", '""')))

    @property
    def default(self) -> str:
        """As it is written; empty if a value must be given."""
        return self.arguments.get("default", "")


def entries(root: Path) -> list[Entry]:
    """All variables and outputs of a root, in the order of its files."""
    text = "".join(path.read_text("utf-8") for path in (root / "variables.tf", root / "outputs.tf"))
    return [
        Entry(
            kind,
            name,
            {key: _line(value) for key, value in _ARGUMENT.findall(body)},
        )
        for kind, name, body in _BLOCK.findall(text)
    ]


def tables(root: Path) -> str:
    """Both tables, between their marks."""
    lines = ["| input | type | default | |", "|---|---|---|---|"]
    found = entries(root)
    for entry in found:
        if entry.kind == "variable":
            cells = (f"`{entry.name}`", _code(entry.arguments["type"]), _code(entry.default))
            lines.append(f"| {' | '.join(cells)} | {_cell(entry.description)} |")
    lines += ["", "| output | |", "|---|---|"]
    lines += [
        f"| `{entry.name}` | {_cell(entry.description)} |"
        for entry in found
        if entry.kind == "output"
    ]
    return "\n".join([BEGIN, *lines, "", END])


def page(root: Path) -> str:
    """The README as it should be."""
    text = (root / "README.md").read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    assert begin, f"{root.name}/README.md has no place for the tables"
    return head + tables(root) + rest.partition(END)[2]


def _line(text: str) -> str:
    """In one line, as HCL separates there."""
    lines = [line.strip() for line in text.strip().splitlines()]
    lines = [re.sub(r" +=", " =", line) for line in lines]
    joined = ", ".join(lines)
    return joined.replace("({, ", "({ ").replace(", })", " })").replace(", })", " })")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for folder in ROOTS:
        (folder / "README.md").write_text(page(folder), encoding="utf-8")
