"""What the documentation names is there: pages and their headings, pictures, and paths in the repository."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tests.tidy.files import ROOT, repository_files

LINK: Final = re.compile(r"\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
PATH: Final = re.compile(r"`((?:src|tests|docs|tools|benchmarks|examples)/[\w./-]+)`")
# Pages about the code leave `src/farebox` out.
MODULE: Final = re.compile(r"`((?:alerts|cli|core|presenters|service|storage|web)/[\w./-]+)`")
# Programs, messages and pages name a page of the documentation so.
NAMED: Final = re.compile(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?")
HEADING: Final = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
FENCED: Final = re.compile(r"^( *)(```+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
PICTURES: Final = {".jpg", ".png", ".svg"}


def _pages() -> Iterator[tuple[Path, str]]:
    for path in repository_files():
        if path.suffix == ".md":
            yield path, FENCED.sub("", path.read_text(encoding="utf-8"))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """Return the names of a page's headings, as links name them."""
    names: list[str] = []
    for heading in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words).strip().lower().replace(" ", "-")
        names.append(name if name not in names else f"{name}_{names.count(name)}")
    return frozenset(names)


def _is_there(target: Path, anchor: str | None) -> bool:
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or unquote(anchor) in _anchors(target)


def test_links_lead_to_a_page_and_to_its_heading() -> None:
    dead = [
        f"{path.relative_to(ROOT)}: {link[0]}"
        for path, text in _pages()
        for link in LINK.finditer(text)
        if "://" not in link["target"]
        and not link["target"].startswith("mailto:")
        and not _is_there(path.parent / link["target"] if link["target"] else path, link["anchor"])
    ]
    assert [] == dead


def test_pages_that_programs_name_are_there() -> None:
    dead = []
    for path in repository_files():
        if path.suffix in {".py", ".html", ".txt", ".sql", ".po", ".toml", ".yml", ".conf", ".service", ".js"}:
            for name in NAMED.findall(path.read_text(encoding="utf-8")):
                target, _, anchor = name.partition("#")
                if not _is_there(ROOT / target, anchor):
                    dead.append(f"{path.relative_to(ROOT)}: {name}")
    assert [] == dead


def test_every_picture_is_shown() -> None:
    """What the site's frame shows stands in a folder of its own."""
    shown = {
        (path.parent / link["target"]).resolve()
        for path, text in _pages()
        for link in LINK.finditer(text)
        if Path(link["target"]).suffix in PICTURES
    }
    pictures = {path for path in repository_files(ROOT / "docs" / "images") if path.suffix in PICTURES}
    assert set() == {str(path.relative_to(ROOT)) for path in pictures - shown}


def test_paths_that_pages_name_are_there() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in _pages()
        # Fragments of the change log tell of their own time.
        if path.parent.name != "changelog.d"
        for folder, pattern in ((ROOT, PATH), (ROOT / "src" / "farebox", MODULE))
        for name in pattern.findall(text)
        if not (folder / name).exists()
    ]
    assert [] == missing
