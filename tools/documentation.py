"""What MkDocs is told about this repository while it builds the documentation: `mkdocs.yml` names this as its hook.

Pages link to each other and to files of the repository as they lie there, so that they can be read without a site. In
the site, a page that stands elsewhere is brought in, and a file that is no page is named where it was linked.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.changelog import changelog

ROOT: Final = Path(__file__).parents[1]
BROUGHT_IN: Final = {
    "README.md": "tour.md",
    "CONTRIBUTING.md": "contributing.md",
    "clients/python/README.md": "reference/farebox-client.md",
}
"""Pages that stand outside of docs/, and what they are in the site."""

_SEARCH: Final = 'data-md-component="search" role="dialog"'
_ITEM: Final = re.compile(r"(?:[-*]|\d+\.) +(?=\S)")
_ITEM_INDENT: Final = 4
_FENCE: Final = re.compile(r" *(`{3,})")
_LINK: Final = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FENCED: Final = re.compile(r"^(```+).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions, each of which has its number and its title."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    entries: list[dict[str, Any]] = config.nav or []
    for entry in entries:
        if "Decisions" in entry:
            entry["Decisions"] = ["decisions/README.md", *(f"decisions/{name}" for name in pages)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring in what stands outside of docs/."""
    for source, target in BROUGHT_IN.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "changelog.md", content=changelog()))
    for path in pictures_elsewhere():
        files.append(File(path, str(ROOT), config.site_dir, use_directory_urls=False))
    return files


def pictures_elsewhere() -> list[str]:
    """Return the pictures that pages below docs/ show and that lie elsewhere in the repository."""
    paths = set()
    for page in (ROOT / "docs").rglob("*.md"):
        for match in _LINK.finditer(page.read_text(encoding="utf-8")):
            path = os.path.relpath(os.path.normpath(page.parent / match["target"]), ROOT)
            if match["picture"] and "://" not in match["target"] and not path.startswith("docs/"):
                paths.add(path)
    return sorted(paths)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into what the site has."""
    return nested(linked(markdown, page.file.src_uri))


def nested(markdown: str) -> str:
    """Indent what stands within items of lists as MkDocs asks: by four blanks, where pages go by the item's text."""
    lines = [""]
    fence = ""
    content = 0
    has_parts = False
    for line in markdown.split("\n"):
        is_within = content > 0 and line.startswith(" " * content)
        item = None if fence else _ITEM.match(line)
        if content and line.strip() and not (is_within or item or fence or lines[-1].strip()):
            content = 0
        if is_within and not lines[-1].strip():
            has_parts = True
        if item:
            # A list begins after a blank line, and so does an item after one of several paragraphs.
            if lines[-1].strip() and (has_parts or not content):
                lines.append("")
            content, has_parts = len(item[0]), False
        if mark := _FENCE.match(line):
            fence = "" if fence == mark[1] else fence or mark[1]
        lines.append(" " * (_ITEM_INDENT - content) + line if is_within else line)
    return "\n".join(lines[1:])


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Name the theme's search for those who hear the page: it has no name of its own."""
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')


def linked(markdown: str, page: str) -> str:
    """Return a page of the site, named by its place below docs/, with links that lead somewhere there."""
    elsewhere = {target: source for source, target in BROUGHT_IN.items()} | {"changelog.md": "changelog.d/README.md"}
    here = PurePosixPath(elsewhere.get(page, f"docs/{page}")).parent
    blocks = [match.span() for match in _FENCED.finditer(markdown)]

    def replaced(match: re.Match[str]) -> str:
        target = match["target"]
        if "://" in target or target.startswith("mailto:") or any(s <= match.start() < e for s, e in blocks):
            return match[0]
        path = os.path.normpath(here / target)
        if path in BROUGHT_IN:
            place = BROUGHT_IN[path]
        elif path.startswith("docs/") and (ROOT / path).is_file():
            place = path.removeprefix("docs/")
        elif match["picture"]:
            place = path
        else:
            return _named(match["text"], path)
        relative = os.path.relpath(place, PurePosixPath(page).parent)
        return f"{match['picture']}[{match['text']}]({relative}{match['anchor'] or ''})"

    return _LINK.sub(replaced, markdown)


def _named(text: str, path: str) -> str:
    """Name a file of the repository, which the site does not have."""
    return text if path in text else f"{text} (`{path}`)"
