"""The pages of the documentation, and the tables and blocks in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
"""What people read."""


def read(page: str) -> str:
    """A page below docs/."""
    return (DOCS / page).read_text(encoding="utf-8")


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The rows of the first table below a heading (or of the first table), without its head; cells without their backticks."""
    text = page[page.index(f"\n{heading}\n") :] if heading else page
    table = re.search(r"^\|.*\n\|[-| :]+\|\n((?:\|.*\n)*)", text, re.MULTILINE)
    assert table, f"no table below {heading!r}"
    cells = (re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in table[1].splitlines())
    return [[cell.strip().strip("`") for cell in row] for row in cells]


def code_blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, unindented."""
    found = re.findall(rf"^( *)```{language}\b[^\n]*\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]
