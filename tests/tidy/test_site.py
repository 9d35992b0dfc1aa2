"""The documentation's site is built whole, from what lies here alone, and every page is found in it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.config import load_config

from tests.docs.pages import blocks
from tests.tidy.files import ROOT, repository_files

OUTSIDE = re.compile(r"""(?:src|srcset|data-src|action)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import""")
LOST_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
LINKED_OUTSIDE = re.compile(r"""<link\b[^>]*href=["'](?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning fails it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (0, []) == (built.returncode, [line for line in built.stderr.splitlines() if not line.startswith("INFO")])
    return folder


def test_each_page_is_in_the_site_and_in_its_search(site: Path) -> None:
    docs = ROOT / "docs"
    pages = {
        str(path.relative_to(docs).with_suffix(".html")).replace("README", "index")
        for path in repository_files(docs)
        if path.suffix == ".md"
    }
    assert set() == {page for page in pages if not (site / page).is_file()}
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert set() == pages - {entry["location"].partition("#")[0] or "index.html" for entry in index["docs"]}


def test_each_page_stands_in_the_menu_once() -> None:
    def pages(entry: object) -> list[str]:
        match entry:
            case str():
                return [entry]
            case list():
                return [page for each in entry for page in pages(each)]
            case dict():
                return [page for each in entry.values() for page in pages(each)]
        raise AssertionError(entry)

    listed = pages(load_config(str(ROOT / "mkdocs.yml")).nav)
    assert sorted(set(listed)) == sorted(listed)
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for path in repository_files(docs) if path.suffix == ".md"}
    assert set() == {page for page in written - set(listed) if not page.startswith("decisions/0")}


def test_blocks_and_lists_are_what_they_are_in_the_pages(site: Path) -> None:
    """The site's Markdown is stricter than that of others about what stands within a list."""
    wrong = []
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs").with_suffix(".html")).replace("README", "index")
        text = (site / name).read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
        if (shown := text.count("<pre>")) != (written := len(blocks(page))):
            wrong.append(f"{name}: {shown} blocks of {written}")
        paragraphs = re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
        wrong += [f"{name}: {line}" for each in paragraphs for line in each.splitlines() if LOST_ITEM.match(line)]
    assert [] == wrong


def test_nothing_of_it_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = [
        f"{path.relative_to(site)}: {match[0]}"
        for path in site.rglob("*")
        if path.suffix in (".html", ".css", ".svg")
        for pattern in (OUTSIDE, LINKED_OUTSIDE)
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert [] == fetched
