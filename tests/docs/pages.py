"""The pages of the documentation and their code blocks, each with what a comment above it says of how it is tried.

    <!-- not run: it needs a second machine -->     why nothing tries the block
    <!-- run by: tests/e2e/test_restore.py -->      another test does, which names the page
    <!-- exits with 1 -->                           the last command of the block is refused
    <!-- prepare: KEY_ID=$(...) -->                 what a reader has done before, in the page's own shell

    <!-- file: gate.toml -->                        a file of this name that the page's commands find

The first two count for a whole page where they begin with `all blocks`, as in `<!-- all blocks run by: ... -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.tidy.files import ROOT, repository_files

_PART: Final = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence)[ ]*$"
    r"|<!--(?P<comment>.*?)-->",
    re.MULTILINE | re.DOTALL,
)
_REASON: Final = re.compile(
    r"(?P<all>all blocks )?(?P<kind>not run|run by|exits with|prepare|file):? +(?P<text>.+)", re.DOTALL
)
_LIST_ITEM: Final = re.compile(r"(?P<mark>(?:[-*]|\d+\.) +)\S")
CODE_INDENT: Final = 4


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, from its first line on."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)
    """What the comments just above say: the kind of each, and its text."""

    @property
    def place(self) -> str:
        """Where the block is, for a message."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page that people read: below docs/, and what stands beside it."""
    beside = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "clients" / "python" / "README.md")
    return [*(path for path in repository_files(ROOT / "docs") if path.suffix == ".md"), *beside]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    whole: dict[str, str] = {}
    marks: dict[str, str] = {}
    end = 0
    for part in _PART.finditer(text):
        if text[end : part.start()].strip():
            # A comment is about what follows it at once.
            marks = {name: mark for name, mark in marks.items() if name == "prepare"}
        end = part.end()
        if part["comment"] is not None:
            if reason := _REASON.fullmatch(part["comment"].strip()):
                (whole if reason["all"] else marks)[reason["kind"]] = reason["text"].strip()
            continue
        line = text.count("\n", 0, part.start()) + 1
        lines = part["text"].splitlines()
        content = "\n".join(each.removeprefix(part["indent"]) for each in lines)
        found.append(Block(page, line, part["language"].strip(), content, {**whole, **marks}))
        marks = {}
    return found


def indented_code(page: Path) -> Iterator[int]:
    """Yield the lines at which a block begins that is indented alone, and so can't say its language."""
    text = _PART.sub(lambda part: "\n" * part[0].count("\n"), page.read_text(encoding="utf-8"))
    is_after_blank, is_in_code, content = True, False, 0
    for number, line in enumerate(text.splitlines(), start=1):
        indent = len(line) - len(line.lstrip(" "))
        if not line.strip():
            is_after_blank = True
            continue
        if indent < content:
            content = 0
        if item := _LIST_ITEM.match(line):
            content = len(item["mark"])
        is_code = indent >= content + CODE_INDENT and (is_after_blank or is_in_code)
        if is_code and not is_in_code:
            yield number
        is_after_blank, is_in_code = False, is_code


def fences(page: Path, language: str) -> list[str]:
    """Return the texts of a page's blocks in one language."""
    return [block.text for block in blocks(page) if block.language == language]
