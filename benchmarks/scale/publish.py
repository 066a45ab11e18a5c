"""Writes the tables into ``docs/explanation/scale.md``, between comments that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.running import ROOT
from benchmarks.scale.records import kept
from benchmarks.scale.tables import TABLES

__all__ = ["PAGE", "rendered"]

PAGE = ROOT / "docs" / "explanation" / "scale.md"
_TABLE = re.compile(r"(?<=<!-- table: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def rendered(page: str, records: Mapping[str, Any]) -> str:
    """The page with all its tables made anew."""
    return _TABLE.sub(lambda at: f"{at[1]}{at[2]}\n{TABLES[at[1]](records)}\n", page)


def main() -> None:
    """Write the page and its picture."""
    from benchmarks.scale.plot import plot

    records = kept()
    PAGE.write_text(rendered(PAGE.read_text("utf-8"), records), encoding="utf-8")
    plot(records, PAGE.with_suffix(".svg"))


if __name__ == "__main__":
    main()
