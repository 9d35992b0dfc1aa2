"""What the documentation names is there: links between pages, and paths in the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.files import ROOT, repository_files

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:src|tests|docs|tools|benchmarks|examples)/[\w./-]+)`")
# Pages about the code leave `src/farebox` out.
MODULE = re.compile(r"`((?:alerts|cli|core|presenters|service|storage|web)/[\w./-]+)`")


def _pages() -> Iterator[tuple[Path, str]]:
    for path in repository_files():
        # Fragments of the change log tell of their own time.
        if path.suffix == ".md" and path.parent.name != "changelog.d":
            yield path, path.read_text()


def test_links_lead_somewhere() -> None:
    dead = [
        f"{path.relative_to(ROOT)}: {link}"
        for path, text in _pages()
        for link in LINK.findall(text)
        if "://" not in link and not (path.parent / link).exists()
    ]
    assert [] == dead


def test_paths_that_pages_name_are_there() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in _pages()
        for folder, pattern in ((ROOT, PATH), (ROOT / "src" / "farebox", MODULE))
        for name in pattern.findall(text)
        if not (folder / name).exists()
    ]
    assert [] == missing
