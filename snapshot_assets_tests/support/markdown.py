"""The project's pages for tests: headings, links, tables and fenced blocks.

This module only reads pages. test_docs.py and test_docs_run.py test their statements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
README = ROOT / "README.md"
_PAGES = ("CHANGELOG", "CONTRIBUTING", "SECURITY")
# The pages that the tests read and run.
PAGES = (README, *(ROOT / f"{name}.md" for name in _PAGES), *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: path below the project's root.
        language: as the fence names it; empty for pictures and output.
        text: without the fence and its indentation.
        not_run: the reason in the comment in front of it; empty for a block that runs.
    """

    page: str
    language: str
    text: str
    not_run: str

    @property
    def first_line(self) -> str:
        """The first line of the block, which names the block in tests."""
        return self.text.splitlines()[0].strip()

    def __str__(self) -> str:
        return f"{self.page}: {self.first_line}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page.

    Attributes:
        heading: the heading above it, of any level.
        before: the text between the heading, or the table before, and this table.
        header: the words of the first line.
        rows: the cells of each other line, by the words of the first; texts without backticks.
    """

    heading: str
    before: str
    header: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def tables(page: Path) -> list[Table]:
    """The tables of a page, in order."""
    found: list[Table] = []
    heading, before, lines = "", "", list[list[str]]()
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip().strip("`") for cell in line.split("|")[1:-1]])
        elif lines:
            header, _, *rows = lines
            cells = tuple(dict(zip(header, row, strict=True)) for row in rows)
            found.append(Table(heading, before, tuple(header), cells))
            before, lines = "", []
        elif line.startswith("#"):
            heading, before = line.lstrip("# "), ""
        else:
            before += f"{line}\n"
    return found


def page_name(page: Path) -> str:
    """The path below the project's root."""
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages in these languages, in order; all blocks if none is given."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for fence in _FENCE.finditer(text):
            reason = _NOT_RUN.search(text[: fence.start()])
            found.append(
                Block(page_name(page), fence[2], dedent(fence[3]), reason[1] if reason else "")
            )
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def headings(page: Path) -> dict[str, str]:
    """Anchor to heading, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"): heading for heading in found
    }


def section(page: Path, heading: str) -> str:
    """The text below a heading of the second level, up to the next one."""
    _, found, rest = page.read_text().partition(f"\n## {heading}\n")
    assert found, f"{page_name(page)} has no heading {heading!r}"
    return rest.partition("\n## ")[0]


def table_rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without the tables' headers."""
    rows = []
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("| ") and not following.startswith("| ---") and "| --- |" not in line:
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code_words(text: str) -> list[str]:
    """The words in backticks."""
    return re.findall(r"`([^`\n]+)`", text)
